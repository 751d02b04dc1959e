import { ABANDONED_AFTER_MS, type AuditChain, COUNTERSIGNED_AFTER_MS } from './chain.ts';
import {
  type Checkpoint,
  CHECKPOINT_TYPE,
  digestOf,
  serializePayload,
  type RetentionPayload,
  type CountersignedHead,
} from './checkpoint.ts';
import { ServiceError } from '../errors.ts';
import type { Clock } from '../clock.ts';
import type { CheckpointStore } from './ports.ts';
import type { CertifiedKeys, JwsSigner } from '../pool/certified-keys.ts';

export interface CheckpointServiceParts {
  /** Those of this process. */
  readonly chains: readonly AuditChain[];
  readonly store: CheckpointStore;
  readonly certifiedKeys: Pick<CertifiedKeys, 'signer'>;
  readonly poolId: string;
  readonly clock: Clock;
  readonly onSigned?: (time: Date) => void;
  /** Somebody has taken checkpoints away that this process has seen. */
  readonly onLoss: (missing: { readonly number: number; readonly found: number }) => void;
}

export interface CheckpointService {
  /** Signs what has grown, where it is time to. */
  runOnce(): Promise<void>;
  /**
   * Signs what stands unsigned in the chains of others, so that it can't be changed or cut off from then on, and ends the
   * chains of processes that have gone without ending them.
   */
  countersign(): Promise<void>;
  /** Signs whatever isn't signed yet, and what has been taken away for its age. */
  sign(retention?: RetentionPayload): Promise<Checkpoint | undefined>;
}

/** A record is covered by a signature after so long, or as soon as so many wait. */
const SIGN_AFTER_MS = 5_000;
const SIGN_AT_RECORDS = 1_000;
const COUNTERSIGNED_AT_ONCE = 50;
/** How many numbers in a row other processes may take while this one signs. */
const APPEND_TRIES = 20;

/**
 * Signs how far chains go: together the checkpoints cover all chains of the pool. Each process signs what it has
 * written itself, from its own memory: whoever adds records there in the database can't have them signed. What nobody has
 * signed in time, since its process was killed or hangs, another signs as it finds it, and says so. Checkpoints form a
 * list of their own, each with the digest of the one before, which all processes of a pool extend: whose number is taken
 * meanwhile signs the next.
 */
export function createCheckpointService(parts: CheckpointServiceParts): CheckpointService {
  const { chains, store, certifiedKeys, poolId, clock, onLoss } = parts;
  let signedAt = clock.now().getTime();
  let seen: Checkpoint | undefined;

  const unsigned = () => chains.flatMap((chain) => chain.unsigned());

  async function write(
    heads: readonly CountersignedHead[],
    retention?: RetentionPayload,
  ): Promise<Checkpoint> {
    const signer = await certifiedKeys.signer('audit');
    const written = await append(signer, heads, retention);
    seen = written;
    parts.onSigned?.(written.time);
    signedAt = clock.now().getTime();
    return written;
  }

  /** The HSM signs while no transaction is open; where another process was quicker, it signs the next number. */
  async function append(
    signer: JwsSigner,
    heads: readonly CountersignedHead[],
    retention: RetentionPayload | undefined,
  ): Promise<Checkpoint> {
    for (let tries = 0; tries < APPEND_TRIES; tries += 1) {
      const checkpoint = await make(signer, await store.findNewest(), heads, retention);
      if (await store.append(checkpoint, heads, retention !== undefined)) return checkpoint;
    }
    throw new ServiceError('Conflict', 'Other processes took each number for a checkpoint.');
  }

  async function make(
    signer: JwsSigner,
    newest: Checkpoint | undefined,
    heads: readonly CountersignedHead[],
    retention: RetentionPayload | undefined,
  ): Promise<Checkpoint> {
    const before = later(newest, seen);
    if (seen !== undefined && before === seen && newest?.number !== seen.number)
      onLoss({ number: seen.number, found: newest?.number ?? 0 });
    const number = (before?.number ?? 0) + 1;
    const time = clock.now();
    const jws = await signer.sign(
      serializePayload({
        pool: poolId,
        number,
        previous: before === undefined ? null : digestOf(before.jws),
        time,
        heads: heads.map((head) => ({ ...head })),
        ...(retention !== undefined && { retention }),
      }),
      CHECKPOINT_TYPE,
    );
    return { number, time, jws };
  }

  async function sign(retention?: RetentionPayload): Promise<Checkpoint | undefined> {
    const heads = unsigned();
    if (heads.length === 0 && retention === undefined) return undefined;
    const written = await write(heads, retention);
    for (const chain of chains) chain.signed(heads);
    return written;
  }

  return {
    sign,
    async runOnce() {
      const waiting = unsigned();
      const grown = chains.reduce((sum, chain) => sum + chain.grown(), 0);
      const isDue = grown >= SIGN_AT_RECORDS || clock.now().getTime() - signedAt >= SIGN_AFTER_MS;
      if (waiting.length > 0 && isDue) await sign();
    },
    async countersign() {
      const now = clock.now().getTime();
      const limits = {
        unsignedBefore: new Date(now - COUNTERSIGNED_AFTER_MS),
        abandonedBefore: new Date(now - ABANDONED_AFTER_MS),
      };
      const found = await store.listUnsigned(limits, COUNTERSIGNED_AT_ONCE);
      const own = new Set(chains.map((chain) => chain.id()));
      const heads = found.filter(({ chain }) => !own.has(chain));
      if (heads.length > 0)
        await write(heads.map((head) => ({ ...head, countersigned: true as const })));
    },
  };
}

/** What this process has seen stands even where it was taken away: the gap that it leaves is the evidence. */
function later(
  found: Checkpoint | undefined,
  seen: Checkpoint | undefined,
): Checkpoint | undefined {
  if (found === undefined || seen === undefined) return found ?? seen;
  return found.number >= seen.number ? found : seen;
}
