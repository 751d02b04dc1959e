import type { RsaSize } from '../../core/operations/algorithms.ts';
import type { KeyMaterial, KeyName, KeyVersionId } from '../../core/keys/key.ts';
import { packBytes, unpackBytes } from '../../core/keys/packed-bytes.ts';
import type { CertifiedKeyStore } from '../../core/pool/certified-keys.ts';
import { settleObjects } from '../keys/object-ledger.ts';
import { changing, reading, type StoreContext } from '../database.ts';
import type { CertifiedKeyRow } from '../tables.ts';

export function createCertifiedKeyStore(context: StoreContext): CertifiedKeyStore {
  const { poolId } = context;
  return {
    findCertifiedKey: (purpose, version) =>
      reading(context, async (db) => {
        let query = db
          .selectFrom('statement_key')
          .selectAll()
          .where('pool_id', '=', poolId)
          .where('purpose', '=', purpose)
          .orderBy('ordinal', 'desc')
          .limit(1);
        if (version !== undefined) query = query.where('version', '=', version);
        const row = await query.executeTakeFirst();
        return row && { purpose, material: toCertifiedMaterial(row), certificate: row.certificate };
      }),

    insertCertifiedKey: async ({ purpose, material, certificate }, change) => {
      const isInserted = await changing(
        context,
        change,
        () => [],
        async (trx) => {
          const { identity, spec, publicKey, sealed } = material;
          if (spec.keyType !== 'RSA-HSM' || publicKey?.keyType !== 'RSA-HSM')
            throw new TypeError('statements are signed with RSA keys');
          const added = await trx
            .insertInto('statement_key')
            .values({
              pool_id: poolId,
              purpose,
              version: identity.version,
              bits: spec.bits,
              public_exponent: spec.publicExponent,
              public_1: Buffer.from(publicKey.n),
              public_2: Buffer.from(publicKey.e),
              root_generation: sealed.rootGeneration,
              blob: unpackBytes(sealed.blob),
              seal: unpackBytes(sealed.seal),
              certificate: Buffer.from(certificate),
            })
            .onConflict((conflict) => conflict.doNothing())
            .executeTakeFirst();
          if (added.numInsertedOrUpdatedRows === 0n) return undefined;
          await settleObjects(trx, material);
          return true;
        },
      );
      return isInserted === true;
    },
  };
}

/** Name and operations are as the purpose has them: the seal covers them, so a key of another purpose is refused. */
export function toCertifiedMaterial(row: CertifiedKeyRow): KeyMaterial {
  return {
    identity: {
      pool: row.pool_id,
      name: `~${row.purpose}` as KeyName,
      version: row.version as KeyVersionId,
      operations: ['sign'],
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
