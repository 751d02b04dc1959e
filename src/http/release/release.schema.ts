import { z } from 'zod';
import type { Release } from '../../core/release/release-service.ts';
import { base64urlBytes, toBase64url } from '../values/bytes.ts';
import {
  keyId,
  serializeAttributes,
  serializeJsonWebKey,
  serializeReleasePolicy,
} from '../keys/keys.schema.ts';
import type { KeyFormat } from '../keys/keys.schema.ts';
import { optional } from '../values/optional.ts';
import { text } from '../values/text.ts';

const optionalText = (limit: number) => optional(text(limit));

/** An attestation token. */
const target = text(131_072).min(1);

/** KeyReleaseParameters. */
export const ReleaseRequest = z.object({
  target,
  nonce: optionalText(1024),
  enc: optionalText(64),
});

const algorithm = text(64);

/** SecureKeyWrapOperationParameters. */
export const SecureWrapRequest = z.object({ alg: algorithm });

/** SecureKeyUnWrapOperationParameters. */
export const SecureUnwrapRequest = z.object({
  alg: algorithm,
  value: base64urlBytes,
  target,
  applicationTrustedIssuer: optionalText(1024),
});

/** What the pool signs about a release: the request and the wrapped key, as the live service lays them out. */
export function serializeRelease(
  { key, wrap, recipient, wrapped }: Release,
  request: { readonly apiVersion: string; readonly nonce: string | undefined },
  format: KeyFormat,
) {
  const { kty, ...rest } = serializeJsonWebKey(key.material, format.origin);
  const keyHsm = {
    ciphertext: toBase64url(wrapped),
    header: { alg: 'dir', enc: wrap, kid: recipient.keyId },
    schema_version: '1.0',
  };
  return {
    request: {
      'api-version': request.apiVersion,
      enc: wrap,
      kid: keyId(format.origin, key.material),
      nonce: request.nonce,
    },
    response: {
      key: {
        attributes: serializeAttributes(key, format),
        key: {
          ...rest,
          key_hsm: toBase64url(Buffer.from(JSON.stringify(keyHsm))),
          // It is a key of the HSM no longer.
          kty: kty.replace(/-HSM$/, ''),
        },
        ...serializeReleasePolicy(key.material),
      },
    },
  };
}
