import type { Author } from '../../core/access/authored-change.ts';
import type { CertificateCredential } from '../../core/directory/directory.ts';
import type { CredentialStore } from '../../core/directory/ports.ts';
import { ServiceError } from '../../core/errors.ts';
import { keepingAdministrators } from '../access/administrators.ts';
import { changing, reading, type StoreContext, type Trx } from '../database.ts';
import { isDuplicate, isOrphaned } from '../errors.ts';
import { lockGrants } from '../access/grants-lock.ts';
import { readApplicationHoldings } from '../access/held-policy.ts';

/** Applications have few of them: `core` sets the limit, so lists aren't paged. */
export function createCredentialStore(context: StoreContext): CredentialStore {
  const { poolId } = context;

  async function replaceCertificates(
    trx: Trx,
    applicationId: string,
    certificates: readonly CertificateCredential[],
    author: Author,
  ): Promise<void> {
    const { held, principalId } = await readApplicationHoldings(trx, poolId, applicationId);
    const removed = await trx
      .deleteFrom('application_certificate')
      .where('pool_id', '=', poolId)
      .where('application_id', '=', applicationId)
      .returning(['thumbprint', 'starts_at', 'ends_at'])
      .execute();
    const isSame = (row: (typeof removed)[number], one: CertificateCredential) =>
      row.thumbprint.equals(one.thumbprint);
    // One that is good for longer than it was is as good as a new one.
    const isNew = (one: CertificateCredential) =>
      !removed.some(
        (row) => isSame(row, one) && row.starts_at <= one.startsAt && one.endsAt <= row.ends_at,
      );
    const stays = (row: (typeof removed)[number]) =>
      certificates.some(
        (one) => isSame(row, one) && one.startsAt <= row.starts_at && row.ends_at <= one.endsAt,
      );
    if (certificates.some(isNew)) author.requireMayEmpower(held);
    if (!removed.every(stays)) author.requireMayDisempower(held, principalId);
    await insertCertificates(trx, poolId, applicationId, certificates);
  }

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

    async updateApplication(applicationId, { displayName, certificates }, change) {
      let principalId: string | undefined;
      const id = applicationId;
      const edit = async (trx: Trx) => {
        if (displayName !== undefined)
          principalId = await rename(trx, poolId, applicationId, displayName);
        if (certificates !== undefined)
          await replaceCertificates(trx, applicationId, certificates, change.author);
        return true;
      };
      await orExplained('certificate', () =>
        changing(
          context,
          change,
          () => [id, principalId].flatMap((one) => (one ? [{ topic: 'directory', id: one }] : [])),
          (trx) =>
            certificates === undefined
              ? edit(trx)
              : keepingAdministrators(trx, context, change.author, () => edit(trx)),
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

    noteFederatedUse: (applicationId, id) =>
      reading(context, async (db) => {
        await db
          .insertInto('federated_credential_use')
          .columns(['pool_id', 'application_id', 'id'])
          .expression(
            db
              .selectFrom('federated_credential')
              .select(['pool_id', 'application_id', 'id'])
              .where('pool_id', '=', poolId)
              .where('application_id', '=', applicationId)
              .where('id', '=', id),
          )
          .onConflict((conflict) => conflict.doNothing())
          .execute();
      }),
  };
}

export async function insertCertificates(
  trx: Trx,
  poolId: string,
  applicationId: string,
  certificates: readonly CertificateCredential[],
): Promise<void> {
  if (certificates.length === 0) return;
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
}

/** The application, and its service principal where it has one: gives back the id of that one. */
async function rename(
  trx: Trx,
  poolId: string,
  applicationId: string,
  displayName: string,
): Promise<string | undefined> {
  const application = await trx
    .updateTable('application')
    .set({ display_name: displayName })
    .where('pool_id', '=', poolId)
    .where('id', '=', applicationId)
    .returning('app_id')
    .executeTakeFirst();
  if (application === undefined)
    throw new ServiceError('DirectoryObjectNotFound', 'The object does not exist any more.');
  const principal = await trx
    .updateTable('service_principal')
    .set({ display_name: displayName })
    .where('pool_id', '=', poolId)
    .where('app_id', '=', application.app_id)
    .returning('id')
    .executeTakeFirst();
  return principal?.id;
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
