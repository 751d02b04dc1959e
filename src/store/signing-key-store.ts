import { type RsaSize } from '../core/algorithms.ts';
import {
  type KeyMaterial,
  type KeyName,
  type KeyOperation,
  type KeyVersionId,
} from '../core/key.ts';
import { type SigningKeyStore } from '../core/ports.ts';
import { reading, type StoreContext } from './database.ts';
import { type SigningKeyRow } from './tables.ts';

/** The one that signs, and the one before it, whose tokens may still be about. */
const PUBLISHED = 2;

export function createSigningKeyStore(context: StoreContext): SigningKeyStore {
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
        return rows.map(toMaterial);
      }),

    insertSigningKey: (material) =>
      reading(context, async (db) => {
        const { identity, spec, publicKey, sealed } = material;
        if (spec.keyType !== 'RSA-HSM' || publicKey?.keyType !== 'RSA-HSM')
          throw new TypeError('tokens are signed with RSA keys');
        await db
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
            blob: Buffer.from(sealed.blob),
            seal: Buffer.from(sealed.seal),
          })
          .execute();
      }),
  };
}

function toMaterial(row: SigningKeyRow): KeyMaterial {
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
    sealed: { rootGeneration: row.root_generation, blob: row.blob, seal: row.seal },
  };
}
