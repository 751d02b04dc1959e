import { OperatorError } from '../core/operator-error.ts';

/** A failure of the set-up whose message is a sentence for the operator, complete without a stack trace. */
export class SetupError extends OperatorError {
  override readonly name = 'SetupError';
}
