import { sql } from 'kysely';
import type { KeyMaterial, KeyVersionId } from '../../../core/keys/key.ts';
import { packBytes, unpackBytes } from '../../../core/keys/packed-bytes.ts';
import type { RsaSize } from '../../../core/operations/algorithms.ts';
import type { SecurityDomainStore } from '../../../core/recovery/security-domain/ports.ts';
import { TRANSFER_KEY } from '../../../core/recovery/security-domain/transfer-key.ts';
import { changing, reading, type StoreContext } from '../../database.ts';
import { isOrphaned } from '../../errors.ts';
import type { TransferKeyRow } from '../../tables.ts';

export function createTransferKeyStore(
  context: StoreContext,
): Pick<SecurityDomainStore, 'findTransferKey' | 'putTransferKey'> {
  const { poolId } = context;
  return {
    findTransferKey: () =>
      reading(context, async (db) => {
        const row = await db
          .selectFrom('transfer_key')
          .selectAll()
          .where('pool_id', '=', poolId)
          .executeTakeFirst();
        return (
          row && {
            material: toTransferMaterial(row),
            certificate: row.certificate,
            expiresAt: row.expires_at,
          }
        );
      }),

    async putTransferKey({ material, certificate, expiresAt }, change) {
      const { identity, spec, publicKey, sealed } = material;
      if (spec.keyType !== 'RSA-HSM' || publicKey?.keyType !== 'RSA-HSM')
        throw new TypeError('a security domain is encrypted to an RSA key');
      try {
        const isPut = await changing(
          context,
          change,
          () => [],
          async (trx) => {
            await trx
              .deleteFrom('transfer_key')
              .where('pool_id', '=', poolId)
              .where('expires_at', '<=', sql<Date>`now()`)
              .execute();
            const { numInsertedOrUpdatedRows } = await trx
              .insertInto('transfer_key')
              .values({
                pool_id: poolId,
                version: identity.version,
                bits: spec.bits,
                public_exponent: spec.publicExponent,
                public_1: Buffer.from(publicKey.n),
                public_2: Buffer.from(publicKey.e),
                root_generation: sealed.rootGeneration,
                blob: unpackBytes(sealed.blob),
                seal: unpackBytes(sealed.seal),
                certificate: Buffer.from(certificate),
                expires_at: expiresAt,
              })
              .onConflict((conflict) => conflict.column('pool_id').doNothing())
              .executeTakeFirstOrThrow();
            return numInsertedOrUpdatedRows === 1n ? true : undefined;
          },
        );
        return isPut === true;
      } catch (error) {
        // The root keys by which it is sealed have been retired meanwhile.
        if (isOrphaned(error)) return false;
        throw error;
      }
    },
  };
}

/** Name and operations aren't in the row: the seal covers them, so no other key can stand in its place. */
export function toTransferMaterial(row: TransferKeyRow): KeyMaterial {
  return {
    identity: {
      ...TRANSFER_KEY.identity,
      pool: row.pool_id,
      version: row.version as KeyVersionId,
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
