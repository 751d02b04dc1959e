import { z } from 'zod';
import type { Done } from '../../core/operations/crypto-service.ts';
import type { RequestContext } from '../context.ts';
import { keyId } from '../keys/keys.schema.ts';
import { base64urlBytes, toBase64url } from '../values/bytes.ts';
import { optional } from '../values/optional.ts';
import { text } from '../values/text.ts';

const optionalBytes = optional(base64urlBytes);

/** KeyOperationsParameters: encrypt, decrypt, wrapkey, unwrapkey. */
export const CipherRequest = z.object({
  alg: text(64),
  value: base64urlBytes,
  iv: optionalBytes,
  aad: optionalBytes,
  tag: optionalBytes,
});

/** For ML-DSA keys alone, which also do without `alg`. */
const mlDsa = { alg: optional(text(64)), external_mu: optionalBytes, context: optionalBytes };

export const SignRequest = z.object({ ...mlDsa, value: optionalBytes });

/** `digest` is what was signed, `value` the signature. */
export const VerifyRequest = z.object({ ...mlDsa, digest: optionalBytes, value: base64urlBytes });

export const RandomRequest = z.object({ count: z.int() });

/** KeyOperationResult, without the value. */
export function serializeDone({ algorithm, key }: Done<unknown>, { host }: RequestContext) {
  return { alg: algorithm, kid: keyId(`https://${host.authority}`, key) };
}

/** KeyOperationResult. */
export function serializeBytes(done: Done<Uint8Array>, context: RequestContext) {
  return { ...serializeDone(done, context), value: toBase64url(done.result) };
}
