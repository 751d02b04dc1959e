import { type NativeCall } from '../module/native-calls.ts';

/**
 * A call over no bytes at all. The binding gives an empty buffer as a null address: C_Encrypt, C_Sign and C_Verify take it
 * for an error, and SoftHSM leaves the operation open on its session then. Begun and ended without a part, the same message
 * is in order (PKCS#11 v2.40, C_EncryptFinal, C_SignFinal, C_VerifyFinal).
 */
export function emptyMessage<T>(end: () => T): NativeCall<T> {
  return {
    inline: end,
    offLoop: (done) => {
      done(null, end());
    },
  };
}
