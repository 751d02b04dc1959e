import { type Capabilities } from './capabilities.ts';
import { type SerializedError } from './serialization.ts';
import { type OperationName } from '../operations/operations.ts';

/** What a thread is given at its start that works on a session of its own. */
export interface HsmWorkerData {
  /** Path of the PKCS#11 library, which the process has initialised and logged in to. */
  readonly module: string;
  readonly slot: Uint8Array;
  /** The session that owns what is loaded here, where another thread has left one. */
  readonly keeper?: Uint8Array;
  readonly capabilities: Capabilities;
  readonly isSoftware: boolean;
}

export type ToHsmWorker =
  | { readonly name: OperationName; readonly given: unknown }
  /** Give the session up; the next work is done on a fresh one. */
  | 'renew'
  /** Give the session up, and end. */
  | 'leave';

export type FromHsmWorker =
  /** The thread runs. */
  | 'ready'
  | { readonly done: unknown }
  | { readonly failed: SerializedError }
  /** The session that owns what is loaded here. */
  | { readonly keeper: unknown };
