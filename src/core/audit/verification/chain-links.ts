import { canonicalRecord, type ChainHead, linkHash, type LinkedRecord } from '../chain.ts';
import type { AuditLogReader } from '../ports.ts';

/** What was done to a chain: the first record that isn't what was written, or the first that is missing. */
export interface ChainProblem {
  readonly kind: 'changed' | 'removed' | 'inserted' | 'reordered';
  readonly chain: string;
  readonly sequence: number;
  /** Of `changed` records whose hashes were made anew: one of those up to here. */
  readonly upTo?: number;
  readonly requestId?: string;
  readonly time?: Date;
}

const PAGE = 1_000;

/**
 * Follows a chain record by record, from a head that is believed to a signed one, or to its end.
 * @param to a head whose hash must be met, or a sequence
 * @param look at each page of records, which follow on `after`; what it finds is the answer
 */
export async function followChain<Problem extends { readonly kind: string }>(
  auditLog: Pick<AuditLogReader, 'readChain'>,
  poolId: string,
  from: ChainHead,
  to: ChainHead | number,
  look: (
    chain: string,
    after: number,
    records: readonly LinkedRecord[],
  ) => Promise<Problem | undefined>,
): Promise<{ readonly head: ChainHead; readonly records: number } | ChainProblem | Problem> {
  const upTo = typeof to === 'number' ? to : to.sequence;
  let head = from;
  while (head.sequence < upTo) {
    // No more than a page of sequences: of those there are a page's records, unless some were put in.
    const page = await auditLog.readChain(head.chain, {
      after: head.sequence,
      upTo: Math.min(upTo, head.sequence + PAGE),
      limit: PAGE + 1,
    });
    const after = head.sequence;
    const wanted = Math.min(upTo, after + PAGE);
    for (const [index, record] of page.entries()) {
      const problem = check(head, record, page.slice(index + 1));
      if (problem !== undefined) return problem;
      head = { chain: head.chain, sequence: record.sequence, hash: record.hash };
    }
    if (head.sequence < wanted)
      return { kind: 'removed', chain: head.chain, sequence: head.sequence + 1 };
    const problem = await look(head.chain, after, page);
    if (problem !== undefined) return problem;
  }
  if (typeof to !== 'number' && !Buffer.from(head.hash).equals(to.hash))
    // Every record has the hash that it should have, and yet the last isn't the one that was signed.
    return { kind: 'changed', chain: head.chain, sequence: from.sequence + 1, upTo };
  return { head, records: upTo - from.sequence };

  function check(
    before: ChainHead,
    record: LinkedRecord,
    later: readonly LinkedRecord[],
  ): ChainProblem | undefined {
    const sequence = before.sequence + 1;
    const place = { chain: before.chain, sequence };
    const named = { ...place, requestId: record.requestId, time: record.time };
    if (record.sequence > sequence) return { kind: 'removed', ...place };
    if (record.sequence < sequence)
      return { kind: 'inserted', ...named, sequence: record.sequence };
    if (fits(before, record, sequence)) return undefined;
    // One of two with the same number, or one whose true place is taken by another.
    const twin = later.find((other) => other.sequence === sequence);
    if (twin !== undefined) return { kind: 'inserted', ...named };
    const displaced = later.find((other) => fits(before, other, sequence));
    return { kind: displaced === undefined ? 'changed' : 'reordered', ...named };
  }

  function fits(before: ChainHead, record: LinkedRecord, sequence: number): boolean {
    const canonical = canonicalRecord(poolId, { chain: before.chain, sequence }, record);
    return Buffer.from(linkHash(before.hash, canonical)).equals(record.hash);
  }
}
