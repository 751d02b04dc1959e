import { setTimeout as delay } from 'node:timers/promises';
import type { AuditDraft } from '../../audit/draft.ts';
import { OperatorError } from '../../operator-error.ts';
import { endorse } from './endorsement.ts';
import { isRotationUnfinished, judgeLeftovers, mayBeDestroyed } from './leftovers.ts';
import type { RetiredGeneration, RootGeneration, RootKeyState, RootKeyStore } from './ports.ts';
import { rewrapOnce } from './rewrapping.ts';
import type { RootKeyOffer } from './root-key-offer.ts';
import type { KeyRewrapper, RootKeyCarrier, RootKeyMaker } from './root-key-hsm.ts';

export interface RootKeyRotationParts {
  readonly hsm: KeyRewrapper & RootKeyMaker & Pick<RootKeyCarrier, 'discardRootKeys'>;
  readonly store: RootKeyStore;
  /** Whether the pool has backup keys, which outlive its root keys. */
  readonly hasBackupKeys: () => boolean;
  /** @throws OperatorError where the HSM can't seal by new root keys what older ones have sealed */
  readonly requireMovable: () => Promise<void>;
  /** @throws OperatorError where a process that serves the pool has an HSM that doesn't hold them */
  readonly requireHeldByAll: (offer: RootKeyOffer) => Promise<void>;
  readonly draft: (operation: string) => AuditDraft;
  readonly onRows?: (rows: number) => void;
  readonly isStopped?: () => boolean;
}

export interface RotationChoice {
  /** Whether all the older generations stay in the HSM. */
  readonly keeps: boolean;
  /** Whether those are given up too without which old backup blobs can't be opened. */
  readonly givesBackupsUp: boolean;
}

/** Every process has heard of a new generation by then, or reads it from the store at each request. Seconds. */
const KNOWN_AFTER_SECONDS = 5;
/** Requests that had read a row before it was wrapped anew have ended by then. */
const DESTROYED_AFTER_MS = 10_000;
const ASK_AGAIN_MS = 500;
/** Rows that are changed as fast as they are wrapped are left for the next run. */
const PASSES = 20;

/** What an attempt to end a rotation has come to. */
export interface RotationEnd {
  /** Rows whose seal doesn't verify, which hold up the end. */
  readonly broken: number;
  /** Nothing is left to do; else a later attempt goes on. */
  readonly isOver: boolean;
}

export type RootKeyRotation = ReturnType<typeof createRootKeyRotation>;

/**
 * New root keys for a pool. Whatever cuts it off leaves a pool that works: rows are sealed by the one generation or the
 * other, both are in the HSM, and each step is seen in the store, from where anybody goes on. One process at a time, as
 * the caller sees to.
 */
export function createRootKeyRotation(parts: RootKeyRotationParts) {
  const { hsm, store, draft } = parts;
  const isStopped = () => parts.isStopped?.() === true;

  async function retireOld(): Promise<boolean> {
    for (;;) {
      const { toRetire } = await judgeLeftovers(hsm, await store.readState());
      if (toRetire.length === 0) return true;
      for (const number of toRetire) {
        const proof = await hsm.retirementProof(number);
        const change = draft('RootKeysRetire');
        change.note({ change: { before: { rootGeneration: number } } });
        await store.retire({ number, proof }, KNOWN_AFTER_SECONDS, change);
      }
      // A row that was sealed by it at the last moment has to be wrapped first.
      if (isStopped() || (await store.readState()).generations.some(needsRewrapping)) return false;
      await delay(ASK_AGAIN_MS);
    }
  }

  async function destroyRetired(): Promise<void> {
    const state = await store.readState();
    const { now } = state;
    for (const generation of (await judgeLeftovers(hsm, state)).toDestroy) {
      const since = now.getTime() - generation.retiredAt.getTime();
      await delay(Math.max(0, DESTROYED_AFTER_MS - since));
      await destroy(generation);
    }
  }

  async function destroy({ number }: RetiredGeneration): Promise<void> {
    await destroyIn(number);
    const change = draft('RootKeysDestroy');
    change.note({ change: { before: { rootGeneration: number } } });
    await store.recordDestroyed(number, change);
  }

  /**
   * Where replicas have HSMs of their own, one process ends a rotation, and in its own HSM: what it has destroyed there goes
   * from this one too, if root keys that are here have said so.
   */
  async function destroyHere(): Promise<void> {
    const here: number[] = [];
    for (const number of await hsm.listWholeGenerations())
      if (number !== hsm.rootGeneration() && (await store.isRetired(number))) here.push(number);
    if (here.length === 0) return;
    const state = await store.readState();
    const isLongAgo = ({ retiredAt }: RetiredGeneration) =>
      state.now.getTime() - retiredAt.getTime() >= DESTROYED_AFTER_MS;
    for (const one of state.retired)
      if (here.includes(one.number) && isLongAgo(one) && (await mayBeDestroyed(hsm, state, one)))
        await destroyIn(one.number);
  }

  async function destroyIn(number: number): Promise<void> {
    // Those that a later download has superseded have never been the current ones.
    if (number > hsm.rootGeneration()) await hsm.discardRootKeys(number);
    else await hsm.destroyRootKeys(number);
  }

  return {
    destroyHere,
    isUnfinished: () => isRotationUnfinished(hsm, store),
    readState: () => store.readState(),

    /** Makes the next generation the current one. Nothing of an earlier rotation is left to do. */
    async begin({ keeps, givesBackupsUp }: RotationChoice): Promise<RootKeyState> {
      await parts.requireMovable();
      const { generations } = await store.readState();
      const current = currentOf(generations);
      const offer = await hsm.makeRootKeys(current.number);
      const { generation: number, rootCheck } = offer;
      await parts.requireHeldByAll(offer).catch(async (error: unknown) => {
        await hsm.discardRootKeys(number);
        throw error;
      });
      // Of an earlier rotation nothing is left to do, so that older ones that are there have been kept.
      const retires = generations
        .filter(({ isCurrent, opensBackups }) =>
          opensBackups ? givesBackupsUp && !keeps : isCurrent && !keeps,
        )
        .map((generation) => generation.number);
      const kept = generations
        .map((generation) => generation.number)
        .filter((generation) => !retires.includes(generation));
      const change = draft('RootKeysRotate');
      change.note({
        change: {
          before: { rootGeneration: current.number },
          after: { rootGeneration: number, kept },
        },
      });
      const opensBackups = !parts.hasBackupKeys();
      const endorsement = await endorse(hsm, number, retires);
      const made = { after: current.number, number, rootCheck, opensBackups, endorsement };
      if (!(await store.makeCurrent(made, change)))
        throw new OperatorError('Another process has made new root keys meanwhile.');
      await hsm.useRootKeys(number, rootCheck);
      return store.readState();
    },

    /**
     * Does what is left of a rotation: everything is wrapped by the current root keys, and the older ones are retired and
     * destroyed, but for those that are kept.
     */
    async finish(): Promise<RotationEnd> {
      const { generations } = await store.readState();
      // What the database names is followed by whoever has seen that it is what has come after the ones of before.
      if (currentOf(generations).number !== hsm.rootGeneration())
        return { broken: 0, isOver: false };
      for (let passes = 0; passes < PASSES && !isStopped(); passes += 1) {
        const { broken, rewrapped, missed } = await rewrapOnce(parts);
        if (rewrapped + missed > 0) continue;
        if (broken > 0) return { broken, isOver: false };
        if (!(await retireOld())) continue;
        if (isStopped()) break;
        await destroyRetired();
        return { broken: 0, isOver: true };
      }
      return { broken: 0, isOver: false };
    },
  };
}

export function currentOf(generations: readonly RootGeneration[]): RootGeneration {
  const current = generations.find(({ isCurrent }) => isCurrent);
  if (current === undefined) throw new TypeError('a pool has a current generation');
  return current;
}

function needsRewrapping({ isCurrent, rows }: RootGeneration): boolean {
  return !isCurrent && rows > 0;
}
