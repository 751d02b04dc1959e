import { setTimeout as delay } from 'node:timers/promises';
import type { AuditDraft } from '../../audit/draft.ts';
import type { AuditedChange } from '../../audit/record.ts';
import type { KeyMaterial } from '../../keys/key.ts';
import {
  FORGOTTEN_AFTER_MS,
  type KnownProcess,
  type ReplicaIdentity,
  type ReplicaStore,
  SILENT_AFTER_MS,
} from '../../pool/replicas.ts';
import { findUnvouching, saysSo } from './endorsement.ts';
import type { Endorsement, Voucher } from './ports.ts';
import type { RootKeyMaker } from './root-key-hsm.ts';
import { PROCESSES_AT_MOST, type RootKeyOffer } from './root-key-offer.ts';

/** Root keys that a download of the security domain has made: the pool's next ones. */
export interface PendingGeneration extends RootKeyOffer {
  /** The one that was current when they were made. */
  readonly after: number;
  readonly endorsement: Endorsement;
  /** The pair of backup keys that comes with them, sealed by them; absent for modules that wrap no HMAC keys. */
  readonly backupKeys?: KeyMaterial;
  readonly madeAt: Date;
}

/** A replica whose HSM was seen to lack them. */
interface AwaitedReplica {
  readonly name: string;
  /** An operator has said that it isn't waited for. */
  readonly isGivenUp: boolean;
}

export interface PendingGenerationStore {
  /** Undefined where there are none, or where others have become the current ones since. */
  find(): Promise<PendingGeneration | undefined>;
  /** Also of some that others have overtaken. */
  findNumber(): Promise<number | undefined>;
  /**
   * In one transaction: they are the pool's current ones, their pair of backup keys is the newest, and the pool is active.
   * @returns false where others have become the current ones @throws ServiceError Conflict where they aren't the pending ones
   */
  makeCurrent(pending: PendingGeneration, change: AuditedChange): Promise<boolean>;
  /** Remembers who lacks them, and forgets that of those who hold them by now. */
  noteReplicas(replicas: {
    readonly lacking: readonly string[];
    readonly holding: readonly string[];
  }): Promise<void>;
  /** By name. Those that are older than that are passed over. */
  listAwaited(seenWithinMs: number): Promise<readonly AwaitedReplica[]>;
  /** Nobody waits for these any more. */
  giveUp(names: readonly string[], change: AuditedChange): Promise<void>;
}

export interface PromotionParts {
  readonly hsm: Pick<
    RootKeyMaker,
    | 'rootGeneration'
    | 'holdsRootKeys'
    | 'useRootKeys'
    | 'listWholeGenerations'
    | 'voucher'
    | 'retirementList'
  >;
  readonly store: PendingGenerationStore;
  readonly listVouchers: () => Promise<readonly Voucher[]>;
  readonly replicas: Pick<ReplicaStore, 'list'>;
  /** The replica that this process is of; absent for a command. Its HSM is asked, and not its word. */
  readonly own?: ReplicaIdentity | undefined;
  /** Nothing is recorded while a backup or a restore is under way. @returns undefined then */
  readonly alone: <T>(work: () => Promise<T>) => Promise<T | undefined>;
  readonly draft: (operation: string) => AuditDraft;
}

/** What has become of pending root keys. */
export type Promotion =
  | { readonly kind: 'none' }
  | { readonly kind: 'current'; readonly generation: number }
  | {
      readonly kind: 'waiting';
      readonly generation: number;
      /** Names of replicas; none where this process can't make them current, or a backup is under way. */
      readonly awaited: readonly string[];
    };

export type Promoter = ReturnType<typeof createPromoter>;

const ASK_AGAIN_MS = 50;

/**
 * Makes pending root keys the pool's current ones once the HSM of each replica holds them: one that lacked them could serve
 * nothing any more. A replica that ends or is silent is waited for all the same, since it may be on its way through a restart:
 * for an hour, or until an operator gives it up. Any process does it whose HSM holds them; what is left to do is in the store.
 */
export function createPromoter(parts: PromotionParts) {
  const { hsm, store, own } = parts;

  /**
   * Whether this process could go on by them: what the rows say of them, root keys say too. Whoever can only write rows has
   * the service move to no root keys of theirs.
   */
  async function isUsableHere(pending: PendingGeneration): Promise<boolean> {
    const { after, generation, rootCheck, endorsement } = pending;
    if (hsm.rootGeneration() !== after) return false;
    if (!(await hsm.holdsRootKeys(generation, rootCheck))) return false;
    const vouchers = [...endorsement.vouchers, ...(await parts.listVouchers())];
    if ((await findUnvouching(hsm, generation, vouchers)).length > 0) return false;
    return saysSo(hsm, generation, endorsement.retirement);
  }

  /** @returns names of replicas for which they wait */
  async function awaitedNow(generation: number, isHeldHere: boolean): Promise<readonly string[]> {
    const live = (await parts.replicas.list(PROCESSES_AT_MOST)).filter(
      ({ silentMs }) => silentMs <= SILENT_AFTER_MS,
    );
    const isHeldBy = ({ replica, rootGenerations }: KnownProcess) =>
      replica.id === own?.id ? isHeldHere : rootGenerations.includes(generation);
    const names = new Set(live.map(({ replica }) => replica.name));
    const lacking = new Set(
      live.filter((one) => !isHeldBy(one)).map(({ replica }) => replica.name),
    );
    if (own !== undefined) {
      names.add(own.name);
      if (!isHeldHere) lacking.add(own.name);
    }
    const holding = [...names].filter((name) => !lacking.has(name));
    await store.noteReplicas({ lacking: [...lacking], holding });
    const awaited = await store.listAwaited(FORGOTTEN_AFTER_MS);
    return awaited.filter(({ isGivenUp }) => !isGivenUp).map(({ name }) => name);
  }

  async function makeCurrent(pending: PendingGeneration): Promise<boolean | undefined> {
    const { after, generation, rootCheck } = pending;
    const givenUp = (await store.listAwaited(FORGOTTEN_AFTER_MS)).map(({ name }) => name);
    const change = parts.draft('RootKeysRotate');
    change.note({
      change: {
        before: { rootGeneration: after },
        after: { rootGeneration: generation },
        ...(givenUp.length > 0 && { along: { without: givenUp } }),
      },
    });
    const isMade = await parts.alone(() => store.makeCurrent(pending, change));
    if (isMade === true) await hsm.useRootKeys(generation, rootCheck);
    return isMade;
  }

  return {
    isUsableHere,
    find: () => store.find(),

    /** Root keys that are pending, if this process could go on by them. */
    async heldPending(): Promise<number | undefined> {
      const pending = await store.find();
      return pending !== undefined && (await isUsableHere(pending))
        ? pending.generation
        : undefined;
    },

    /** @param waitMs how long replicas may take to say that they hold them */
    async attempt(waitMs = 0): Promise<Promotion> {
      const deadline = performance.now() + waitMs;
      for (;;) {
        const pending = await store.find();
        if (pending === undefined) return { kind: 'none' };
        const { generation } = pending;
        const isHeldHere = await isUsableHere(pending);
        const awaited = await awaitedNow(generation, isHeldHere);
        if (isHeldHere && awaited.length === 0) {
          if ((await makeCurrent(pending)) === true) return { kind: 'current', generation };
        } else if (performance.now() < deadline) {
          await delay(ASK_AGAIN_MS);
          continue;
        }
        return { kind: 'waiting', generation, awaited };
      }
    },

    /** @param names of replicas for which they don't wait any more */
    giveUp: (names: readonly string[]) => {
      const change = parts.draft('RootKeysGiveUpReplicas');
      change.note({ change: { along: { without: names } } });
      return store.giveUp(names, change);
    },
  };
}
