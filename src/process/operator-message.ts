import { inWords, OperatorError } from '../core/operator-error.ts';
import { describeDatabaseError } from '../store/errors.ts';

/** The sentence by which an operator can mend what stopped a command; undefined for a fault of ours, which keeps its stack. */
export function sentenceFor(error: unknown): string | undefined {
  if (error instanceof OperatorError) return error.message;
  const ofDatabase = describeDatabaseError(error);
  if (ofDatabase !== undefined) return `DATABASE_URL: ${ofDatabase}.`;
  const words = inWords(error);
  if (words === undefined || !(error instanceof Error)) return undefined;
  const { path } = error as NodeJS.ErrnoException;
  return path === undefined ? undefined : `${path}: ${words}.`;
}

/** @param setting that names the address */
export function cannotListen(
  setting: string,
  { host, port }: { readonly host: string; readonly port: number },
  error: unknown,
): OperatorError {
  const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  const words = inWords(error) ?? (error instanceof Error ? error.message : String(error));
  return new OperatorError(`${setting}: ${address} can't be listened on: ${words}.`, {
    cause: error,
  });
}
