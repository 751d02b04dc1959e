import type { Logger } from 'pino';
import type { Pkcs11Hsm } from '../hsm/pkcs11-hsm.ts';
import type { StoreContext } from '../store/database.ts';
import { countBlobHeads } from '../store/keys/blob-heads.ts';
import { withLockIfFree } from '../store/pool/pool-store.ts';

type Context = Pick<StoreContext, 'db' | 'poolId'>;

/** Keys that were wrapped in ways that the module was not seen to open, each in a sentence for the operator. */
export async function findUnopenedKeys(
  context: Context,
  hsm: Pick<Pkcs11Hsm, 'keeping' | 'whyNotOpened'>,
): Promise<readonly string[]> {
  // What is an object of the HSM was never wrapped.
  if (hsm.keeping === 'resident') return [];
  const counts = await countBlobHeads(context);
  return counts.flatMap(({ keys, ...head }) => {
    const why = hsm.whyNotOpened(head);
    if (why === undefined) return [];
    const [count, were] = keys === 1 ? ['1 key version', 'was'] : [`${keys} key versions`, 'were'];
    return [
      `${count} ${were} wrapped ${why}. Operations with them are refused; the module that wrapped them opens them, and new versions of the keys work.`,
    ];
  });
}

/** Beside what the start does: requests don't wait for it, and of the processes that start at once one reads all rows. */
export function logUnopenedKeys(
  context: Context,
  hsm: Pick<Pkcs11Hsm, 'keeping' | 'whyNotOpened'>,
  log: Logger,
): void {
  withLockIfFree(context.db, `unopened keys ${context.poolId}`, () =>
    findUnopenedKeys(context, hsm),
  ).then(
    (sentences) => {
      for (const sentence of sentences ?? []) log.warn({}, sentence);
    },
    (error: unknown) => {
      log.warn({ err: error }, 'whether the HSM opens all keys could not be counted');
    },
  );
}
