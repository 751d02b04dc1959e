import { deleteByOperator } from '../../compose/pool-change.ts';
import { OperatorError } from '../../core/operator-error.ts';
import { createLog } from '../../observability/log.ts';
import { requireCurrentSchema } from '../../store/migrate.ts';
import type { CliContext } from '../cli-context.ts';
import { databaseUrlOf } from '../open-pool.ts';

/** `strongroom pool delete` */
export async function deleteOnePool(context: CliContext, name: string): Promise<void> {
  const { config, secrets } = context.readSettings();
  if (name === config.pool)
    throw new OperatorError(
      `"${name}" is the default pool (STRONGROOM_POOL), without which the service does not start: it is not deleted.`,
    );
  const databaseUrl = await databaseUrlOf(config, secrets, 'service');
  await requireCurrentSchema(databaseUrl);
  const purgeAt = await deleteByOperator({ databaseUrl, pool: name }, createLog(config.logLevel));
  context.print(
    purgeAt === undefined
      ? `The pool "${name}" was deleted before.`
      : `The pool "${name}" is deleted, and can be recovered until ${purgeAt.toISOString()}.`,
  );
}
