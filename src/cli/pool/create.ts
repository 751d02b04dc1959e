import { bootstrap } from '../../compose/bootstrap.ts';
import { tokenOf } from '../../compose/service/pool-settings.ts';
import { isGuid } from '../../core/guid.ts';
import type { KeyKeeping } from '../../core/keys/key-keeping.ts';
import { OperatorError } from '../../core/operator-error.ts';
import { createLog } from '../../observability/log.ts';
import { requireCurrentSchema } from '../../store/migrate.ts';
import type { CliContext } from '../cli-context.ts';
import { requireAbsent, writeCredentials } from '../credentials-file.ts';
import { databaseUrlOf } from '../open-pool.ts';
import { tokensOf } from '../pkcs11-settings.ts';

export interface CreateOptions {
  readonly administrators?: readonly string[];
  readonly credentials?: string;
  readonly token?: string;
  readonly keys?: KeyKeeping;
  readonly securityDomain: boolean;
}

/** `strongroom pool create` */
export async function createPool(
  context: CliContext,
  name: string,
  options: CreateOptions,
): Promise<void> {
  const { administrators = [], credentials, token, keys, securityDomain } = options;
  requireOneOf(administrators, credentials);
  if (credentials !== undefined) await requireAbsent(credentials);
  const { config, secrets } = context.readSettings();
  if (name === config.pool)
    throw new OperatorError(
      `"${name}" is the default pool (STRONGROOM_POOL), which \`strongroom bootstrap\` makes.`,
    );
  const databaseUrl = await databaseUrlOf(config, secrets, 'service');
  await requireCurrentSchema(databaseUrl);
  const { administrator } = await bootstrap(
    {
      domain: config.domain,
      pool: name,
      databaseUrl,
      pkcs11: tokenOf(await tokensOf(context), { name, tokenLabel: token }),
      keeping: keys ?? config.keeping,
      softDeleteDays: config.softDeleteDays,
      purgeProtection: config.purgeProtection,
      administrator: credentials === undefined ? 'none' : 'administrator',
      ...(!securityDomain && { activation: 'hsm' }),
      beside: {
        home: credentials === undefined ? config.pool : undefined,
        tokenLabel: token,
        administrators,
      },
      isNew: true,
    },
    createLog(config.logLevel),
  );
  if (credentials !== undefined) await writeCredentials(credentials, administrator);
  context.print(
    `The pool "${name}" is made: https://${name}.${config.domain}, on the port of the service.`,
  );
  if (securityDomain)
    context.print(
      'Its keys can be used once its security domain has been downloaded: `strongroom security-domain download --pool` or `az keyvault security-domain download`.',
    );
}

function requireOneOf(administrators: readonly string[], credentials: string | undefined): void {
  if (administrators.length > 0 === (credentials !== undefined))
    throw new OperatorError(
      'Say who the administrators are: --administrators, of the directory of the default pool, or --credentials, where the pool is to keep a directory of its own.',
    );
  const wrong = administrators.find((id) => !isGuid(id));
  if (wrong !== undefined)
    throw new OperatorError(`--administrators: ${wrong} is no object id, which is a GUID.`);
}
