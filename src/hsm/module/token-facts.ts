import type { ModuleFacts } from '../../core/release/key-inspection.ts';

/** What a token has said of itself. */
export interface TokenFacts {
  /** Sessions that the token allows at most, or undefined where it doesn't say. */
  readonly sessionLimit: number | undefined;
  /** Whether calls may come from several threads at once; else one thread of the process calls the module. */
  readonly isThreadSafe: boolean;
  /** Its keys are in this process's memory, whatever their attributes say. */
  readonly isSoftware: boolean;
  readonly module: ModuleFacts;
  /** Manufacturer and library, for the log. */
  readonly description: string;
}

/** A token as plain data: what a module has initialised and given handles for holds in all threads of a process. */
export interface SerializedToken {
  /** Path of the PKCS#11 library. */
  readonly path: string;
  readonly slot: Uint8Array;
  readonly loginSession: Uint8Array;
  readonly facts: TokenFacts;
}
