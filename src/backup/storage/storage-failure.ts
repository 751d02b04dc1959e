import { ServiceError } from '../../core/errors.ts';
import { inWords } from '../../core/operator-error.ts';
import type { WatchedContent } from './watched-content.ts';

/** What a client library's error says that may be repeated: its own texts may have URLs with tokens in them. */
export interface StorageAnswer {
  /** HTTP's; undefined where there was no answer. */
  readonly status: number | undefined;
  /** A word of the storage's, such as ContainerNotFound. */
  readonly code: string | undefined;
}

const REFUSALS: Readonly<Record<number, string>> = {
  400: 'takes the request for a wrong one',
  401: 'refuses the credential',
  403: 'refuses what was asked with this credential',
  404: 'has no such container or bucket',
  409: 'refuses to change what is there',
  411: 'refuses the request',
  412: 'refuses to change what is there',
  413: 'takes no file of that size',
  507: 'has no room left',
};

/** @returns what a storage that was asked over the network said, or that it said nothing, in a sentence */
export function failureOf(
  place: string,
  error: unknown,
  { status, code }: StorageAnswer,
): ServiceError {
  const word = code !== undefined && /^[A-Za-z]\w{0,63}$/.test(code) ? ` (${code})` : '';
  const cause = causeOf(error, status, word);
  const refusal = status === undefined ? undefined : REFUSALS[status];
  if (refusal !== undefined)
    return new ServiceError('StorageRefused', `${place} ${refusal}${word}.`, { cause });
  if (status !== undefined && status >= 300 && status < 500 && status !== 408 && status !== 429)
    return new ServiceError('StorageRefused', `${place} answered ${status}${word}.`, { cause });
  const words = inWords(error) ?? inWords(error instanceof Error ? error.cause : undefined);
  const what =
    status === undefined ? (words ?? 'it gives no whole answer') : `it answered ${status}${word}`;
  return new ServiceError('StorageUnavailable', `${place} can't be used now: ${what}.`, { cause });
}

/** What the log may have of it. */
function causeOf(error: unknown, status: number | undefined, word: string): Error {
  const name = error instanceof Error ? error.name : 'Error';
  return new Error(`${name}${status === undefined ? '' : ` ${status}`}${word}`);
}

/** Runs a write; what the content has thrown goes before what the storage's client makes of it. */
export async function writing(
  content: WatchedContent,
  write: () => Promise<unknown>,
): Promise<void> {
  try {
    await write();
  } catch (error) {
    throw content.failure === undefined ? error : content.failure.error;
  }
}
