import { judgeLeftovers } from '../../core/recovery/root-keys/leftovers.ts';
import type { Promotion } from '../../core/recovery/root-keys/pending-generation.ts';
import type { RootKeyState } from '../../core/recovery/root-keys/ports.ts';
import { repeat } from '../../core/repeating.ts';
import { withLockIfFree } from '../../store/pool/pool-store.ts';
import { createRootKeyStore } from '../../store/recovery/root-keys/root-key-store.ts';
import { LIMITS } from '../limits.ts';
import {
  followRootKeys,
  openPromoter,
  openRootKeyRotation,
  type RootKeyUse,
  rotationLock,
} from '../root-keys.ts';
import type { Base } from './base.ts';

/**
 * Keeps this process's root keys those of the pool, and ends rotations that a download of the security domain has begun, or a
 * command that has died: one process at a time, in the background.
 */
export function watchRootKeys(base: Base) {
  const { log, context, pool, feed, hsm } = base;
  const store = createRootKeyStore(context);
  let state: RootKeyState | undefined;
  // The start has opened them.
  let use: RootKeyUse = { generation: pool.rootGeneration, isHeld: true, isVouched: true };
  const said = new Set<string>();
  let isStopped = false;
  let following: Promise<void> | undefined;
  let isStale = false;

  const rotation = openRootKeyRotation(context, hsm, { isStopped: () => isStopped });
  const promoter = openPromoter(context, hsm, { own: base.settings.replica, isAlone: false });
  let promotion: Promotion = { kind: 'none' };

  async function followNow(): Promise<void> {
    const now = await followRootKeys(base, hsm);
    if (now === undefined) return;
    const isNew = now.generation !== use.generation || now.isHeld !== use.isHeld;
    use = now;
    if (!isNew) return;
    if (now.isHeld) log.info({ generation: now.generation }, 'the current root keys are in use');
    else log.error({ generation: now.generation }, lackOf(now));
  }

  /** What changes while it is read is read again. */
  async function follow(): Promise<void> {
    do {
      isStale = false;
      await followNow();
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

  /** Rows that nobody waits for, and that somebody has to hear of: once. */
  async function sayForeign(now: RootKeyState): Promise<void> {
    // What others have made current is judged by whoever uses it.
    if (now.generations.some((one) => one.isCurrent && one.number !== hsm.rootGeneration())) return;
    for (const { sentence } of (await judgeLeftovers(hsm, now)).foreign) {
      if (said.has(sentence)) continue;
      said.add(sentence);
      log.error({}, sentence);
    }
  }

  /** Root keys of a download that wait for the replicas' HSMs. */
  async function promote(): Promise<void> {
    const now = await promoter.attempt();
    const isNew = JSON.stringify(now) !== JSON.stringify(promotion);
    promotion = now;
    if (!isNew || now.kind === 'none') return;
    const { generation } = now;
    if (now.kind === 'current')
      log.info({ generation }, 'the root keys of the newest security domain are the current ones');
    else if (now.awaited.length > 0)
      log.warn(
        { generation, replicas: now.awaited },
        'new root keys wait for replicas whose HSM does not hold them: restore the newest security domain there',
      );
  }

  async function look(): Promise<void> {
    await followNow();
    if (pool.keeping === 'sealed') {
      await promote();
      await rotation.destroyHere();
    }
    // Rows are counted only while there is something to count: of many keys that takes Postgres a while.
    const isUnfinished = await store.isUnfinished();
    state = isUnfinished ? await store.readState() : undefined;
    if (pool.keeping === 'resident' || state === undefined) return;
    await sayForeign(state);
    if (!(await rotation.isUnfinished())) return;
    await withLockIfFree(context.db, rotationLock(pool), async () => {
      // The one who had the lock may have come to the end.
      if (!(await rotation.isUnfinished())) return;
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
    /** What this process's HSM holds, of the root keys that new keys are sealed by. */
    get held(): readonly number[] {
      return use.isHeld ? [use.generation] : [];
    },
    /** For which replicas new root keys wait; as last seen. */
    get awaited(): readonly string[] {
      return promotion.kind === 'waiting' ? promotion.awaited : [];
    },
    /** New root keys that wait for others and that the HSM here holds. */
    heldPending: () => promoter.heldPending(),
    /** Why this process can't serve what the pool's current root keys seal; undefined where it can. */
    lack: () => (use.isHeld ? undefined : lackOf(use)),
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

function lackOf({ generation, isVouched }: RootKeyUse): string {
  if (!isVouched)
    return `The root keys of generation ${generation}, which the database names as the pool's current ones, aren't those that have come after the ones that this process uses: it goes on with these. Somebody may have brought them in, and changed the database: look at \`strongroom audit verify\`.`;
  return `The HSM here does not hold the root keys of generation ${generation}, which are the pool's current ones, or the database names older ones than before. Bring them in: \`strongroom security-domain transfer-key\` and \`restore\` by the newest security domain, or by what the HSM has for that itself.`;
}

export type RootKeyWatch = ReturnType<typeof watchRootKeys>;

/** Changed by others while something was waited for. */
function asBoolean(value: boolean): boolean {
  return value;
}
