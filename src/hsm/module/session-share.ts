import { availableParallelism } from 'node:os';
import { OperatorError } from '../../core/operator-error.ts';

export interface SessionShare {
  readonly inline: number;
  /** Each with one that owns what is loaded, where `hasOwners`. */
  readonly workers: number;
  readonly hasOwners: boolean;
  readonly generator: number;
}

interface Shared {
  /** Of the token; undefined where it names none. */
  readonly limit: number | undefined;
  /** How many use the token in this process. */
  readonly users: number;
  /** In threads at most. */
  readonly sessions: number;
  /** All operations wait in threads. */
  readonly isSlow: boolean;
}

/** Operations run whole on the event loop: a second session is for an import, which doesn't. */
const INLINE_SESSIONS = 2;
/** The login session, one that the token's administrator may need, and the one on which keys are made. */
const OTHER_SESSIONS = 3;
/** Its login session, and one to work on. */
const LEAST = 2;
/** From so many on there is one for making keys, and a second one inline. */
const [WITH_GENERATOR, WITH_SECOND] = [5, 8];

/**
 * How many sessions a connection may have open, besides its login session. Those of a token are shared out evenly, but for
 * one that its administrator may need: whoever comes takes them from nobody else's share.
 */
export function shareOf({ limit, users, sessions, isSlow }: Shared): SessionShare {
  if (limit === undefined || users < 2)
    return shareOfOne(limit ?? Number.POSITIVE_INFINITY, sessions);
  const share = Math.max(LEAST, Math.floor((limit - 1) / users));
  const inline = isSlow ? 0 : share < WITH_SECOND ? 1 : INLINE_SESSIONS;
  const generator = isSlow || share < WITH_GENERATOR ? 0 : 1;
  const left = share - 1 - inline - generator;
  const hasOwners = left >= 2;
  const workers = Math.min(hasOwners ? Math.floor(left / 2) : left, sessions);
  return { inline, generator, hasOwners, workers: isSlow ? workers : Math.min(cores(), workers) };
}

function shareOfOne(limit: number, sessions: number): SessionShare {
  const free = Math.max(1, limit - OTHER_SESSIONS);
  const workers = Math.max(1, Math.min(sessions, Math.floor(free / 2)));
  return { inline: Math.min(INLINE_SESSIONS, free), workers, hasOwners: true, generator: 1 };
}

export function cores(): number {
  return Math.max(2, availableParallelism());
}

/** @throws OperatorError where a token has too few sessions for so many users */
export function requireShare(limit: number | undefined, users: number, label: string): void {
  if (limit === undefined || users < 2 || Math.floor((limit - 1) / users) >= LEAST) return;
  throw new OperatorError(
    `The token "${label}" allows ${limit} sessions, which is too few for ${users} pools in one process: give this pool another token.`,
  );
}
