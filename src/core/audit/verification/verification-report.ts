import type { AddedCode } from '../ports.ts';
import type { ChainProblem } from './chain-links.ts';
import type { RowProblem } from './state-verification.ts';

/** What is wrong with the list of checkpoints; `number` is the first that is affected. */
interface CheckpointProblem {
  readonly kind:
    | 'checkpoint removed'
    | 'checkpoint changed'
    | 'checkpoint not linked to the one before'
    | 'checkpoint differs from the known one';
  readonly number: number;
}
/** Records that nobody has signed, though they are old enough that somebody should have. */
interface UnsignedProblem {
  readonly kind: 'not signed';
  readonly chain: string;
  readonly sequence: number;
  readonly requestId: string;
  readonly time: Date;
}
export type LogProblem =
  ChainProblem | CheckpointProblem | UnsignedProblem | RowProblem | AddedCode;

export interface VerificationRequest {
  /** Begins after this checkpoint; 0 begins with the first that there is. */
  readonly after: number;
  /** Ends with the first checkpoint made at that time or later; with the tails of all chains where absent. */
  readonly to?: Date;
  /** Ends early once so many records were read, or rows' witnesses looked at. */
  readonly recordLimit: number;
  /** Goes on with the rows where another verification ended early; begins with the first where absent. */
  readonly afterRow?: string;
  /** A checkpoint that was kept elsewhere: it must be in the list as it was. */
  readonly known?: string;
}

export interface VerificationReport {
  readonly verified: boolean;
  readonly checkpoints: number;
  readonly records: number;
  /** Of those, records that are linked but not covered by a signature yet. */
  readonly unsigned: number;
  /**
   * Of those, countersigned records, which only a process that found them has signed: the one that wrote them was killed within seconds.
   * Whoever writes to the database could have put some there meanwhile.
   */
  readonly adopted: number;
  /** Rows that were held against the records: once all of those are read, and only if it ends with the chains' tails. */
  readonly rows: number;
  /** Records older than this have been taken away for their age, as a signed checkpoint says. */
  readonly removedBefore?: Date;
  /** The first one that was found. */
  readonly problem?: LogProblem;
  /** Where it ended early: the checkpoint to go on after. */
  readonly next?: number;
  /** Where it ended early among the rows. */
  readonly nextRow?: string;
}
