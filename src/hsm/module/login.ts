import type { Session } from 'graphene-pk11';
import { OperatorError, PinRefusedError } from '../../core/operator-error.ts';
import { oneLine } from './library.ts';
import { type ReturnValue, returnValue } from './return-values.ts';
import type { TokenOptions } from './token-options.ts';

const LOGIN_FAULTS: Partial<Readonly<Record<ReturnValue | 'other', string>>> = {
  CKR_PIN_INCORRECT: 'is wrong',
  CKR_PIN_LEN_RANGE: 'is wrong: it is too short or too long',
  CKR_PIN_INVALID: 'is wrong: it has characters that no PIN of it has',
  CKR_PIN_LOCKED: 'is locked after too many wrong attempts',
  CKR_PIN_EXPIRED: 'has expired',
  CKR_USER_PIN_NOT_INITIALIZED: 'has not been set yet',
};

/** That it isn't set yet is also what SoftHSM 2.6.1 answers while another process logs in. */
const REFUSALS: readonly string[] = [
  'CKR_PIN_INCORRECT',
  'CKR_PIN_LEN_RANGE',
  'CKR_PIN_INVALID',
  'CKR_PIN_LOCKED',
  'CKR_PIN_EXPIRED',
] satisfies readonly ReturnValue[];

/** @throws PinRefusedError, and OperatorError for what another attempt may mend */
export function logIn(session: Session, { module: path, tokenLabel, pin }: TokenOptions): void {
  try {
    session.login(pin);
  } catch (error) {
    const name = returnValue(error) ?? 'other';
    if (name === 'CKR_USER_ALREADY_LOGGED_IN') return;
    const words = LOGIN_FAULTS[name] ?? `is not taken: ${oneLine(error)}`;
    const LoginError = REFUSALS.includes(name) ? PinRefusedError : OperatorError;
    throw new LoginError(
      `The PIN of the token "${tokenLabel}" of ${path} ${words} (PKCS11_PIN or PKCS11_PIN_FILE; pkcs11-pin in STRONGROOM_DATA_DIR for a token that is made there).`,
      { cause: error },
    );
  }
}
