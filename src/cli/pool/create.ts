import { bootstrap } from '../../compose/bootstrap.ts';
import { tokenOf } from '../../compose/service/pool-settings.ts';
import { isGuid } from '../../core/guid.ts';
import type { KeyKeeping } from '../../core/keys/key-keeping.ts';
import { OperatorError } from '../../core/operator-error.ts';
import { createLog } from '../../observability/log.ts';
import { requireCurrentSchema } from '../../store/migrate.ts';
import type { CliContext } from '../cli-context.ts';
import { databaseUrlOf } from '../open-pool.ts';
import { tokensOf } from '../pkcs11-settings.ts';

export interface CreateOptions {
  readonly administrators: readonly string[];
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
  const { administrators, token, keys, securityDomain } = options;
  const wrong = administrators.find((id) => !isGuid(id));
  if (wrong !== undefined)
    throw new OperatorError(`--administrators: ${wrong} is no object id, which is a GUID.`);
  const { config, secrets } = context.readSettings();
  if (name === config.pool)
    throw new OperatorError(
      `"${name}" is the default pool (STRONGROOM_POOL), which \`strongroom bootstrap\` makes.`,
    );
  const databaseUrl = await databaseUrlOf(config, secrets, 'service');
  await requireCurrentSchema(databaseUrl);
  await bootstrap(
    {
      domain: config.domain,
      pool: name,
      databaseUrl,
      pkcs11: tokenOf(await tokensOf(context), { name, tokenLabel: token }),
      keeping: keys ?? config.keeping,
      softDeleteDays: config.softDeleteDays,
      purgeProtection: config.purgeProtection,
      administrator: 'none',
      ...(!securityDomain && { activation: 'hsm' }),
      beside: { home: config.pool, tokenLabel: token, administrators },
    },
    createLog(config.logLevel),
  );
  context.print(
    `The pool "${name}" is made: https://${name}.${config.domain}, on the port of the service.`,
  );
  if (securityDomain)
    context.print(
      'Its keys can be used once its security domain has been downloaded: `strongroom security-domain download --pool` or `az keyvault security-domain download`.',
    );
}
