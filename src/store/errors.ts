import { isNativeError } from 'node:util/types';
import pg from 'pg';
import { ServiceError } from '../core/errors.ts';
import { inWords } from '../core/operator-error.ts';

/**
 * SQLSTATE classes and codes after which another try, later, may well succeed (PostgreSQL appendix A). 25006 is what a
 * former primary says after a failover.
 */
const UNAVAILABLE = /^(08|53|57|58|40|25P|25006|55P03)/;
const SOCKET_ERRORS = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'ECONNABORTED',
  'EAI_AGAIN',
  // A Unix socket whose queue is full, and a process or machine without room for another.
  'EAGAIN',
  'EMFILE',
  'ENFILE',
  'ENOBUFS',
  'ENOTFOUND',
]);

/** The driver's own words without a code, such as of a connection that ended or an answer that didn't come. */
class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
}

/** What JavaScript throws for a fault in a program: such an error is ours wherever it comes from. */
const FAULTS = new Set(['TypeError', 'RangeError', 'ReferenceError', 'SyntaxError']);

/**
 * To be asked of whatever the driver rejects with, where it does: that is what tells its plain errors from ours, since they
 * have no code, and their texts are nobody's promise. What the server says passes, and so does a fault of ours.
 */
export function fromDriver(error: unknown): unknown {
  if (error instanceof pg.DatabaseError || !isNativeError(error) || FAULTS.has(error.name))
    return error;
  return new ConnectionError(error.message, { cause: error });
}

/** The one translation of the database's errors; ServiceErrors and our own faults pass unchanged. */
export function fromPostgres(error: unknown): unknown {
  if (error instanceof ServiceError || !isNativeError(error)) return error;
  if (isOrphaned(error) && (error.constraint ?? '').endsWith('_root_generation'))
    return new ServiceError(
      'HsmUnavailable',
      'The pool has new root keys, which this process does not use yet, or which the HSM here does not hold.',
      { cause: error },
    );
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const isDown =
    error instanceof pg.DatabaseError
      ? UNAVAILABLE.test(code)
      : error instanceof ConnectionError || SOCKET_ERRORS.has(code);
  return isDown
    ? new ServiceError('StoreUnavailable', 'The database cannot be reached.', { cause: error })
    : error;
}

const SERVER_WORDS: Readonly<Record<string, string>> = {
  '28': 'the database refuses its user or password',
  '3D': 'there is no database of that name',
  '42501': 'its user lacks a right in the database',
  '53100': 'there is no room left on the disk of the database',
  '53300': 'the database takes no more connections',
  '57P03': 'the database is starting or stopping',
  '08P01': 'the database, or a pooler before it, refuses the connection',
  '25006': 'the database takes no changes, as a standby',
};

/** What keeps an operator's command from the database, by its code; undefined where it isn't the database. */
export function describeDatabaseError(error: unknown): string | undefined {
  if (error instanceof ConnectionError) return describeCause(error.cause);
  if (error instanceof ServiceError)
    return error.code === 'StoreUnavailable' ? describeCause(error.cause) : undefined;
  if (error instanceof pg.DatabaseError) {
    const code = error.code ?? '';
    const words = SERVER_WORDS[code] ?? SERVER_WORDS[code.slice(0, 2)];
    return words === undefined ? undefined : `${words}: ${error.message} (${code})`;
  }
  return undefined;
}

function describeCause(cause: unknown): string {
  const words = inWords(cause);
  // The driver names the host, or the socket's file, to which it didn't get.
  const place = cause as { hostname?: string; address?: string; port?: number } | undefined;
  const address = place?.hostname ?? place?.address;
  const port = place?.port === undefined ? '' : `:${place.port}`;
  if (words !== undefined && address !== undefined) return `${address}${port}: ${words}`;
  const said = cause instanceof Error && cause.message !== '' ? ` (${cause.message})` : '';
  return describeDatabaseError(cause) ?? words ?? `the database can't be reached${said}`;
}

/** Whether a unique or primary key stood in the way. */
export function isDuplicate(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '23505';
}

/** Whether what a row refers to has gone meanwhile. */
export function isOrphaned(error: unknown): error is pg.DatabaseError {
  return error instanceof pg.DatabaseError && error.code === '23503';
}
