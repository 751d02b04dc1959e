import { setTimeout as delay } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import pg from 'pg';
import { ServiceError } from '../../core/errors.ts';
import { fromPostgres } from '../errors.ts';
import type { Tables } from '../tables.ts';
import { hasCome, type Mark, type StandbyMarks } from './standby-marks.ts';

/** For so long a read waits until the standby has all that was committed before it. */
const BEHIND_LIMIT_MS = 1_000;
/** A standby that was left isn't tried again before, and then by one read alone. */
const LEFT_FOR_MS = 5_000;
const LOOK_AGAIN_MS = { first: 2, most: 50 };
/** A statement that took too long, as anywhere: the primary is not to begin anew with it. */
const TOOK_TOO_LONG = '57014';
/** Cancelled, since what the standby replays is in its way (a conflict with recovery): others go on there. */
const IN_THE_WAY = '40001';

export interface StandbyReaderParts {
  readonly primary: Kysely<Tables>;
  readonly standby: Kysely<Tables>;
  readonly marks: StandbyMarks;
  /** It was read there. */
  readonly onRead?: (from: 'standby' | 'primary') => void;
  /** From now on the primary is read; `cause` says why. */
  readonly onLeft: (cause: unknown) => void;
  readonly onBack: () => void;
}

export interface StandbyReader {
  /**
   * Reads on the standby, in one moment in which all is there that was committed before the call; or on the primary, where
   * the standby is away, too far behind, or gives up.
   * @throws ServiceError as the query, by `fromPostgres`
   */
  read<T>(query: (db: Kysely<Tables>) => Promise<T>): Promise<T>;
}

class BehindError extends Error {
  override readonly name = 'BehindError';

  constructor() {
    super(`the standby has not shown within ${BEHIND_LIMIT_MS} ms that it has what was committed`);
  }
}

export function createStandbyReader(parts: StandbyReaderParts): StandbyReader {
  const { primary, standby, marks, onRead = () => undefined } = parts;
  let leftUntil: number | undefined;

  async function onStandby<T>(mark: Mark, query: (db: Kysely<Tables>) => Promise<T>): Promise<T> {
    let state: 'looking' | 'found' | 'given up' = 'looking';
    // Asked anew each time: it may have been given up while something was waited for.
    const isLooking = () => state === 'looking';

    async function attempt(): Promise<T> {
      for (
        let wait = LOOK_AGAIN_MS.first;
        isLooking();
        wait = Math.min(2 * wait, LOOK_AGAIN_MS.most)
      ) {
        // Each time anew, on whichever connection: what is found on one standby says nothing of another.
        const found = await standby
          .transaction()
          .setIsolationLevel('repeatable read')
          .setAccessMode('read only')
          .execute(async (trx) => {
            if (!(await hasCome(trx, mark)) || !isLooking()) return undefined;
            state = 'found';
            return { answer: await query(trx) };
          });
        if (found !== undefined) return found.answer;
        await delay(wait);
      }
      throw new BehindError();
    }

    const attempted = attempt();
    const limit = new AbortController();
    // One that says nothing isn't waited for longer than one that is behind.
    const giveUp = delay(BEHIND_LIMIT_MS, undefined, { signal: limit.signal }).then(() => {
      if (!isLooking()) return attempted;
      state = 'given up';
      throw new BehindError();
    });
    try {
      return await Promise.race([attempted, giveUp]);
    } finally {
      limit.abort();
    }
  }

  /** One read tries whether it is back, while the others still go to the primary. */
  function isLeft(): boolean {
    if (leftUntil === undefined) return false;
    if (performance.now() < leftUntil) return true;
    leftUntil = performance.now() + LEFT_FOR_MS;
    return false;
  }

  async function onPrimary<T>(query: (db: Kysely<Tables>) => Promise<T>): Promise<T> {
    onRead('primary');
    return query(primary);
  }

  function leave(cause: unknown): void {
    if (leftUntil === undefined) parts.onLeft(cause);
    leftUntil = performance.now() + LEFT_FOR_MS;
  }

  return {
    async read(query) {
      if (isLeft()) return onPrimary(query);
      let mark: Mark;
      try {
        mark = await marks.write();
      } catch (error) {
        const answer = await onPrimary(query);
        // Where the primary is away, it says so itself.
        leave(error);
        return answer;
      }
      try {
        const answer = await onStandby(mark, query);
        onRead('standby');
        if (leftUntil !== undefined) parts.onBack();
        leftUntil = undefined;
        return answer;
      } catch (error) {
        if (isForCaller(error)) throw fromPostgres(error);
        if (codeOf(error) === IN_THE_WAY) return onPrimary(query);
        leave(error);
        return onPrimary(query);
      }
    },
  };
}

/** What the primary would say as well. */
function isForCaller(error: unknown): boolean {
  if (codeOf(error) === TOOK_TOO_LONG) return true;
  return error instanceof ServiceError && error.code !== 'StoreUnavailable';
}

/** PostgreSQL's, whoever has translated it. */
function codeOf(error: unknown): string | undefined {
  const { cause } = error instanceof ServiceError ? error : { cause: error };
  return cause instanceof pg.DatabaseError ? cause.code : undefined;
}
