import { hash } from 'node:crypto';
import type { AuditRecord } from './record.ts';
import { canonicalJson } from './canonical-json.ts';
import { FIELD_NAMES } from './record-fields.ts';
import type { Clock } from '../clock.ts';
import { toStorable } from './storable-record.ts';

/** A record in its place. */
export interface LinkedRecord extends AuditRecord {
  readonly chain: string;
  /** From 1 on. */
  readonly sequence: number;
  /** SHA-256 over the hash before it (32 zero bytes at the beginning) and the record's canonical bytes. */
  readonly hash: Uint8Array;
}

/** A record that is to be written. */
export interface NewLink extends Pick<LinkedRecord, 'chain' | 'sequence' | 'time' | 'hash'> {
  /** The record's canonical bytes, as text: JSON of all that is written of it, but for its hash. */
  readonly canonical: string;
  /** Whether it witnesses rows. */
  readonly isWitness: boolean;
}

/** How far a chain goes. */
export interface ChainHead {
  readonly chain: string;
  readonly sequence: number;
  readonly hash: Uint8Array;
}

/** A head as it is to be signed; after one that ends the chain no record may follow. */
export interface SignableHead extends ChainHead {
  readonly ends: boolean;
}

/** The right to extend a chain; it has to be settled, or nobody gets it again. */
export interface ChainLock {
  /** Records linked to the chain's head. Once for each lock. */
  link(records: readonly AuditRecord[]): readonly NewLink[];
  /** Whether what was linked is durable now; a chain of which that is not known is never extended again. */
  settle(outcome: 'written' | 'refused' | 'unknown'): void;
}

export interface AuditChain {
  /** Waits for those who came before. */
  lock(): Promise<ChainLock>;
  /** Of the chain that is extended now. */
  id(): string;
  /** Records that aren't signed yet. */
  grown(): number;
  /** What has grown since it was last signed, and what has ended. */
  unsigned(): readonly SignableHead[];
  signed(heads: readonly SignableHead[]): void;
  /** Ends the chain: what comes after goes to a new one. */
  end(): void;
}

export interface AuditChainParts {
  readonly poolId: string;
  readonly newGuid: () => string;
  readonly clock: Clock;
}

export const CHAIN_START = new Uint8Array(32);
/** A chain that nobody has extended for long is taken for one whose process has ended (see ABANDONED_AFTER_MS). */
const IDLE_LIMIT_MS = 5 * 60_000;
/** With room for clocks that differ, and for a record on its way. */
export const ABANDONED_AFTER_MS = 15 * 60_000;
/** A process signs what it has written every few seconds: what isn't signed after so long is signed by another. */
export const COUNTERSIGNED_AFTER_MS = 15_000;

/** All that can be said of a record in its place, in the order of canonical JSON, and none of it said. */
const UNSAID_IN_PLACE = unsaid([...FIELD_NAMES, 'chain', 'pool', 'sequence']);
const MEMBERS = Object.keys(UNSAID_IN_PLACE);

/**
 * The bytes of a record that its hash covers: RFC 8785 JSON of all that it says, with its pool and its place. Its members
 * are in their order, so that for texts and numbers that is what JSON.stringify gives.
 */
export function canonicalRecord(
  poolId: string,
  { chain, sequence }: Pick<LinkedRecord, 'chain' | 'sequence'>,
  record: AuditRecord,
): string {
  const time = record.time.toISOString();
  const place = { chain, pool: poolId, sequence };
  // Spreads cost as little as naming two dozen members; a loop over their names costs half as much again.
  const all = { ...UNSAID_IN_PLACE, ...record, ...place, time };
  // What was read back from the store has members besides, such as its hash.
  const said = Object.keys(all).length === MEMBERS.length ? all : pickMembers(all);
  return record.change === undefined && record.witnessed === undefined
    ? JSON.stringify(said)
    : canonicalJson(said);
}

function unsaid(names: readonly string[]) {
  return Object.fromEntries([...names].sort().map((name) => [name, undefined]));
}

function pickMembers(all: Readonly<Record<string, unknown>>) {
  return Object.fromEntries(MEMBERS.map((name) => [name, all[name]]));
}

export function linkHash(previous: Uint8Array, canonical: string): Uint8Array {
  const bytes = Buffer.allocUnsafe(previous.length + Buffer.byteLength(canonical));
  bytes.set(previous);
  bytes.write(canonical, previous.length);
  return hash('sha256', bytes, 'buffer');
}

interface Growing {
  head: ChainHead;
  lastTime: Date;
  extendedAt: number;
  signedSequence: number;
}

/**
 * One chain after the other, each extended by one writer at a time. A process has a chain for each way to the store, so
 * that they don't wait for each other.
 */
export function createAuditChain({ poolId, newGuid, clock }: AuditChainParts): AuditChain {
  let current = begin();
  let left: SignableHead[] = [];
  let last: Promise<unknown> = Promise.resolve();

  function begin(): Growing {
    return {
      head: { chain: newGuid(), sequence: 0, hash: CHAIN_START },
      lastTime: new Date(0),
      extendedAt: clock.now().getTime(),
      signedSequence: 0,
    };
  }

  function leave(ends: boolean): void {
    const { head, signedSequence } = current;
    if (head.sequence > 0 && (ends || head.sequence > signedSequence)) left.push({ ...head, ends });
    current = begin();
  }

  function link(records: readonly AuditRecord[]): NewLink[] {
    let { head, lastTime } = current;
    return records.map((record) => {
      if (record.time > lastTime) lastTime = record.time;
      const place = { chain: head.chain, sequence: head.sequence + 1 };
      const canonical = canonicalRecord(poolId, place, plain(record, lastTime));
      head = { ...place, hash: linkHash(head.hash, canonical) };
      return { ...head, time: lastTime, canonical, isWitness: record.witnessed !== undefined };
    });
  }

  function toLock(release: () => void): ChainLock {
    let linked: readonly NewLink[] = [];
    return {
      link: (records) => (linked = link(records)),
      settle(outcome) {
        const newest = linked.at(-1);
        if (newest !== undefined && outcome === 'unknown') leave(false);
        if (newest !== undefined && outcome === 'written') {
          const { chain, sequence, hash } = newest;
          current.head = { chain, sequence, hash };
          current.lastTime = newest.time;
          current.extendedAt = clock.now().getTime();
        }
        release();
      },
    };
  }

  return {
    async lock() {
      const before = last;
      let release: () => void = () => undefined;
      last = new Promise<void>((resolve) => {
        release = resolve;
      });
      await before;
      if (clock.now().getTime() - current.extendedAt > IDLE_LIMIT_MS) leave(true);
      return toLock(release);
    },
    id: () => current.head.chain,
    grown: () => current.head.sequence - current.signedSequence,
    unsigned() {
      const { head, signedSequence } = current;
      return head.sequence > signedSequence ? [...left, { ...head, ends: false }] : [...left];
    },
    signed(heads) {
      const isSigned = (one: SignableHead) =>
        heads.some(
          ({ chain, sequence, ends }) =>
            chain === one.chain && sequence === one.sequence && ends === one.ends,
        );
      left = left.filter((one) => !isSigned(one));
      for (const { chain, sequence } of heads)
        if (chain === current.head.chain)
          current.signedSequence = Math.max(current.signedSequence, sequence);
    },
    end() {
      leave(true);
    },
  };
}

/** As the store gives it back. A record is never older than the one before. */
function plain(record: AuditRecord, time: Date): AuditRecord {
  const storable = toStorable(record);
  return storable.time === time ? storable : { ...storable, time };
}
