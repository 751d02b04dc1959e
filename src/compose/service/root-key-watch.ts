import type { RootKeyState } from '../../core/recovery/root-keys/ports.ts';
import { repeat } from '../../core/repeating.ts';
import { withLockIfFree } from '../../store/pool/pool-store.ts';
import { createRootKeyStore } from '../../store/recovery/root-keys/root-key-store.ts';
import { LIMITS } from '../limits.ts';
import { followRootKeys, openRootKeyRotation, rotationLock } from '../root-keys.ts';
import type { Base } from './base.ts';

/**
 * Keeps this process's root keys those of the pool, and ends rotations that a download of the security domain has begun, or a
 * command that has died: one process at a time, in the background.
 */
export function watchRootKeys(base: Base) {
  const { log, context, pool, feed, hsm } = base;
  const store = createRootKeyStore(context);
  let state: RootKeyState | undefined;
  let isStopped = false;
  let following: Promise<void> | undefined;
  let isStale = false;

  const rotation = openRootKeyRotation(context, hsm, { isStopped: () => isStopped });

  /** What changes while it is read is read again. */
  async function follow(): Promise<void> {
    do {
      isStale = false;
      await followRootKeys(base, hsm, log);
    } while (asBoolean(isStale) && !isStopped);
  }

  function changed(): void {
    isStale = true;
    following ??= follow()
      .catch((error: unknown) => {
        log.warn({ err: error }, 'the root keys could not be read: it is tried again');
      })
      .finally(() => {
        following = undefined;
      });
  }

  feed.subscribe((change) => {
    if (change === 'reset' || change.topic === 'root-keys') changed();
  });

  async function look(): Promise<void> {
    await followRootKeys(base, hsm, log);
    // Rows are counted only while there is something to count: of many keys that takes Postgres a while.
    const isUnfinished = await store.isUnfinished();
    state = isUnfinished ? await store.readState() : undefined;
    if (pool.keeping === 'resident' || !isUnfinished) return;
    await withLockIfFree(context.db, rotationLock(pool), async () => {
      // The one who had the lock may have come to the end.
      if (!(await store.isUnfinished())) return;
      log.info({}, 'a rotation of the root keys has not ended: this process goes on with it');
      const { broken, isOver } = await rotation.finish();
      if (broken > 0)
        log.error(
          { rows: broken },
          'a rotation of the root keys cannot end: the seals of some rows do not verify',
        );
      else if (isOver) log.info({}, 'the rotation of the root keys has ended');
    });
    state = await store.readState();
  }

  const onFault = (error: unknown) => {
    log.error({ err: error }, 'the rotation of the root keys failed: it is tried again');
  };
  const stop = repeat(look, LIMITS.rootKeysEveryMs, Math.random, onFault);
  let looking: Promise<void> | undefined;
  return {
    readState: () => store.readState(),
    /** Resolves when what this process has changed is in use here. */
    followed: () => following ?? Promise.resolve(),
    /** A rotation has begun here: it need not wait for the next regular look. */
    lookNow(): void {
      looking ??= look()
        .catch(onFault)
        .finally(() => {
          looking = undefined;
        });
    },
    /** Rows by the generation that seals them, for all but the current one; as last read. */
    get rowsLeft(): ReadonlyMap<number, number> {
      const old = state?.generations.filter(({ isCurrent }) => !isCurrent) ?? [];
      return new Map(old.map(({ number, rows }) => [number, rows]));
    },
    async stop(): Promise<void> {
      isStopped = true;
      await stop();
      await looking;
      await following;
    },
  };
}

export type RootKeyWatch = ReturnType<typeof watchRootKeys>;

/** Changed by others while something was waited for. */
function asBoolean(value: boolean): boolean {
  return value;
}
