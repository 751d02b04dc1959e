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

const NO_ML_DSA = 'ML-DSA keys (AKP-HSM), which this pool does not have';

/** Members that have a meaning for ML-DSA keys alone: passed over, they would leave a signature of something else. */
const mlDsa = {
  external_mu: absent(`only ${NO_ML_DSA}, take it`),
  context: absent(`only ${NO_ML_DSA}, take it`),
};

function absent(message: string) {
  return z.null(message).optional();
}

/** As long as a body may be. */
const BASE64URL_LIMIT = 256 * 1024;

/** The names of newer versions may leave these out, for ML-DSA keys. */
const needed = {
  error: ({ input }: { readonly input?: unknown }) =>
    input === undefined || input === null
      ? `it is missing; only ${NO_ML_DSA}, are used without it`
      : undefined,
};

export const SignRequest = z.object({
  ...mlDsa,
  alg: text(64, needed),
  value: base64urlBytes,
});

/** `digest` is what was signed, `value` the signature. */
export const VerifyRequest = z.object({
  ...mlDsa,
  alg: text(64, needed),
  digest: text(BASE64URL_LIMIT, needed).pipe(base64urlBytes),
  value: base64urlBytes,
});

export const RandomRequest = z.object({ count: z.int() });

/** KeyOperationResult, without the value. */
export function serializeDone({ algorithm, key }: Done<unknown>, { host }: RequestContext) {
  return { alg: algorithm, kid: keyId(`https://${host.authority}`, key) };
}

/** KeyOperationResult. */
export function serializeBytes(done: Done<Uint8Array>, context: RequestContext) {
  return { ...serializeDone(done, context), value: toBase64url(done.result) };
}
