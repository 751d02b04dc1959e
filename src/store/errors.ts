import { isNativeError } from 'node:util/types';
import pg from 'pg';
import { ServiceError } from '../core/errors.ts';

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
export class ConnectionError extends Error {
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
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const isDown =
    error instanceof pg.DatabaseError
      ? UNAVAILABLE.test(code)
      : error instanceof ConnectionError || SOCKET_ERRORS.has(code);
  return isDown
    ? new ServiceError('StoreUnavailable', 'The database cannot be reached.', { cause: error })
    : error;
}

/** Whether a unique or primary key stood in the way. */
export function isDuplicate(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '23505';
}

/** Whether what a row refers to has gone meanwhile. */
export function isOrphaned(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '23503';
}
