import { randomBytes, randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { openHsm, openRootKeys } from '../../src/compose/hsm.ts';
import { openTokenSigningKeys } from '../../src/compose/token-signing-keys.ts';
import { parseKeyName } from '../../src/core/keys/key.ts';
import { newVersionId } from '../../src/core/keys/new-version-id.ts';
import { unpackBytes } from '../../src/core/keys/packed-bytes.ts';
import { createTokenIssuer } from '../../src/identity/tokens/tokens.ts';
import { findPool } from '../../src/store/pool/pool-store.ts';
import { openPlanter } from '../support/planter.ts';
import type { TestToken } from '../support/softhsm.ts';
import { openConnections, processOf, withClient } from '../support/store.ts';
import { answer } from './helper-process.ts';
import { ROLE } from '../support/roles.ts';

/**
 * A process that fills a service's store past the service, since a hundred thousand keys or ten million records would take
 * hours by way of it. What it plants is of the service's own making: seals by the pool's root key and tokens by the
 * directory's signing key, both inside the HSM.
 */

export interface PlantingPlace {
  /** As the user that the service is. */
  readonly serviceUrl: string;
  /** As the one that owns the tables. */
  readonly ownerUrl: string;
  readonly token: TestToken;
}

const DOMAIN = 'strongroom.localhost';
/** Planted at once. */
const CHUNK = 1_000;
const RECORDS_AT_ONCE = 250_000;
/** Of the planted records; it is no process's. */
const CHAIN = '99999999-9999-4999-8999-999999999999';
const OTHER_PRINCIPALS = 20_000;
const OTHER_KEYS = 10_000;
const TOKEN_SECONDS = 3 * 3600;

let place: PlantingPlace;

async function poolOf(url: string) {
  const db = openConnections(url, 2);
  const pool = await findPool(db, 'main');
  if (pool === undefined) throw new Error('the service has no pool');
  return { db, pool };
}

const analyse = (table: string) =>
  withClient(place.ownerUrl, (client) => client.query(`vacuum analyze ${table}`));

answer({
  open(where: PlantingPlace) {
    place = where;
  },

  /** Copies of the AES key `original`, each with a name, a version and a seal of its own; their paths. */
  async keys({ original, names }: { original: string; names: readonly string[] }) {
    const planter = await openPlanter(place.serviceUrl, place.token);
    const { identity, spec, sealed } = (await planter.read(original)).material;
    const blob = unpackBytes(sealed.blob);
    const macBlob = sealed.macBlob === undefined ? undefined : unpackBytes(sealed.macBlob);
    const paths: string[] = [];
    for (let from = 0; from < names.length; from += CHUNK) {
      const plants = names.slice(from, from + CHUNK).map((name) => ({
        identity: { ...identity, name: parseKeyName(name), version: newVersionId() },
        spec,
        blob,
        ...(macBlob !== undefined && { macBlob }),
      }));
      await planter.plant(plants);
      paths.push(
        ...plants.map((plant) => `/keys/${plant.identity.name}/${plant.identity.version}`),
      );
    }
    await planter.close();
    await analyse('key, key_version');
    return paths;
  },

  /** Of the role Crypto User, of other principals at other keys. */
  async assignments(count: number) {
    const { db, pool } = await poolOf(place.serviceUrl);
    await withClient(place.serviceUrl, (client) =>
      client.query(
        `insert into role_assignment (pool_id, id, principal_id, role_id, scope)
         select $1, gen_random_uuid(), 'principal-' || i % $2, $3, '/keys/key-' || (i + i / $2) % $4
         from generate_series(0, $5::int - 1) i on conflict do nothing`,
        [pool.id, OTHER_PRINCIPALS, ROLE.user, OTHER_KEYS, count],
      ),
    );
    await db.destroy();
    await analyse('role_assignment');
  },

  /** Service principals that may use keys, and a token of each as the token endpoint would give it. */
  async principals(count: number) {
    const { db, pool } = await poolOf(place.serviceUrl);
    const hsm = openHsm(
      { pkcs11: place.token },
      pool.keeping,
      pino({ level: 'error' }, pino.destination(2)),
    );
    await openRootKeys(hsm, pool);
    const signingKeys = openTokenSigningKeys(processOf(db, pool), hsm, {
      onBroken: (keyId) => {
        throw new Error(`the seal of ${keyId} is broken`);
      },
    });
    const issuer = createTokenIssuer(signingKeys, { domain: DOMAIN, tenantId: pool.tenantId });
    const now = new Date();
    const subjects = Array.from({ length: count }, () => {
      const [displayName, appId] = [`planted ${randomBytes(4).toString('hex')}`, randomUUID()];
      return {
        application: { id: randomUUID(), appId, displayName, createdAt: now },
        principal: { id: randomUUID(), appId, displayName, enabled: true },
        method: 'secret' as const,
      };
    });
    await withClient(place.serviceUrl, async (client) => {
      const rows = JSON.stringify(
        subjects.map(({ application, principal }) => ({
          ...application,
          app_id: application.appId,
          name: application.displayName,
          principal: principal.id,
        })),
      );
      await client.query('begin');
      await client.query(
        `insert into application (pool_id, id, app_id, display_name, created_at)
         select $1, id, app_id, name, now() from json_to_recordset($2) as r(id uuid, app_id uuid, name text)`,
        [pool.id, rows],
      );
      await client.query(
        `insert into service_principal (pool_id, id, app_id, display_name, enabled)
         select $1, principal, app_id, name, true
         from json_to_recordset($2) as r(principal uuid, app_id uuid, name text)`,
        [pool.id, rows],
      );
      await client.query(
        `insert into role_assignment (pool_id, id, principal_id, role_id, scope)
         select $1, gen_random_uuid(), principal, $3, '/'
         from json_to_recordset($2) as r(principal text)`,
        [pool.id, rows, ROLE.user],
      );
      await client.query('commit');
    });
    await analyse('application, service_principal, role_assignment');
    const tokens: string[] = [];
    for (const subject of subjects)
      tokens.push(await issuer.issue(subject, `https://${DOMAIN}`, now, TOKEN_SECONDS));
    await hsm.close();
    await db.destroy();
    return tokens;
  },

  /**
   * Records of this month until there are `count`, marked as counted for the usage tables. Their hashes are no chain:
   * nothing here verifies them.
   */
  async records({ from, count }: { from: number; count: number }) {
    const { db, pool } = await poolOf(place.serviceUrl);
    await withClient(place.ownerUrl, async (client) => {
      await client.query(
        `insert into audit_chain (pool_id, chain, begun_at) values ($1, $2, now()) on conflict do nothing`,
        [pool.id, CHAIN],
      );
      for (let done = from; done < count; done += RECORDS_AT_ONCE) {
        // Before the records, so that nobody counts them.
        await client.query(
          `insert into audit_usage_position (pool_id, chain, sequence, is_over) values ($1, $2, $3, true)
           on conflict (pool_id, chain) do update set sequence = excluded.sequence, is_over = true`,
          [pool.id, CHAIN, count],
        );
        await client.query(
          `insert into audit_event (pool_id, chain, sequence, time, request_id, tenant_id, principal_id, client_address,
             user_agent, operation, action, scope, key_name, outcome, status, duration_ms, hash)
           select $1, $2, i, date_trunc('month', now()) + (now() - date_trunc('month', now())) * (i::float / $5),
             gen_random_uuid(), $6, 'principal-' || (i * 7919) % 100, '127.0.0.1', 'planted',
             (array['KeyWrap', 'KeyUnwrap', 'KeySign', 'KeyGet'])[1 + i % 4], 'planted', '/keys/key-' || (i * 104729) % 1000,
             'key-' || (i * 104729) % 1000, 'success', 200, 1,
             '\\x0000000000000000000000000000000000000000000000000000000000000000'
           from generate_series($3::bigint, $4::bigint) i`,
          [pool.id, CHAIN, done + 1, Math.min(count, done + RECORDS_AT_ONCE), count, pool.tenantId],
        );
      }
    });
    await db.destroy();
    await analyse('audit_event');
  },
});
