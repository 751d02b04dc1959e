import { Dispatcher, type SessionPools } from './dispatcher.ts';
import type { HsmThreads, ThreadKind } from './hsm-threads.ts';
import type { HsmWorkerLimits } from './hsm-worker.ts';
import { inlineSession } from './inline-session.ts';
import type { OpenedModule } from './open-module.ts';
import { withoutOpenSslErrors } from './openssl-errors.ts';
import type { OperationSession } from './operation-session.ts';
import { SessionPool } from './session-pool.ts';
import { cores, type SessionShare, shareOf } from './session-share.ts';
import { ThreadedSession } from './threaded-session.ts';
import { serializeToken } from './token.ts';

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
  /** Leaves the threads, and resolves when those have ended that nobody else needs. */
  leaveThreads(): Promise<void>;
}

/** In a process that takes what its HSM gives. */
const MOST_WORKERS = 8;

let members = 0;

/** The pools of sessions of an opened module, as far as it bears several threads and is too slow for one. */
export function openSessions(
  options: SessionOptions,
  { token, capabilities, isSlow }: OpenedModule,
  threads: HsmThreads,
): Sessions {
  const { isThreadSafe, isSoftware, sessionLimit } = token.facts;
  const { sessions = MOST_WORKERS, usesThreads = false } = options;
  members += 1;
  const member = { id: members, token: serializeToken(token, options.module), capabilities };
  let share = currentShare();

  function currentShare(): SessionShare {
    const { users } = token.use;
    const most = isSlow ? (isThreadSafe ? sessions : 1) : Math.min(cores(), sessions);
    const found = shareOf({ limit: sessionLimit, users, sessions: most, isSlow });
    return usesThreads && (isSlow || isThreadSafe)
      ? found
      : { ...found, inline: Math.max(1, found.inline) };
  }

  function pool(open: () => OperationSession, size: number, isInline: boolean) {
    const { leaseWaitMs: waitMs, waitingLimit } = options;
    const made = new SessionPool<OperationSession>({
      open,
      size: Math.max(1, size),
      waitMs,
      waitingLimit,
      inRounds: isInline,
      opensAhead: isSlow,
    });
    made.resize(size);
    return made;
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
    return pool(open, share.inline, true);
  }

  function threadedPool(kind: ThreadKind, size: number) {
    const { use } = token;
    const hasOwner = () => share.hasOwners;
    const open = () =>
      new ThreadedSession({ ...{ threads, kind, member, use, hasOwner }, limits: options });
    return pool(open, size, false);
  }

  function pools(): SessionPools {
    if (!usesThreads || !(isSlow || isThreadSafe)) return { inline: inlinePool() };
    threads.join(member, { ...options, size: share.workers, startsAhead: isSlow });
    const workers = threadedPool('workers', share.workers);
    if (isSlow) return { workers };
    return { inline: inlinePool(), workers, generator: threadedPool('generator', share.generator) };
  }

  const opened = pools();
  token.use.onShared(() => {
    share = currentShare();
    for (const [kind, each] of Object.entries(opened) as [
      keyof SessionShare & ThreadKind,
      SessionPool<OperationSession>,
    ][])
      each.resize(share[kind]);
  });
  return {
    dispatcher: new Dispatcher(opened),
    leaveThreads: () => threads.leave(member),
  };
}
