import type { Input, OperationName, Output } from '../operations/operations.ts';
import { ServiceError } from '../../core/errors.ts';
import { faultOf, wasNeverAsked } from './errors.ts';
import type { HsmThreads, ThreadKind } from './hsm-threads.ts';
import type { HsmWorkerLimits } from './hsm-worker.ts';
import type { OperationSession } from './operation-session.ts';
import type { TokenUse } from './token-use.ts';
import type { Used, WorkerMember } from './worker-protocol.ts';

export interface ThreadedSessionOptions {
  readonly threads: HsmThreads;
  readonly kind: ThreadKind;
  readonly member: WorkerMember;
  readonly limits: HsmWorkerLimits;
  readonly use: TokenUse;
  /** Whether the token has sessions enough for one that owns what is loaded here. */
  readonly hasOwner: () => boolean;
}

/** Operations that make keys which the key owner owns. */
const LOADS: ReadonlySet<OperationName> = new Set<OperationName>(['load', 'loadPublic']);

/**
 * A session that is worked on in whatever thread of the library is free, and one that owns the keys that were loaded with
 * it, which serve other sessions too. They are opened when they are first needed.
 */
export class ThreadedSession implements OperationSession {
  readonly #options: ThreadedSessionOptions;
  #session: Uint8Array | undefined;
  #keyOwner: Uint8Array | undefined;
  #isLost = false;

  constructor(options: ThreadedSessionOptions) {
    this.#options = options;
  }

  /** A call may be running on it for ever. */
  get isLost(): boolean {
    return this.#isLost;
  }

  async run<Name extends OperationName>(
    name: Name,
    input: Input<Name>,
    onMeasured: (ms: number) => void,
  ): Promise<Output<Name>> {
    const { threads, kind, member, limits, hasOwner } = this.#options;
    if (!hasOwner()) this.#giveUpOwner();
    const state = { isAnswered: false };
    const request = {
      ...{ member, limits },
      sessions: { session: this.#session, keyOwner: hasOwner() ? this.#keyOwner : 'none' },
      onMeasured: (ms: number, used: Used) => {
        state.isAnswered = true;
        this.#keep(used);
        onMeasured(ms);
      },
    } as const;
    try {
      return await threads.run(kind, request, name, input);
    } catch (error) {
      this.#isLost = !state.isAnswered && !hasNotBegun(error);
      // The session that owned what was loaded here may be gone: what is loaded from now on belongs to a fresh one.
      if (LOADS.has(name) && faultOf(error) === 'handle') this.#giveUpOwner();
      throw error;
    }
  }

  renew(): void {
    this.#closeAll([this.#session]);
    this.#session = undefined;
  }

  close(): void {
    this.#closeAll([this.#session, this.#keyOwner]);
    this.#session = undefined;
    this.#keyOwner = undefined;
  }

  #giveUpOwner(): void {
    this.#closeAll([this.#keyOwner]);
    this.#keyOwner = undefined;
  }

  #keep({ session, keyOwner }: Used): void {
    const { use } = this.#options;
    if (session !== undefined && this.#session === undefined) use.opened(session);
    if (keyOwner !== undefined && this.#keyOwner === undefined) use.opened(keyOwner);
    this.#session = session;
    this.#keyOwner = keyOwner;
  }

  #closeAll(sessions: readonly (Uint8Array | undefined)[]): void {
    const { threads, member, use } = this.#options;
    const open = sessions.filter((session) => session !== undefined);
    // Where no thread is left they are closed when the connection is.
    if (open.length > 0 && threads.closeSessions(member, open))
      for (const session of open) use.closed(session);
  }
}

/** No thread came free. */
function hasNotBegun(error: unknown): boolean {
  return wasNeverAsked(error) || (error instanceof ServiceError && error.code === 'HsmBusy');
}
