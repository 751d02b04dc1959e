import { faultOf } from '../module/errors.ts';
import { returnValue, type ReturnValue } from '../module/return-values.ts';

/** Why a module can't do something: which mechanism it was asked for, in which call, and what came of it. */
export interface Lack {
  /** As PKCS#11 names it, such as CKM_AES_GCM. */
  readonly mechanism: string;
  /** Such as "C_EncryptInit: CKR_MECHANISM_INVALID", or what was wrong with the result. */
  readonly answer: string;
}

/** An HSM may be busy for a moment, and what is taken for missing is refused from then on. */
const TRIES = 3;

/** What says that the session, the login or the token is gone: then nothing is known of what the module can do. */
const LOST: ReadonlySet<ReturnValue | 'other' | undefined> = new Set([
  'CKR_SESSION_CLOSED',
  'CKR_SESSION_HANDLE_INVALID',
  'CKR_USER_NOT_LOGGED_IN',
  'CKR_CRYPTOKI_NOT_INITIALIZED',
]);

/**
 * Tries something, and again where the answer may be a moment's; undefined where it works.
 * @param trial throws or gives back false, or what is wrong with the result, where it doesn't
 * @throws Error of the binding where the session or the token is lost
 */
export function lackOf(mechanism: string, trial: () => boolean | string): Lack | undefined {
  for (let tries = 1; ; tries += 1)
    try {
      const result = trial();
      if (result === true) return undefined;
      return { mechanism, answer: result === false ? 'the result is wrong' : result };
    } catch (error) {
      if (tries < TRIES && faultOf(error) !== 'input') continue;
      if (LOST.has(returnValue(error))) throw error;
      return { mechanism, answer: answerIn(error) };
    }
}

/** The call and what it answered, of an error of the binding or of one that was made of it. */
export function answerIn(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (returnValue(error) === undefined && error.cause !== undefined) return answerIn(error.cause);
  const call =
    'method' in error && typeof error.method === 'string' && error.method !== ''
      ? `${error.method}: `
      : '';
  const [line = ''] = error.message.split('\n');
  return `${call}${line}`;
}

/** For a sentence: "CKM_AES_GCM (C_EncryptInit: CKR_MECHANISM_INVALID)". */
export function describeLack({ mechanism, answer }: Lack): string {
  return `${mechanism} (${answer})`;
}
