import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import pg from 'pg';
import { byOperator } from '../../src/core/access/escalation-rules.ts';
import { createAuditChain } from '../../src/core/audit/chain.ts';
import { AuditDraft } from '../../src/core/audit/draft.ts';
import type { AuditEvent } from '../../src/core/audit/record.ts';
import type { AuthoredChange } from '../../src/core/access/authored-change.ts';
import { type KeyVersion, parseKeyName, parseKeyVersionId } from '../../src/core/keys/key.ts';
import { packBytes } from '../../src/core/keys/packed-bytes.ts';
import type { Page, PageRequest } from '../../src/core/paging.ts';
import type { StateChange } from '../../src/core/caching/change-feed.ts';
import { createAuditReader } from '../../src/store/audit/audit-store.ts';
import { openDatabase, type StoreContext } from '../../src/store/database.ts';
import { insertPool, type Pool } from '../../src/store/pool/pool-store.ts';
import type { Tables } from '../../src/store/tables.ts';
import { createTestDatabase } from './postgres.ts';

export type Db = Kysely<Tables>;

export interface StoreDatabase {
  readonly ownerUrl: string;
  readonly serviceUrl: string;
  /** Connections of a process of the service. */
  readonly db: Db;
  /** Those of another process. */
  readonly otherDb: Db;
  close(): Promise<void>;
}

/** A database of its own, and two processes' connections to it. */
export async function openStoreDatabase(): Promise<StoreDatabase> {
  const database = await createTestDatabase();
  const { ownerUrl, serviceUrl } = database;
  const [db, otherDb] = [openConnections(serviceUrl), openConnections(serviceUrl)];
  return {
    ownerUrl,
    serviceUrl,
    db,
    otherDb,
    async close() {
      await Promise.all([db.destroy(), otherDb.destroy()]);
      await withClient(ownerUrl, awaitOthersEnd);
      await database.drop();
    },
  };
}

/** A backend outlives its connection a little, and the owner may not end those of the service's role. */
async function awaitOthersEnd(client: pg.Client): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    const { rowCount } = await client.query(
      'select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
    );
    if (rowCount === 0) return;
    await delay(25);
  }
}

export function openConnections(url: string, connections = 10): Db {
  return openDatabase({ url, connections, onIdleError: () => undefined });
}

/** Tests share a database and keep apart by pools, as pools must. */
export async function makePool(db: Db, overrides: Partial<Pool> = {}): Promise<Pool> {
  const pool: Pool = {
    id: randomUUID(),
    name: `pool-${randomBytes(6).toString('hex')}`,
    tenantId: randomUUID(),
    softDeleteDays: 90,
    purgeProtection: false,
    rootGeneration: 1,
    rootCheck: randomBytes(32),
    keeping: 'sealed',
    activation: 'hsm',
    restores: 0,
    isHome: true,
    ...overrides,
  };
  await insertPool(db, pool);
  return pool;
}

/** A process's view of a pool; `published` is what it published to its own caches. */
export function processOf(
  db: Db,
  { id: poolId, restores = 0 }: Pick<Pool, 'id'> & Partial<Pick<Pool, 'restores'>>,
): StoreContext & { readonly published: StateChange[] } {
  const published: StateChange[] = [];
  const chain = createAuditChain({
    poolId,
    newGuid: randomUUID,
    clock: { now: () => new Date() },
  });
  return {
    db,
    poolId,
    homeId: poolId,
    restores,
    chain,
    published,
    publish: (change) => published.push(change),
  };
}

export function newChange(operation = 'Change'): AuditDraft & AuthoredChange {
  return byOperator(new AuditDraft(() => new Date(), { requestId: randomUUID(), operation }));
}

/** A change whose record no database takes: its request id isn't a GUID. */
export function unrecordableChange(): AuditDraft & AuthoredChange {
  return byOperator(
    new AuditDraft(() => new Date(), { requestId: 'not a GUID', operation: 'Change' }),
  );
}

export interface VersionFields {
  readonly enabled?: boolean;
  readonly attributes?: Partial<KeyVersion['attributes']>;
  readonly tags?: Readonly<Record<string, string>>;
}

/** An EC key as the HSM would seal it; nothing here opens it. */
export function newVersion(pool: string, name: string, fields: VersionFields = {}): KeyVersion {
  return {
    material: {
      identity: {
        pool,
        name: parseKeyName(name),
        version: parseKeyVersionId(randomBytes(16).toString('hex')),
        operations: ['sign', 'verify'],
        exportable: false,
        origin: 'generated',
      },
      spec: { keyType: 'EC-HSM', curve: 'P-256' },
      publicKey: { keyType: 'EC-HSM', x: randomBytes(32), y: randomBytes(32) },
      sealed: {
        rootGeneration: 1,
        blob: packBytes(randomBytes(160)),
        seal: packBytes(randomBytes(32)),
      },
    },
    attributes: {
      enabled: fields.enabled ?? true,
      created: 1_700_000_000,
      updated: 1_700_000_000,
      ...fields.attributes,
    },
    tags: fields.tags ?? {},
  };
}

export const versionOf = ({ material }: KeyVersion): string => material.identity.version;
export const nameOf = ({ material }: KeyVersion): string => material.identity.name;

/** A reseal that changes nothing. */
export const asItIs = <Material>(material: Material): Promise<Material> =>
  Promise.resolve(material);

/** Every page of a list, one after the other; `between` runs after each. */
export async function readPages<T>(
  list: (page: PageRequest) => Promise<Page<T>>,
  limit: number,
  between: (pages: number) => Promise<unknown> = () => Promise.resolve(),
): Promise<T[][]> {
  const pages: T[][] = [];
  let after: string | undefined;
  do {
    const page = await list({ limit, ...(after !== undefined && { after }) });
    pages.push([...page.items]);
    after = page.next;
    await between(pages.length);
  } while (after !== undefined && pages.length < 10_000);
  return pages;
}

export async function eventsOf(context: StoreContext): Promise<readonly AuditEvent[]> {
  return (await createAuditReader(context).listEvents({}, { limit: 1_000 })).items;
}

/** Runs statements on a connection of their own. */
export async function withClient<T>(
  url: string,
  use: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}
