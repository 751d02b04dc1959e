import type { Capabilities } from '../capabilities/capabilities.ts';
import type { SerializedError } from './serialization.ts';
import type { SerializedToken } from './token.ts';

/** What a thread is given at its start that works on a session of its own. */
export interface HsmWorkerData {
  /** The token, which the process has initialised and logged in to. */
  readonly token: SerializedToken;
  readonly capabilities: Capabilities;
  /** It works with a lower priority than those who serve requests. */
  readonly givesWay: boolean;
}

export type ToHsmWorker =
  /** An OperationRequest, serialized. */
  | Uint8Array
  /** Give the session up; the next operation runs on a fresh one. */
  | 'renew'
  /** Give the session up, and end. */
  | 'leave';

export interface OperationRequest {
  readonly name: string;
  readonly input: readonly unknown[];
}

export type FromHsmWorker =
  /** The thread runs. */
  | 'ready'
  /** An operation's output, serialized, and how long the module was worked with. */
  | { readonly output: Uint8Array; readonly ms: number }
  | { readonly failed: SerializedError; readonly ms: number };
