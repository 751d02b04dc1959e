import { type Address, formatAddress } from '../config/address.ts';
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
export function cannotListen(setting: string, address: Address, error: unknown): OperatorError {
  const words = inWords(error) ?? (error instanceof Error ? error.message : String(error));
  return new OperatorError(
    `${setting}: ${formatAddress(address)} can't be listened on: ${words}.`,
    {
      cause: error,
    },
  );
}
