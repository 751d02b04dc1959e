import type { Capabilities } from '../capabilities/capabilities.ts';
import type { SerializedError } from './serialization.ts';
import type { SerializedToken } from './token-facts.ts';

/** What a thread is given at its start. */
export interface HsmWorkerData {
  /** It works with a lower priority than those who serve requests. */
  readonly givesWay: boolean;
}

/** A connection for which a thread works. */
export interface WorkerMember {
  readonly id: number;
  /** The token, which the process has initialised and logged in to. */
  readonly token: SerializedToken;
  readonly capabilities: Capabilities;
}

/** Sessions of a connection, by their handles, which hold in all threads of a process. */
export interface WorkerSessions {
  /** That is worked on; opened where absent. */
  readonly session?: Uint8Array | undefined;
  /** That owns the keys that are loaded; `none`: the session itself does. */
  readonly keyOwner?: Uint8Array | 'none' | undefined;
}

export type ToHsmWorker =
  /** An OperationRequest, serialized. */
  | Uint8Array
  /** Before the first operation of a connection. */
  | { readonly join: WorkerMember }
  /** Close these of a connection. */
  | { readonly close: readonly Uint8Array[]; readonly of: number }
  /** Forget a connection. */
  | { readonly forget: number }
  /** End. */
  | 'leave';

export interface OperationRequest extends WorkerSessions {
  readonly of: number;
  readonly name: string;
  readonly input: readonly unknown[];
}

/** The sessions with which an operation has left the thread. */
export interface Used {
  readonly session: Uint8Array | undefined;
  readonly keyOwner: Uint8Array | undefined;
}

export type FromHsmWorker =
  /** The thread runs. */
  | 'ready'
  /** An operation's output, serialized, and how long the module was worked with. */
  | { readonly output: Uint8Array; readonly ms: number; readonly used: Used }
  | { readonly failed: SerializedError; readonly ms: number; readonly used: Used };
