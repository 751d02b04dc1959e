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
