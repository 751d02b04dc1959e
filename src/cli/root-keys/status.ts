import type { RootGeneration, RootKeyState } from '../../core/recovery/root-keys/ports.ts';
import { reportRootKeys } from '../../core/recovery/root-keys/root-key-report.ts';
import { createLog } from '../../observability/log.ts';
import { createRootKeyStore } from '../../store/recovery/root-keys/root-key-store.ts';
import type { CliContext } from '../cli-context.ts';
import { openStoreOf } from '../open-pool.ts';

export interface StatusOptions {
  readonly json?: true;
}

/** `strongroom root-keys status`: asks the database alone. */
export async function printRootKeyStatus(
  context: CliContext,
  options: StatusOptions,
): Promise<void> {
  const { config } = context.readSettings();
  const opened = await openStoreOf(context, createLog(config.logLevel));
  try {
    const state = await createRootKeyStore(opened.context).readState();
    context.print(
      options.json === true ? JSON.stringify(reportRootKeys(state), null, 2) : describe(state),
    );
  } finally {
    await opened.close();
  }
}

function describe({ generations, retired, pending }: RootKeyState): string {
  return [
    ...retired.map(({ number, retiredAt, destroyedAt }) =>
      destroyedAt === undefined
        ? `generation ${number}: seals nothing since ${retiredAt.toISOString()}, and is still in the HSM`
        : `generation ${number}: destroyed ${destroyedAt.toISOString()}`,
    ),
    ...generations.map(
      (generation) =>
        `generation ${generation.number}: made ${generation.madeAt.toISOString()}, seals ${generation.rows} keys${roleOf(generation)}`,
    ),
    ...(pending === undefined
      ? []
      : [
          `generation ${pending.number}: made ${pending.madeAt.toISOString()} by a download of the security domain; ${describeWaiting(pending.awaited)}`,
        ]),
  ].join('\n');
}

function describeWaiting(awaited: readonly string[]): string {
  return awaited.length === 0
    ? 'becomes the current one as soon as a process does it: the service, or `strongroom root-keys rotate`'
    : `waits for replicas whose HSM does not hold it: ${awaited.join(', ')}`;
}

function roleOf({ isCurrent, isKept, opensBackups }: RootGeneration): string {
  if (isCurrent) return '; new keys are sealed by it';
  if (!isKept) return '; it is destroyed when it seals nothing any more';
  return opensBackups ? '; kept for old backup blobs' : '; kept';
}
