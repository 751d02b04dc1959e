import { deserialize as fromBytes, serialize as toBytes } from 'node:v8';
import { type ErrorCode, ServiceError } from '../../core/errors.ts';
import { OperatorError, PinRefusedError } from '../../core/operator-error.ts';
import { pkcs11Error, returnNumber } from './return-values.ts';

/**
 * Plain data as bytes, for another thread. A Buffer comes out as a Buffer, with its own bytes only: postMessage itself would
 * copy all the memory of which a Buffer is a piece, with what else is in it.
 */
export function serialize(value: unknown): Uint8Array {
  return toBytes(value);
}

export function deserialize(bytes: Uint8Array): unknown {
  return fromBytes(bytes) as unknown;
}

/** An error with what it is told by: its kind, or the number of a module's answer. */
export interface SerializedError {
  readonly code?: ErrorCode;
  readonly isOperators?: true;
  readonly isPinRefused?: true;
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
    ...(error instanceof PinRefusedError && { isPinRefused: true }),
    ...(error.stack !== undefined && { stack: error.stack }),
    ...(error.cause !== undefined && { cause: serializeError(error.cause) }),
  };
}

export function deserializeError(serialized: SerializedError): Error {
  const error = made(serialized);
  const { stack } = serialized;
  if (stack !== undefined) error.stack = stack;
  return error;
}

function made(serialized: SerializedError): Error {
  const { code, isOperators, isPinRefused, returned, message, cause } = serialized;
  if (returned !== undefined) return pkcs11Error(message, returned);
  const options = cause === undefined ? {} : { cause: deserializeError(cause) };
  if (isPinRefused === true) return new PinRefusedError(message, options);
  if (isOperators === true) return new OperatorError(message, options);
  return code === undefined
    ? new Error(message, options)
    : new ServiceError(code, message, options);
}
