import type { Input, OperationName, Output } from '../operations/operations.ts';
import type { PooledSession } from './session-pool.ts';

/** A session of a pool, by the one of the two ways in which it is worked on: inline or in a thread. */
export interface OperationSession extends PooledSession {
  /** `onMeasured` is told how long the module was worked with, also by an operation that fails. */
  run<Name extends OperationName>(
    name: Name,
    input: Input<Name>,
    onMeasured: (ms: number) => void,
  ): Promise<Output<Name>>;
}
