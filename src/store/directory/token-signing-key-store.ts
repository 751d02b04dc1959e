import type { RsaSize } from '../../core/operations/algorithms.ts';
import type { KeyMaterial, KeyName, KeyOperation, KeyVersionId } from '../../core/keys/key.ts';
import { packBytes, unpackBytes } from '../../core/keys/packed-bytes.ts';
import type { TokenSigningKey, TokenSigningKeyStore } from '../../core/directory/ports.ts';
import { doomObjects, settleObjects } from '../keys/object-ledger.ts';
import { changing, reading, type StoreContext, type Trx } from '../database.ts';
import type { SigningKeyRow } from '../tables.ts';

/** The one that signs, and the one before it, whose tokens may still be about. */
const PUBLISHED = 2;

export function createSigningKeyStore(context: StoreContext): TokenSigningKeyStore {
  const { poolId } = context;
  return {
    listSigningKeys: () =>
      reading(context, async (db) => {
        const rows = await db
          .selectFrom('signing_key')
          .selectAll()
          .where('pool_id', '=', poolId)
          .orderBy('ordinal', 'desc')
          .limit(PUBLISHED)
          .execute();
        return rows.map(toSigningKey);
      }),

    insertSigningKey: async ({ material, createdAt }, after, change) => {
      const put = async (trx: Trx) => {
        const { identity, spec, publicKey, sealed } = material;
        if (spec.keyType !== 'RSA-HSM' || publicKey?.keyType !== 'RSA-HSM')
          throw new TypeError('tokens are signed with RSA keys');
        const { numInsertedOrUpdatedRows: added } = await trx
          .insertInto('signing_key')
          .values({
            pool_id: poolId,
            version: identity.version,
            name: identity.name,
            bits: spec.bits,
            public_exponent: spec.publicExponent,
            operations: [...identity.operations],
            public_1: Buffer.from(publicKey.n),
            public_2: Buffer.from(publicKey.e),
            root_generation: sealed.rootGeneration,
            blob: unpackBytes(sealed.blob),
            seal: unpackBytes(sealed.seal),
            created_at: createdAt,
            after_version: after ?? null,
          })
          .onConflict((conflict) => conflict.columns(['pool_id', 'after_version']).doNothing())
          .executeTakeFirstOrThrow();
        if (added !== 1n) return undefined;
        await settleObjects(trx, material);
        const removed = await trx
          .deleteFrom('signing_key')
          .where('pool_id', '=', poolId)
          .where('version', 'not in', [identity.version, after ?? ''])
          .returning(['version', 'name', 'blob'])
          .execute();
        await doomObjects(trx, poolId, removed);
        return true;
      };
      const changed = { topic: 'signing-key', id: material.identity.version } as const;
      return (await changing(context, change, changed, put)) === true;
    },
  };
}

function toSigningKey(row: SigningKeyRow): TokenSigningKey {
  return { material: toSigningMaterial(row), createdAt: row.created_at };
}

export function toSigningMaterial(row: SigningKeyRow): KeyMaterial {
  return {
    identity: {
      pool: row.pool_id,
      name: row.name as KeyName,
      version: row.version as KeyVersionId,
      operations: row.operations as KeyOperation[],
      exportable: false,
      origin: 'generated',
    },
    spec: {
      keyType: 'RSA-HSM',
      bits: row.bits as RsaSize,
      publicExponent: Number(row.public_exponent),
    },
    publicKey: { keyType: 'RSA-HSM', n: row.public_1, e: row.public_2 },
    sealed: {
      rootGeneration: row.root_generation,
      blob: packBytes(row.blob),
      seal: packBytes(row.seal),
    },
  };
}
