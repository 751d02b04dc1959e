import { hash } from 'node:crypto';
import { SieveCache } from '../core/caching/sieve-cache.ts';
import type { PolicyLines } from './policy-adapter.ts';

/** Longer ones are few, and to compare them would take its time. */
const SHARED_LINES_LIMIT = 1_000;

/**
 * Callers whose lines are the same have one policy: thousands of service accounts with the same role take the room of one.
 * It is found by what it says, so a change of anyone's lines gives them another, and leaves this one to the others.
 * @param limit policies that are remembered, at most
 * @param open makes one
 */
export function sharePolicies<Policy>(
  limit: number,
  open: (lines: PolicyLines) => Promise<Policy>,
): (lines: PolicyLines) => Promise<Policy> {
  const remembered = new SieveCache<Policy>({ limit });
  /** Many callers may come for the same one at once. */
  const opening = new Map<string, Promise<Policy>>();
  return async (lines) => {
    if (lines.permissions.length + lines.assignments.length > SHARED_LINES_LIMIT)
      return open(lines);
    const digest = digestOf(lines);
    const known = remembered.get(digest);
    if (known !== undefined) return known;
    const underWay = opening.get(digest);
    if (underWay !== undefined) return underWay;
    const opened = open(lines);
    opening.set(digest, opened);
    try {
      const policy = await opened;
      remembered.set(digest, policy);
      return policy;
    } finally {
      opening.delete(digest);
    }
  };
}

/** The same for the same lines, in whatever order they were read. */
function digestOf({ permissions, assignments }: PolicyLines): string {
  const sorted = [permissions, assignments].map((lines) =>
    lines.map((line) => JSON.stringify(line)).sort(),
  );
  return hash('sha256', JSON.stringify(sorted), 'base64');
}
