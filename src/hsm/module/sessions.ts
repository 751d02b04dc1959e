import { availableParallelism } from 'node:os';
import { Dispatcher, type SessionPools } from './dispatcher.ts';
import { HsmWorker, type HsmWorkerLimits } from './hsm-worker.ts';
import { inlineSession } from './inline-session.ts';
import type { OpenedModule } from './open-module.ts';
import { withoutOpenSslErrors } from './openssl-errors.ts';
import type { OperationSession } from './operation-session.ts';
import { SessionPool } from './session-pool.ts';
import { serializeToken, type Token } from './token.ts';

export interface SessionOptions extends HsmWorkerLimits {
  /** Path of the PKCS#11 library. */
  readonly module: string;
  /** Sessions in threads at most, chosen where absent; the token's own limit still holds. */
  readonly sessions?: number;
  readonly leaseWaitMs: number;
  /** Callers that may wait for a session. */
  readonly waitingLimit: number;
  /** What takes long waits in threads, for a process that serves; else every call is waited for where it is made. */
  readonly usesThreads?: boolean;
}

export interface Sessions {
  readonly dispatcher: Dispatcher;
  /** Resolves when all threads have ended, for which their sessions must have been closed. */
  threadsEnded(): Promise<void>;
}

/** Operations run whole on the event loop: a second session is for an import, which doesn't. */
const INLINE_SESSIONS = 2;
/** In a process that takes what its HSM gives. */
const MOST_WORKERS = 8;
/** The login session, one that the token's administrator may need, and the one on which keys are made. */
const OTHER_SESSIONS = 3;

/** The pools of sessions of an opened module, as far as it bears several threads and is too slow for one. */
export function openSessions(
  options: SessionOptions,
  { token, capabilities, isSlow }: OpenedModule,
): Sessions {
  const { isThreadSafe, isSoftware } = token.facts;
  const alive = new Set<HsmWorker>();

  function pool(open: () => OperationSession, size: number, isInline: boolean) {
    const { leaseWaitMs: waitMs, waitingLimit } = options;
    return new SessionPool<OperationSession>({
      open,
      size,
      waitMs,
      waitingLimit,
      inRounds: isInline,
      opensAhead: isSlow,
    });
  }

  function inlinePool() {
    const open = () => {
      const session = withoutOpenSslErrors(() => token.openSession());
      const keyOwner = () => token.loginSession;
      return inlineSession({ session, keyOwner, capabilities, isSoftware }, () => {
        withoutOpenSslErrors(() => {
          token.closeSession(session);
        });
      });
    };
    return pool(open, Math.min(INLINE_SESSIONS, freeOf(token)), true);
  }

  function workerPool(size: number, givesWay: boolean) {
    const data = { token: serializeToken(token, options.module), capabilities, givesWay };
    const open = () => {
      const worker = new HsmWorker(data, options);
      alive.add(worker);
      void worker.ended.then(() => alive.delete(worker));
      return worker;
    };
    return pool(open, size, false);
  }

  function pools(): SessionPools {
    if (options.usesThreads === true && isSlow)
      return { workers: workerPool(isThreadSafe ? workersOf(options, token) : 1, false) };
    if (options.usesThreads !== true || !isThreadSafe) return { inline: inlinePool() };
    const cores = Math.max(2, availableParallelism());
    const workers = workerPool(Math.min(cores, workersOf(options, token)), false);
    return { inline: inlinePool(), workers, generator: workerPool(1, true) };
  }

  return {
    dispatcher: new Dispatcher(pools()),
    threadsEnded: async () => {
      await Promise.all([...alive].map(({ ended }) => ended));
    },
  };
}

function freeOf({ facts: { sessionLimit = Number.POSITIVE_INFINITY } }: Token): number {
  return Math.max(1, sessionLimit - OTHER_SESSIONS);
}

/** A worker has two sessions: one that is worked on, and one that owns what was loaded there. */
function workersOf({ sessions = MOST_WORKERS }: SessionOptions, token: Token): number {
  return Math.max(1, Math.min(sessions, Math.floor(freeOf(token) / 2)));
}
