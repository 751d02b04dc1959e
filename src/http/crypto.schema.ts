import { z } from 'zod';
import { base64urlBytes } from './base64url.ts';

const optionalBytes = base64urlBytes.nullish().transform((value) => value ?? undefined);

/** KeyOperationsParameters: encrypt, decrypt, wrapkey, unwrapkey. */
export const CipherRequest = z.object({
  alg: z.string().max(64),
  value: base64urlBytes,
  iv: optionalBytes,
  aad: optionalBytes,
  tag: optionalBytes,
});

export const SignRequest = z.object({ alg: z.string().max(64), value: base64urlBytes });

/** `digest` is what was signed, `value` the signature. */
export const VerifyRequest = z.object({
  alg: z.string().max(64),
  digest: base64urlBytes,
  value: base64urlBytes,
});

export const RandomRequest = z.object({ count: z.int() });
