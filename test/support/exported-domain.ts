import { randomBytes, randomUUID } from 'node:crypto';
import { createEnvelopes } from '../../src/backup/security-domain/envelopes.ts';
import { formatDomain } from '../../src/backup/security-domain/domain-text.ts';
import { openPool } from '../../src/compose/pool.ts';
import { openRootKeyCeremony } from '../../src/compose/root-keys.ts';
import { AuditDraft } from '../../src/core/audit/draft.ts';
import { eraseEntries } from '../../src/core/recovery/security-domain/domain-entries.ts';
import { sealDomain } from '../../src/core/recovery/security-domain/security-domain.ts';
import { createLog } from '../../src/observability/log.ts';
import { createBackupKeyStore } from '../../src/store/recovery/root-keys/backup-key-store.ts';
import { createRootKeyStore } from '../../src/store/recovery/root-keys/root-key-store.ts';
import { azureDomain } from './azure-domain.ts';

const draft = (operation: string) =>
  new AuditDraft(() => new Date(), { requestId: randomUUID(), operation });

/**
 * The security domain of a pool, which any 2 of the 3 custodians of `azureDomain` open, made beside the service that runs: its
 * root keys are the current ones from then on, and the service wraps everything by them.
 * @param settings of the service @returns the file's text
 */
export async function exportDomain(settings: Readonly<Record<string, string>>): Promise<string> {
  const of = (name: string) => settings[name] ?? '';
  const { context, pool, hsm, close } = await openPool(
    {
      databaseUrl: of('DATABASE_URL'),
      pool: settings['STRONGROOM_POOL'] ?? 'main',
      pkcs11: {
        module: of('PKCS11_MODULE'),
        tokenLabel: of('PKCS11_TOKEN_LABEL'),
        pin: of('PKCS11_PIN'),
      },
    },
    createLog('silent'),
  );
  try {
    const { generation, rootCheck, backupKeys, entries } = await openRootKeyCeremony(
      context,
      pool,
      hsm,
    ).exportRootKeys();
    if (backupKeys === undefined) throw new TypeError('SoftHSM2 wraps HMAC keys');
    const store = createRootKeyStore(context);
    const made = { number: generation, rootCheck, opensBackups: false };
    if (!(await store.makeCurrent(made, [], draft('SecurityDomainDownload'))))
      throw new Error('other root keys have become the current ones');
    await createBackupKeyStore(context).insert(backupKeys, draft('BackupKeysCreate'));
    const custodians = azureDomain.custodians.map(({ certificate }) => certificate);
    const parts = { envelopes: createEnvelopes(), randomBytes };
    const domain = await sealDomain(parts, entries, custodians, 2);
    eraseEntries(entries);
    return formatDomain(domain);
  } finally {
    await close();
  }
}
