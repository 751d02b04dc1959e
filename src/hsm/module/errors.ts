import { type ErrorCode, ServiceError } from '../../core/errors.ts';
import { type ReturnValue, returnValue } from './return-values.ts';

/**
 * What an answer of the module says by itself. `input`: what the caller gave isn't right, in the standard's own words;
 * `handle`: a session, an object or the login isn't there any more; `doubtful`: all else. Which of these a module answers
 * to a bad ciphertext differs (CKR_GENERAL_ERROR, CKR_DEVICE_ERROR, CKR_OPERATION_NOT_INITIALIZED …), so none of them
 * says that the token is lost: a probe does (token-probe.ts).
 */
export type Fault = 'input' | 'handle' | 'doubtful';

const FAULTS: Partial<Readonly<Record<ReturnValue, Fault>>> = {
  CKR_ATTRIBUTE_VALUE_INVALID: 'input',
  CKR_ATTRIBUTE_READ_ONLY: 'input',
  CKR_ATTRIBUTE_TYPE_INVALID: 'input',
  CKR_FUNCTION_NOT_SUPPORTED: 'input',
  CKR_KEY_FUNCTION_NOT_PERMITTED: 'input',
  CKR_KEY_NOT_WRAPPABLE: 'input',
  CKR_KEY_UNEXTRACTABLE: 'input',
  CKR_DATA_INVALID: 'input',
  CKR_DATA_LEN_RANGE: 'input',
  CKR_AEAD_DECRYPT_FAILED: 'input',
  CKR_ENCRYPTED_DATA_INVALID: 'input',
  CKR_ENCRYPTED_DATA_LEN_RANGE: 'input',
  CKR_KEY_SIZE_RANGE: 'input',
  CKR_MECHANISM_INVALID: 'input',
  CKR_MECHANISM_PARAM_INVALID: 'input',
  CKR_SIGNATURE_INVALID: 'input',
  CKR_SIGNATURE_LEN_RANGE: 'input',
  CKR_TEMPLATE_INCOMPLETE: 'input',
  CKR_TEMPLATE_INCONSISTENT: 'input',
  CKR_WRAPPED_KEY_INVALID: 'input',
  CKR_WRAPPED_KEY_LEN_RANGE: 'input',
  CKR_DOMAIN_PARAMS_INVALID: 'input',
  CKR_CURVE_NOT_SUPPORTED: 'input',
  CKR_SESSION_COUNT: 'input',
  CKR_DEVICE_MEMORY: 'input',
  CKR_SESSION_CLOSED: 'handle',
  CKR_SESSION_HANDLE_INVALID: 'handle',
  CKR_OBJECT_HANDLE_INVALID: 'handle',
  CKR_KEY_HANDLE_INVALID: 'handle',
  CKR_WRAPPING_KEY_HANDLE_INVALID: 'handle',
  CKR_UNWRAPPING_KEY_HANDLE_INVALID: 'handle',
  CKR_USER_NOT_LOGGED_IN: 'handle',
  CKR_CRYPTOKI_NOT_INITIALIZED: 'handle',
  CKR_SLOT_ID_INVALID: 'handle',
  CKR_OPERATION_ACTIVE: 'handle',
};

/** Of an error of the binding, or of a refusal that was made of one; undefined where no answer of the module is behind it. */
export function faultOf(error: unknown): Fault | undefined {
  const name = returnValue(error instanceof ServiceError ? error.cause : error);
  if (name === undefined) return undefined;
  return name === 'other' ? 'doubtful' : (FAULTS[name] ?? 'doubtful');
}

const SAID: Partial<Readonly<Record<ReturnValue | 'other', readonly [ErrorCode, string]>>> = {
  CKR_SESSION_COUNT: ['HsmBusy', 'The HSM has no session free.'],
  CKR_DEVICE_MEMORY: [
    'HsmFull',
    'The HSM has no room for more objects: purge deleted keys, or give the HSM more room.',
  ],
  CKR_DATA_LEN_RANGE: ['BadParameter', 'Property value has an invalid length.'],
};

/** What a module says that can't do something, where no trial has told so before. */
const UNSUPPORTED: ReadonlySet<ReturnValue | 'other'> = new Set([
  'CKR_MECHANISM_INVALID',
  'CKR_MECHANISM_PARAM_INVALID',
  'CKR_KEY_SIZE_RANGE',
  'CKR_DOMAIN_PARAMS_INVALID',
  'CKR_CURVE_NOT_SUPPORTED',
  'CKR_ATTRIBUTE_READ_ONLY',
  'CKR_ATTRIBUTE_TYPE_INVALID',
  'CKR_FUNCTION_NOT_SUPPORTED',
  'CKR_KEY_FUNCTION_NOT_PERMITTED',
  'CKR_KEY_NOT_WRAPPABLE',
  'CKR_KEY_UNEXTRACTABLE',
]);

/**
 * The one translation of the binding's errors; ServiceErrors pass. The cause goes to the log, not to the caller.
 * @param module manufacturer, library and version
 */
export function fromPkcs11(error: unknown, module: string): ServiceError {
  if (error instanceof ServiceError) return error;
  const answer = returnValue(error) ?? 'other';
  if (UNSUPPORTED.has(answer))
    return new ServiceError(
      'BadParameter',
      `The HSM of this pool, ${module}, does not do this with this key: it answers ${answer}.`,
      { cause: error },
    );
  const said = SAID[answer];
  return said === undefined ? hsmUnavailable(error) : new ServiceError(...said, { cause: error });
}

export function hsmUnavailable(cause: unknown): ServiceError {
  return new ServiceError('HsmUnavailable', 'The HSM could not perform the operation.', { cause });
}

const UNASKED = new Error('the module was not asked');

/** Of an operation that waited for a session of a connection that was closed meanwhile. */
export function connectionClosed(): ServiceError {
  return new ServiceError('HsmUnavailable', 'The connection to the HSM is closed.', {
    cause: UNASKED,
  });
}

/** Whether an operation failed before any of it was given to the module: to run it once more does no harm, whatever it makes. */
export function wasNeverAsked(error: unknown): boolean {
  return error instanceof ServiceError && error.cause === UNASKED;
}

/** One answer for every ciphertext that doesn't decrypt, so that it can't serve as an oracle (RFC 8017 §7.1.2, §7.2.2). */
export function decryptionFailed(cause?: unknown): ServiceError {
  return new ServiceError('DecryptionFailed', 'The ciphertext could not be decrypted.', { cause });
}

/**
 * For the last call of a decryption or unwrapping, which has nothing to fail for but what the caller gave, or a token that
 * is lost. Modules say it in many ways (SoftHSM 2.6.1 by CKR_GENERAL_ERROR, its issue 690): it is told from a loss by its
 * cause, in key-calls.ts.
 */
export function fromDecryption(error: unknown): ServiceError | Error {
  if (returnValue(error) !== undefined) return decryptionFailed(error);
  return error instanceof Error ? error : new Error('decryption failed', { cause: error });
}
