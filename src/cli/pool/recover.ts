import { recoverByOperator } from '../../compose/pool-change.ts';
import { createLog } from '../../observability/log.ts';
import { requireCurrentSchema } from '../../store/migrate.ts';
import type { CliContext } from '../cli-context.ts';
import { databaseUrlOf } from '../open-pool.ts';

/** `strongroom pool recover` */
export async function recoverOnePool(context: CliContext, name: string): Promise<void> {
  const { config, secrets } = context.readSettings();
  const databaseUrl = await databaseUrlOf(config, secrets, 'service');
  await requireCurrentSchema(databaseUrl);
  const isDone = await recoverByOperator({ databaseUrl, pool: name }, createLog(config.logLevel));
  context.print(isDone ? `The pool "${name}" serves again.` : `The pool "${name}" is not deleted.`);
}
