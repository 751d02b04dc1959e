import { randomBytes, randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { pino } from 'pino';
import { openFullBackups, type FullBackupOptions } from '../../src/compose/full-backup.ts';
import { openPoolKeys } from '../../src/compose/root-keys.ts';
import { openSignedLog } from '../../src/compose/signed-log.ts';
import { openTokenSigningKeys } from '../../src/compose/token-signing-keys.ts';
import type { KeyMaterial, KeySpec, KeyVersion } from '../../src/core/keys/key.ts';
import type { BackupStorage } from '../../src/core/recovery/full-backup/ports.ts';
import { proveUpload } from '../../src/core/recovery/security-domain/uploaded-domain.ts';
import { changing, type StoreContext } from '../../src/store/database.ts';
import { createKeyReader } from '../../src/store/keys/key-reader.ts';
import { createPool, findPool, type Pool } from '../../src/store/pool/pool-store.ts';
import { createJobStore } from '../../src/store/recovery/jobs/job-store.ts';
import { createKeyArchive } from '../../src/store/recovery/key-archive.ts';
import { createBackupKeyStore } from '../../src/store/recovery/root-keys/backup-key-store.ts';
import { createSecurityDomainStore } from '../../src/store/recovery/security-domain/security-domain-store.ts';
import type { Pkcs11Hsm } from '../../src/hsm/pkcs11-hsm.ts';
import { openTestHsm, testIdentity } from './hsm.ts';
import { newChange, processOf, type StoreDatabase } from './store.ts';
import { LATER_ROWS, ROWS } from './witnessed-pool.ts';

const SEALED_TABLES = ['key', 'key_version', 'rotation_policy', 'signing_key', 'statement_key'];
/** What is replaced too, of tables that are younger. */
const REPLACED_LATER = Object.fromEntries(
  Object.entries(LATER_ROWS).filter(([table]) => table === 'control_assignment'),
);
const NOBODY = pino({ enabled: false });

export type WholePool = Awaited<ReturnType<typeof openWholePool>>;

/** A pool on the worker's token as a restore knows it: with root keys, backup keys and a signed audit log, and no keys. */
export async function openWholePool(database: StoreDatabase, name: string) {
  const { hsm, poolId } = openTestHsm();
  const pool: Pool = {
    id: poolId,
    name,
    tenantId: randomUUID(),
    softDeleteDays: 90,
    purgeProtection: false,
    rootGeneration: 1,
    rootCheck: await hsm.rootCheck(poolId),
    keeping: 'sealed',
    activation: 'hsm',
    restores: 0,
    isHome: true,
  };
  const context = processOf(database.db, pool);
  await createPool(context, pool, newChange('PoolCreate'));
  await openPoolKeys(context, pool, hsm);
  await openTokenSigningKeys(context, hsm).ensure(newChange('SigningKeyCreate'));
  const signedLog = openSignedLog(context, pool, hsm);
  await signedLog.certifiedKeys.signer('audit');
  context.chain.end();
  await signedLog.checkpoints([context.chain]).sign();
  return wholePool(database, pool, hsm);
}

/** Another process's view of whatever pool has that name now. */
export async function reopenPool(database: StoreDatabase, name: string, hsm: Pkcs11Hsm) {
  const pool = await findPool(database.db, name);
  if (pool === undefined) throw new Error(`there is no pool ${name}`);
  await openPoolKeys(processOf(database.db, pool), pool, hsm);
  return wholePool(database, pool, hsm);
}

function wholePool(database: StoreDatabase, pool: Pool, hsm: Pkcs11Hsm) {
  const context = processOf(database.db, pool);
  const signedLog = openSignedLog(context, pool, hsm);
  const ofPool = (statement: string) => statement.replaceAll('$pool', `'${pool.id}'`);
  const change = (...statements: readonly string[]) =>
    changing(
      context,
      newChange('Change'),
      () => [],
      async (trx) => {
        for (const statement of statements) await sql.raw(ofPool(statement)).execute(trx);
        return true;
      },
    );
  const findKey = async ({ identity }: KeyMaterial): Promise<KeyMaterial | undefined> =>
    (await createKeyReader(context).findKey(identity.name, identity.version))?.material;
  const backups = (options: Partial<FullBackupOptions> = {}) =>
    openFullBackups({
      context,
      pool,
      hsm,
      settings: { databaseUrl: database.serviceUrl },
      log: NOBODY,
      pauseShare: 0,
      ...options,
    });
  const jobs = createJobStore(context, pool);
  return {
    pool,
    hsm,
    context,
    change,
    backups,
    jobs,
    /** A full restore as one of the pool's jobs. From then on the context is that of a process that has begun after it. */
    restore: async (storage: BackupStorage, folder: string) => {
      const id = randomBytes(16).toString('hex');
      const asked = { place: undefined, folder, keyName: undefined, principalId: undefined };
      const job = { id, kind: 'restore', askedBy: 'operator', ...asked } as const;
      await jobs.begin(job, newChange('FullRestoreStart'));
      const closePool = () => jobs.closePool(id, newChange('FullRestoreClose'));
      try {
        await backups().restore(storage, folder, {}, { id, closePool }, newChange('FullRestore'));
        Object.assign(context, { restores: context.restores + 1 });
      } catch (error) {
        const failure = { code: 'Failed', message: String(error) };
        await jobs.end(id, { failure }, newChange('FullRestore'));
        throw error;
      }
    },
    sign: () => signedLog.checkpoints([context.chain]).sign(),
    verify: () => signedLog.verifier.verify({ after: 0, recordLimit: 1e6 }),
    /** A key with so many versions. */
    addKey: async (keyName: string, spec: KeySpec, versions = 1) => {
      const made: { version: KeyVersion; encryptions: number }[] = [];
      for (let index = 0; index < versions; index += 1) {
        const operations =
          spec.keyType === 'oct-HSM'
            ? (['wrapKey', 'unwrapKey', 'encrypt', 'decrypt'] as const)
            : (['sign', 'verify'] as const);
        const material = await hsm.generateKey(testIdentity(pool.id, keyName, operations), spec);
        made.push({
          version: {
            material,
            attributes: { enabled: true, created: 1_700_000_000, updated: 1_700_000_000 },
            tags: { 'a "tag"': '$bytes' },
          },
          encryptions: spec.keyType === 'oct-HSM' ? 7 : 0,
        });
      }
      await createKeyArchive(context).insertKey(
        {
          name: testIdentity(pool.id, keyName).name,
          versions: made,
          rotationPolicy: { actions: [], expiryTime: 'P90D', created: 1, updated: 2 },
        },
        newChange('KeyRestore'),
      );
      return made.map(({ version }) => version.material);
    },
    /** A row in each table that holds no sealed key. */
    addOthers: () =>
      change(
        ...Object.entries({ ...ROWS, ...REPLACED_LATER })
          .filter(([table]) => !SEALED_TABLES.includes(table))
          .map(([, statement]) => statement),
        `insert into federated_credential_use (pool_id, application_id, id) values ($pool,
          '00000000-0000-4000-8000-000000000003', '00000000-0000-4000-8000-000000000007')`,
      ),
    /** As after an upload: the other pool's root keys are in the same token. */
    takeDomainOf: async (other: { readonly pool: Pool; readonly context: StoreContext }) => {
      const { id, rootGeneration, rootCheck } = other.pool;
      const backupKeys = await createBackupKeyStore(other.context).list();
      const domain = { poolId: id, generation: rootGeneration, rootCheck, backupKeys };
      await createSecurityDomainStore(context).recordUpload(
        { ...domain, proof: await proveUpload(hsm, domain) },
        newChange('SecurityDomainUpload'),
      );
      hsm.openBackupKeys(await createBackupKeyStore(context).list(), backupKeys);
    },
    /** As the store has it now. */
    findKey,
    keyOf: async (material: KeyMaterial): Promise<KeyMaterial> => {
      const found = await findKey(material);
      if (found === undefined) throw new Error(`there is no key ${material.identity.name}`);
      return found;
    },
    /** What all tables that a backup has hold of the pool, as texts. */
    dump: async (tables: readonly string[]) => {
      const dumped: Record<string, readonly string[]> = {};
      for (const table of tables) {
        const { rows } = await sql<{ row: string }>`
          select (to_jsonb(r) - '{blob,mac_blob,seal,root_generation}'::text[])::text as row
          from ${sql.table(table)} r where to_jsonb(r) ->> 'pool_id' = ${pool.id} order by 1`.execute(
          database.db,
        );
        dumped[table] = rows.map(({ row }) => row);
      }
      return dumped;
    },
  };
}

export const newName = () => `pool-${randomBytes(6).toString('hex')}`;
