import { sql } from 'kysely';
import type { KeyMaterial, KeyVersion } from '../../src/core/keys/key.ts';
import { packBytes } from '../../src/core/keys/packed-bytes.ts';
import { openConnection } from '../../src/hsm/module/connection.ts';
import { sealedBytes } from '../../src/hsm/keys/seal.ts';
import { openDatabase } from '../../src/store/database.ts';
import { fromKeyVersion, toKeyVersion } from '../../src/store/keys/key-rows.ts';
import { findPool } from '../../src/store/pool/pool-store.ts';
import { KEEPING } from './keeping.ts';
import { productionToken, type TestToken } from './softhsm.ts';

/** A key as it will stand in the store, but for its pool, its seal and its dates. */
interface Plant {
  readonly identity: Omit<KeyMaterial['identity'], 'pool'>;
  readonly spec: KeyMaterial['spec'];
  readonly publicKey?: KeyMaterial['publicKey'];
  readonly blob: Uint8Array;
  readonly macBlob?: Uint8Array;
}

/**
 * Puts keys into a pool's store past the service, each sealed for its own name by the pool's own root key in the HSM: to
 * the service they are keys like any other.
 */
export interface Planter {
  plant(keys: readonly Plant[]): Promise<void>;
  /** Takes keys out again, with all their versions. */
  uproot(names: readonly string[]): Promise<void>;
  /** Lets Postgres know how many there are now, as it learns by itself in time. */
  analyze(): Promise<void>;
  /** The newest version of a key as the store has it. */
  read(name: string): Promise<KeyVersion>;
  close(): Promise<void>;
}

/** @param token the pool's; that of production starts where absent */
export async function openPlanter(
  databaseUrl: string,
  token: TestToken = productionToken(),
): Promise<Planter> {
  const db = openDatabase({ url: databaseUrl, connections: 2, onIdleError: () => undefined });
  const pool = await findPool(db, 'main');
  if (pool === undefined) throw new Error('there is no pool to plant keys in');
  const sealing = openConnection(
    {
      ...token,
      keeping: KEEPING,
      sessions: 1,
      leaseWaitMs: 5_000,
      waitingLimit: 10_000,
      loadedKeys: 1,
      operationDeadlineMs: 20_000,
      keyGenerationDeadlineMs: 60_000,
      onHang: () => undefined,
    },
    { poolId: pool.id, generation: pool.rootGeneration, keeping: KEEPING },
  );

  async function sealed({ identity, spec, publicKey, blob, macBlob }: Plant): Promise<KeyVersion> {
    const bound = {
      identity: { ...identity, pool: pool?.id ?? '' },
      spec,
      ...(publicKey !== undefined && { publicKey }),
    };
    const unsealed = {
      rootGeneration: pool?.rootGeneration ?? 0,
      blob: packBytes(blob),
      ...(macBlob !== undefined && { macBlob: packBytes(macBlob) }),
    };
    const seal = packBytes(await sealing.mac(sealedBytes(bound, unsealed)));
    const now = Math.floor(Date.now() / 1000);
    return {
      material: { ...bound, sealed: { ...unsealed, seal } },
      attributes: { enabled: true, created: now, updated: now },
      tags: {},
    };
  }

  return {
    async plant(keys) {
      const versions = await Promise.all(keys.map(sealed));
      await db.transaction().execute(async (trx) => {
        const names = new Map(
          versions.map(({ material: { identity } }) => [identity.name, identity]),
        );
        await trx
          .insertInto('key')
          .values(
            [...names.values()].map(({ name, version }) => ({
              pool_id: pool.id,
              name_key: name.toLowerCase(),
              name,
              current_version: version,
            })),
          )
          .onConflict((conflict) =>
            conflict
              .columns(['pool_id', 'name_key'])
              .doUpdateSet({ current_version: sql`excluded.current_version` }),
          )
          .execute();
        await trx.insertInto('key_version').values(versions.map(fromKeyVersion)).execute();
      });
    },
    async uproot(names) {
      await db
        .deleteFrom('key')
        .where(
          'name_key',
          'in',
          names.map((name) => name.toLowerCase()),
        )
        .execute();
    },
    async analyze() {
      await sql`analyze`.execute(db);
    },
    async read(name) {
      const row = await db
        .selectFrom('key_version')
        .innerJoin('key', (join) =>
          join
            .onRef('key.pool_id', '=', 'key_version.pool_id')
            .onRef('key.name_key', '=', 'key_version.name_key'),
        )
        .selectAll('key_version')
        .select('key.name')
        .where('key_version.name_key', '=', name.toLowerCase())
        .orderBy('key_version.ordinal', 'desc')
        .limit(1)
        .executeTakeFirstOrThrow();
      return toKeyVersion(row);
    },
    async close() {
      await sealing.close();
      await db.destroy();
    },
  };
}
