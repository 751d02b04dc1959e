import { ABANDONED_AFTER_MS, CHAIN_START, type ChainHead } from '../chain.ts';
import {
  type Checkpoint,
  type CheckpointPayload,
  digestOf,
  parsePayload,
  type CountersignedHead,
  type RetentionPayload,
} from '../checkpoint.ts';
import { followChain } from './chain-links.ts';
import type { Clock } from '../../clock.ts';
import { createStateVerifier } from './state-verification.ts';
import type { LogProblem, VerificationReport, VerificationRequest } from './verification-report.ts';
import type { StateReader, AuditLogReader } from '../ports.ts';
import type { CertifiedKeys } from '../../pool/certified-keys.ts';

export interface LogVerifierParts {
  readonly auditLog: AuditLogReader;
  readonly state: StateReader;
  readonly certifiedKeys: Pick<CertifiedKeys, 'verify'>;
  readonly poolId: string;
  readonly clock: Clock;
}

const PAGE = 200;
/** A process signs within seconds; what one has left that died is countersigned, in a pool that is in use, within this. */
const UNSIGNED_LIMIT_MS = 2 * ABANDONED_AFTER_MS;

class Found extends Error {
  readonly problem: LogProblem;
  constructor(problem: LogProblem) {
    super(problem.kind);
    this.problem = problem;
  }
}

interface Reached extends ChainHead {
  readonly ends: boolean;
}

/**
 * Checks that the audit log is what was written: every checkpoint's signature and its link to the one before; every chain,
 * record by record, from one signed head to the next; and what has come since the last of them. Then the rows of the store
 * are held against what the records witness. Needs memory for the chains only, however long they are.
 */
export function createLogVerifier(parts: LogVerifierParts) {
  const { auditLog, certifiedKeys, poolId, clock } = parts;
  const state = createStateVerifier(parts);

  async function open(checkpoint: Checkpoint): Promise<CheckpointPayload> {
    const read = parsePayload(await certifiedKeys.verify('audit', checkpoint.jws));
    if (
      read?.pool !== poolId ||
      read.number !== checkpoint.number ||
      read.time.getTime() !== checkpoint.time.getTime()
    )
      throw new Found({ kind: 'checkpoint changed', number: checkpoint.number });
    return read;
  }

  async function verify(request: VerificationRequest): Promise<VerificationReport> {
    const counts = { checkpoints: 0, records: 0, unsigned: 0, rows: 0 };
    /** As the chains' own processes say, and as others have found them, where that is further. */
    const reached = new Map<string, Reached>();
    const found = new Map<string, ChainHead>();
    const counted = new Map<string, number>();
    const countersigned = new Map<string, number>();
    const removed = new Map<string, ChainHead>();
    let removedBefore: Date | undefined;
    let removedCheckpoints: { number: number; digest: Uint8Array } | undefined;

    /** From where a chain is to be followed: its last signed head up to that checkpoint, or where it was cut off. */
    async function startOf(chain: string, number: number): Promise<Reached> {
      const mention = await auditLog.lastMention(chain, number);
      const head = mention && (await open(mention)).heads.find((one) => one.chain === chain);
      const known = head ?? { chain, sequence: 0, hash: CHAIN_START, ends: false };
      const cut = removed.get(chain);
      return cut !== undefined && cut.sequence > known.sequence ? { ...cut, ends: false } : known;
    }

    /** @returns how many of the records had not been read before */
    async function follow(from: ChainHead, to: ChainHead | number): Promise<number> {
      const result = await followChain(auditLog, poolId, from, to, (...page) =>
        state.checkIndex(...page),
      );
      if ('kind' in result) throw new Found(result);
      const { chain, sequence } = result.head;
      const before = Math.max(from.sequence, counted.get(chain) ?? 0);
      const fresh = Math.max(0, sequence - before);
      counted.set(chain, before + fresh);
      counts.records += fresh;
      return fresh;
    }

    /** What a chain's own process says is followed from what it said before: no other can take its place. */
    async function followHead(head: CountersignedHead, from: Reached): Promise<void> {
      const { chain } = head;
      const isOthers = head.countersigned === true;
      const start = isOthers ? furthest(from, found.get(chain)) : from;
      const fresh = head.sequence > start.sequence ? await follow(start, head) : 0;
      if (isOthers) countersigned.set(chain, (countersigned.get(chain) ?? 0) + fresh);
      else countersigned.delete(chain);
      if (isOthers && !head.ends) found.set(chain, furthest(head, found.get(chain)));
      else reached.set(chain, head);
    }

    async function checkRetentions(): Promise<void> {
      for (const checkpoint of await auditLog.listRetentions()) {
        const { retention } = await open(checkpoint);
        if (retention === undefined || !(await isCarriedOut(retention))) continue;
        for (const cut of retention.chains) removed.set(cut.chain, cut);
        removedBefore = retention.before;
        removedCheckpoints = retention.checkpoints ?? removedCheckpoints;
      }
    }

    /**
     * Whether what was to be removed is gone. All of it goes in one transaction: where any of it is there, all of it must be,
     * and is verified as if nothing had been said of it. A record that somebody puts into a removed part has nothing that
     * it could be held against, and rows would be believed by what it witnesses.
     */
    async function isCarriedOut({ chains, checkpoints }: RetentionPayload): Promise<boolean> {
      const left = await auditLog.findUpTo(chains);
      if (left === undefined) return true;
      const number = checkpoints?.number ?? 0;
      const [last] = await auditLog.listCheckpoints({ after: number - 1, limit: 1 });
      if (number > 0 && last?.number !== number) {
        const { chain, sequence } = left;
        throw new Found({ kind: 'inserted', chain, sequence, ...nameOf(left) });
      }
      return false;
    }

    function checkLink(
      before: { readonly number: number; readonly digest: Uint8Array } | undefined,
      checkpoint: Checkpoint,
      payload: CheckpointPayload,
    ): void {
      const { number } = checkpoint;
      if (number !== (before?.number ?? 0) + 1)
        throw new Found({ kind: 'checkpoint removed', number: (before?.number ?? 0) + 1 });
      const isLinked =
        before === undefined
          ? payload.previous === null
          : payload.previous !== null && isEqual(payload.previous, before.digest);
      if (!isLinked) throw new Found({ kind: 'checkpoint not linked to the one before', number });
    }

    async function followHeads({ heads, number }: CheckpointPayload): Promise<void> {
      for (const head of heads) {
        const from = reached.get(head.chain) ?? (await startOf(head.chain, number - 1));
        reached.set(head.chain, from);
        if (from.ends && head.sequence > from.sequence)
          throw new Found({ kind: 'inserted', chain: head.chain, sequence: from.sequence + 1 });
        const isCutOff = (removed.get(head.chain)?.sequence ?? 0) >= head.sequence;
        if (!isCutOff) await followHead(head, from);
      }
    }

    async function followTails(number: number): Promise<void> {
      const early = await auditLog.findBeforeStart();
      if (early !== undefined) {
        const { chain, sequence } = early;
        throw new Found({ kind: 'inserted', chain, sequence, ...nameOf(early) });
      }
      for (const chain of await auditLog.listChains()) {
        const own = reached.get(chain) ?? (await startOf(chain, number));
        const from = own.ends ? own : { ...furthest(own, found.get(chain)), ends: false };
        const end = await auditLog.chainEnd(chain);
        if (end < from.sequence) await requireCutOff(chain, from);
        if (end <= from.sequence) continue;
        const [first] = await auditLog.readChain(chain, {
          after: from.sequence,
          upTo: end,
          limit: 1,
        });
        if (first === undefined) continue;
        if (from.ends)
          throw new Found({ kind: 'inserted', chain, sequence: first.sequence, ...nameOf(first) });
        counts.unsigned += await follow(from, end);
        if (clock.now().getTime() - first.time.getTime() > UNSIGNED_LIMIT_MS)
          throw new Found({
            kind: 'not signed',
            chain,
            sequence: first.sequence,
            ...nameOf(first),
          });
      }
    }

    /** Fewer records than were signed: right only where the whole chain was taken away for its age. */
    async function requireCutOff(chain: string, from: ChainHead): Promise<void> {
      if ((removed.get(chain)?.sequence ?? 0) >= from.sequence) return;
      const end = await auditLog.chainEnd(chain);
      throw new Found({ kind: 'removed', chain, sequence: end + 1 });
    }

    async function run(): Promise<Pick<VerificationReport, 'next' | 'nextRow'>> {
      await checkRetentions();
      let before: { number: number; digest: Uint8Array } | undefined = removedCheckpoints;
      if (request.after > (before?.number ?? 0)) {
        const [start] = await auditLog.listCheckpoints({ after: request.after - 1, limit: 1 });
        if (start?.number !== request.after)
          throw new Found({ kind: 'checkpoint removed', number: request.after });
        await open(start);
        before = { number: start.number, digest: digestOf(start.jws) };
      }
      for (;;) {
        const page = await auditLog.listCheckpoints({ after: before?.number ?? 0, limit: PAGE });
        for (const checkpoint of page) {
          const payload = await open(checkpoint);
          checkLink(before, checkpoint, payload);
          await followHeads(payload);
          counts.checkpoints += 1;
          before = { number: checkpoint.number, digest: digestOf(checkpoint.jws) };
          if (request.to !== undefined && checkpoint.time >= request.to) return {};
          if (counts.records >= request.recordLimit) return { next: checkpoint.number };
        }
        if (page.length < PAGE) break;
      }
      await followTails(before?.number ?? 0);
      return request.to === undefined ? followRows(before?.number ?? 0) : {};
    }

    /** Rows are as they are now: what they are held against goes to the chains' tails. */
    async function followRows(number: number) {
      const limit = request.recordLimit - counts.records;
      const { rows, problem, next } = await state.verifyRows(request.afterRow, limit);
      counts.rows = rows;
      if (problem !== undefined) throw new Found(problem);
      return next === undefined ? {} : { next: number, nextRow: next };
    }

    const outcome = () => ({
      ...counts,
      adopted: [...countersigned.values()].reduce((sum, records) => sum + records, 0),
      ...(removedBefore !== undefined && { removedBefore }),
    });
    try {
      if (request.known !== undefined) await requireKnown(request.known);
      const end = await run();
      return { verified: true, ...outcome(), ...end };
    } catch (error) {
      if (!(error instanceof Found)) throw error;
      return { verified: false, ...outcome(), problem: error.problem };
    }
  }

  async function requireKnown(known: string): Promise<void> {
    const payload = parsePayload(await certifiedKeys.verify('audit', known));
    const number = payload?.number ?? 0;
    const [found] = await auditLog.listCheckpoints({ after: number - 1, limit: 1 });
    if (payload === undefined || found?.jws !== known)
      throw new Found({ kind: 'checkpoint differs from the known one', number });
  }

  return {
    verify,
    /** The checkpoint after which a verification from that time on has to begin. */
    async startAt(from: Date): Promise<number> {
      return (await auditLog.lastCheckpointAt(from)) ?? 0;
    },
  };
}

export type LogVerifier = ReturnType<typeof createLogVerifier>;

function furthest(head: ChainHead, other: ChainHead | undefined): ChainHead {
  return other !== undefined && other.sequence > head.sequence ? other : head;
}

function nameOf({ requestId, time }: { readonly requestId: string; readonly time: Date }) {
  return { requestId, time };
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.from(a).equals(b);
}
