import { type CertificateCredential } from '../core/directory.ts';
import { type CredentialStore } from '../core/directory-ports.ts';
import { ServiceError } from '../core/errors.ts';
import { keepingAdministrators } from './administrators.ts';
import { changing, reading, type StoreContext } from './database.ts';
import { isDuplicate, isOrphaned } from './errors.ts';
import { lockGrants } from './grants-lock.ts';
import { readApplicationHoldings } from './held-policy.ts';

/** Applications have few of them: `core` sets the limit, so lists aren't paged. */
export function createCredentialStore(context: StoreContext): CredentialStore {
  const { poolId } = context;
  return {
    listCertificates: (applicationId) =>
      reading(context, async (db) => {
        const rows = await db
          .selectFrom('application_certificate')
          .selectAll()
          .where('pool_id', '=', poolId)
          .where('application_id', '=', applicationId)
          .orderBy('starts_at')
          .orderBy('key_id')
          .execute();
        return rows.map((row) => ({
          keyId: row.key_id,
          ...(row.display_name !== null && { displayName: row.display_name }),
          certificate: row.certificate,
          thumbprint: row.thumbprint,
          startsAt: row.starts_at,
          endsAt: row.ends_at,
        }));
      }),

    async replaceCertificates(applicationId, certificates, change) {
      await orExplained('application', () =>
        changing(context, change, { topic: 'directory', id: applicationId }, (trx) =>
          keepingAdministrators(trx, context, change.author, async () => {
            const { held, principalId } = await readApplicationHoldings(trx, poolId, applicationId);
            const removed = await trx
              .deleteFrom('application_certificate')
              .where('pool_id', '=', poolId)
              .where('application_id', '=', applicationId)
              .returning(['thumbprint', 'ends_at'])
              .execute();
            // One that is good for longer than it was is as good as a new one.
            const isNew = (one: CertificateCredential) =>
              !removed.some(
                (row) => row.thumbprint.equals(one.thumbprint) && one.endsAt <= row.ends_at,
              );
            const stays = (row: { thumbprint: Buffer; ends_at: Date }) =>
              certificates.some(
                (one) => row.thumbprint.equals(one.thumbprint) && row.ends_at <= one.endsAt,
              );
            if (certificates.some(isNew)) change.author.requireMayEmpower(held);
            if (!removed.every(stays)) change.author.requireMayDisempower(held, principalId);
            if (certificates.length > 0)
              await trx
                .insertInto('application_certificate')
                .values(
                  certificates.map((certificate) => ({
                    pool_id: poolId,
                    application_id: applicationId,
                    key_id: certificate.keyId,
                    display_name: certificate.displayName ?? null,
                    thumbprint: Buffer.from(certificate.thumbprint),
                    certificate: Buffer.from(certificate.certificate),
                    starts_at: certificate.startsAt,
                    ends_at: certificate.endsAt,
                  })),
                )
                .execute();
            return true;
          }),
        ),
      );
    },

    listFederated: (applicationId) =>
      reading(context, async (db) => {
        const rows = await db
          .selectFrom('federated_credential')
          .selectAll()
          .where('pool_id', '=', poolId)
          .where('application_id', '=', applicationId)
          .orderBy('name')
          .execute();
        return rows.map(({ id, name, issuer, subject, audience, description }) => ({
          id,
          name,
          issuer,
          subject,
          audience,
          ...(description !== null && { description }),
        }));
      }),

    async insertFederated(applicationId, { description, ...credential }, change) {
      await orExplained('federated credential', () =>
        changing(context, change, { topic: 'directory', id: applicationId }, async (trx) => {
          await lockGrants(trx, poolId, 'exclusive');
          const { held } = await readApplicationHoldings(trx, poolId, applicationId);
          change.author.requireMayEmpower(held);
          await trx
            .insertInto('federated_credential')
            .values({
              pool_id: poolId,
              application_id: applicationId,
              ...credential,
              description: description ?? null,
            })
            .execute();
          return true;
        }),
      );
    },

    async deleteFederated(applicationId, id, change) {
      const deleted = await changing(
        context,
        change,
        { topic: 'directory', id: applicationId },
        (trx) =>
          keepingAdministrators(trx, context, change.author, async () => {
            const { held, principalId } = await readApplicationHoldings(trx, poolId, applicationId);
            change.author.requireMayDisempower(held, principalId);
            return trx
              .deleteFrom('federated_credential')
              .where('pool_id', '=', poolId)
              .where('application_id', '=', applicationId)
              .where('id', '=', id)
              .returning('id')
              .executeTakeFirst();
          }),
      );
      return deleted !== undefined;
    },
  };
}

/** @throws ServiceError instead of the database's error where a rule of the schema stood in the way */
export async function orExplained<T>(what: string, change: () => Promise<T>): Promise<T> {
  try {
    return await change();
  } catch (cause) {
    if (isOrphaned(cause))
      throw new ServiceError('DirectoryObjectNotFound', 'The object does not exist any more.', {
        cause,
      });
    if (isDuplicate(cause))
      throw new ServiceError('DirectoryObjectExists', `There is such a ${what} already.`, {
        cause,
      });
    throw cause;
  }
}
