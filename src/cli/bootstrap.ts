import { bootstrap } from '../compose/bootstrap.ts';
import { required } from '../config/config.ts';
import type { KeyKeeping } from '../core/keys/key-keeping.ts';
import { readPin } from '../config/setting-files.ts';
import { createLog } from '../observability/log.ts';
import { requireOwnSessions } from '../store/feed-connection.ts';
import { requireCurrentSchema } from '../store/migrate.ts';
import type { CliContext } from './cli-context.ts';
import { requireAbsent, writeCredentials } from './credentials-file.ts';

export interface BootstrapOptions {
  /** Where the pool's keys are; as the settings have it where absent. */
  readonly keys?: KeyKeeping;
  /** Whether the pool is used only once its security domain has been downloaded. */
  readonly securityDomain: boolean;
}

/**
 * `strongroom bootstrap`
 * @param credentialsFile must not be there yet
 */
export async function bootstrapPool(
  { readSettings, print }: CliContext,
  credentialsFile: string,
  { keys, securityDomain }: BootstrapOptions,
): Promise<void> {
  await requireAbsent(credentialsFile);
  const { config, secrets } = readSettings();
  const pkcs11 = required(config.pkcs11, 'PKCS11_MODULE');
  const databaseUrl = required(secrets.databaseUrl, 'DATABASE_URL');
  await requireCurrentSchema(databaseUrl);
  await requireOwnSessions(databaseUrl);
  const { administrator, activation } = await bootstrap(
    {
      domain: config.domain,
      pool: config.pool,
      databaseUrl,
      pkcs11: { ...pkcs11, pin: await readPin(secrets) },
      keeping: keys ?? config.keeping,
      softDeleteDays: config.softDeleteDays,
      purgeProtection: config.purgeProtection,
      administrator: 'administrator',
      ...(!securityDomain && { activation: 'hsm' }),
    },
    createLog(config.logLevel),
  );
  await writeCredentials(credentialsFile, administrator);
  print(
    `The pool "${config.pool}" is there; the credentials of its new administrator are in ${credentialsFile}.`,
  );
  if (activation === 'none')
    print(
      'Its keys can be used once its security domain has been downloaded: `strongroom security-domain download` or `az keyvault security-domain download`. Where the HSM keeps copies of its own, run this again with --no-security-domain.',
    );
}
