import { type OperationContext, runOperation } from '../operations/operations.ts';
import { clearOpenSslErrors } from './openssl-errors.ts';
import type { OperationSession } from './operation-session.ts';

/** A session that is worked on where the request is served: the event loop waits. */
export function inlineSession(context: OperationContext, close: () => void): OperationSession {
  return {
    run: (name, input, onMeasured) =>
      new Promise((resolve) => {
        const began = performance.now();
        try {
          const output = runOperation(context, name, input);
          // An import goes on later, with calls that may leave errors as well.
          resolve(output instanceof Promise ? output.finally(clearOpenSslErrors) : output);
        } finally {
          onMeasured(performance.now() - began);
          clearOpenSslErrors();
        }
      }),
    close,
  };
}
