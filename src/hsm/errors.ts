import { ServiceError } from '../core/errors.ts';

/**
 * What a failed call says of the world. `session`: only that session is lost; `device`: the token, the login or the whole
 * library is; `key`: an object handle isn't valid any more; `other`: the call itself was wrong.
 * The field's experience behind it: a session with an error must not go back to the pool, and none needs a restart.
 */
export type Damage = 'session' | 'device' | 'key' | 'other';

const DAMAGE: Readonly<Record<string, Damage>> = {
  CKR_SESSION_CLOSED: 'session',
  CKR_SESSION_HANDLE_INVALID: 'session',
  CKR_OPERATION_ACTIVE: 'session',
  CKR_OPERATION_NOT_INITIALIZED: 'session',
  CKR_DEVICE_ERROR: 'device',
  CKR_DEVICE_MEMORY: 'device',
  CKR_DEVICE_REMOVED: 'device',
  CKR_TOKEN_NOT_PRESENT: 'device',
  CKR_TOKEN_NOT_RECOGNIZED: 'device',
  CKR_SLOT_ID_INVALID: 'device',
  CKR_USER_NOT_LOGGED_IN: 'device',
  CKR_CRYPTOKI_NOT_INITIALIZED: 'device',
  CKR_OBJECT_HANDLE_INVALID: 'key',
  CKR_KEY_HANDLE_INVALID: 'key',
  CKR_WRAPPING_KEY_HANDLE_INVALID: 'device',
  CKR_UNWRAPPING_KEY_HANDLE_INVALID: 'device',
};

/** The CKR_ name in an error of the binding, or undefined for an error from elsewhere. */
export function returnValue(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  return /\bCKR_[A-Z0-9_]+\b/.exec(error.message)?.[0];
}

export function damageOf(error: unknown): Damage {
  const name = returnValue(error);
  return (name === undefined ? undefined : DAMAGE[name]) ?? 'other';
}

/** The one translation of the binding's errors; ServiceErrors pass. The cause goes to the log, not to the caller. */
export function fromPkcs11(error: unknown): ServiceError {
  if (error instanceof ServiceError) return error;
  switch (returnValue(error) ?? '') {
    case 'CKR_SESSION_COUNT':
      return new ServiceError('HsmBusy', 'The HSM has no session free.', { cause: error });
    case 'CKR_MECHANISM_INVALID':
    case 'CKR_MECHANISM_PARAM_INVALID':
    case 'CKR_KEY_SIZE_RANGE':
      return new ServiceError(
        'BadParameter',
        'The HSM of this pool does not support this algorithm for this key.',
        { cause: error },
      );
    case 'CKR_DATA_LEN_RANGE':
      return new ServiceError('BadParameter', 'Property value has an invalid length.', {
        cause: error,
      });
    default:
      return new ServiceError('HsmUnavailable', 'The HSM could not perform the operation.', {
        cause: error,
      });
  }
}

/**
 * Return values by which modules say that a ciphertext, or what it held, is not right. SoftHSM 2.6.1 says it with
 * CKR_GENERAL_ERROR (its issue 690; 2.7.0 with the standard's own codes), so this holds only for the last call of a
 * decryption or unwrapping.
 */
const BAD_CIPHERTEXT = new Set([
  'CKR_ENCRYPTED_DATA_INVALID',
  'CKR_ENCRYPTED_DATA_LEN_RANGE',
  'CKR_WRAPPED_KEY_INVALID',
  'CKR_WRAPPED_KEY_LEN_RANGE',
  'CKR_AEAD_DECRYPT_FAILED',
  'CKR_DATA_INVALID',
  'CKR_DATA_LEN_RANGE',
  'CKR_GENERAL_ERROR',
  'CKR_FUNCTION_FAILED',
  'CKR_BUFFER_TOO_SMALL',
]);

/** One answer for every ciphertext that doesn't decrypt, so that it can't serve as an oracle (RFC 8017 §7.1.2, §7.2.2). */
export function decryptionFailed(cause?: unknown): ServiceError {
  return new ServiceError('DecryptionFailed', 'The ciphertext could not be decrypted.', { cause });
}

/** For the last call of a decryption or unwrapping. */
export function fromDecryption(error: unknown): ServiceError | Error {
  const name = returnValue(error);
  if (name !== undefined && BAD_CIPHERTEXT.has(name)) return decryptionFailed(error);
  return error instanceof Error ? error : new Error('decryption failed', { cause: error });
}
