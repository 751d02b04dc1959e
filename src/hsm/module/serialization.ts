import graphene, { type Session } from 'graphene-pk11';
import { type ErrorCode, ServiceError } from '../../core/errors.ts';
import { OperatorError } from '../../core/operator-error.ts';
import { pkcs11Error, returnNumber } from './return-values.ts';

/**
 * How values cross from one thread to another. Handles of a module are good in every thread of the process; the binding's
 * objects around them are not, so a key crosses as its handle.
 */
interface CrossedKey {
  readonly keyHandle: Uint8Array;
}

/** For postMessage. */
export function pack(value: unknown): unknown {
  // A copy of its own: a Buffer is often a piece of a larger one, which would cross as a whole, with what else is in it.
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  if (value instanceof graphene.Key) return { keyHandle: pack(value.handle) };
  if (Array.isArray(value)) return value.map(pack);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, pack(part)]));
}

/** What has been packed, with bytes as Buffers and keys as this thread's objects, for use on that session. */
export function unpack(value: unknown, session: Session): unknown {
  if (value instanceof Uint8Array)
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (Array.isArray(value)) return value.map((part) => unpack(part, session));
  if (typeof value !== 'object' || value === null) return value;
  if ('keyHandle' in value)
    return new graphene.Key(Buffer.from((value as CrossedKey).keyHandle), session, session.lib);
  return Object.fromEntries(
    Object.entries(value).map(([name, part]) => [name, unpack(part, session)]),
  );
}

/** An error on its way: what it is told by crosses with it, its kind, or the number of a module's answer. */
export interface SerializedError {
  readonly code?: ErrorCode;
  readonly isOperators?: true;
  readonly returned?: number;
  readonly message: string;
  readonly stack?: string;
  readonly cause?: SerializedError;
}

export function serializeError(error: unknown): SerializedError {
  if (!(error instanceof Error)) return { message: String(error) };
  const returned = returnNumber(error);
  return {
    message: error.message,
    ...(returned !== undefined && { returned }),
    ...(error instanceof ServiceError && { code: error.code }),
    ...(error instanceof OperatorError && { isOperators: true }),
    ...(error.stack !== undefined && { stack: error.stack }),
    ...(error.cause !== undefined && { cause: serializeError(error.cause) }),
  };
}

export function deserializeError(crossed: SerializedError): Error {
  const error = made(crossed);
  const { stack } = crossed;
  if (stack !== undefined) error.stack = stack;
  return error;
}

function made({ code, isOperators, returned, message, cause }: SerializedError): Error {
  if (returned !== undefined) return pkcs11Error(message, returned);
  const options = cause === undefined ? {} : { cause: deserializeError(cause) };
  if (isOperators === true) return new OperatorError(message, options);
  return code === undefined
    ? new Error(message, options)
    : new ServiceError(code, message, options);
}
