import { z } from 'zod';
import { type Release } from '../../core/release/release-service.ts';
import { base64urlBytes, toBase64url } from '../values/base64url.ts';
import {
  keyId,
  presentAttributes,
  presentJsonWebKey,
  presentReleasePolicy,
} from '../keys/keys.schema.ts';
import { type Serializer } from '../keys/keys.schema.ts';
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
export function presentRelease(
  { key, wrap, recipient, wrapped }: Release,
  request: { readonly apiVersion: string; readonly nonce: string | undefined },
  serializer: Serializer,
) {
  const { kty, ...rest } = presentJsonWebKey(key.material, serializer.origin);
  const keyHsm = {
    ciphertext: toBase64url(wrapped),
    header: {
      alg: 'dir',
      enc: wrap,
      ...(recipient.keyId !== undefined && { kid: recipient.keyId }),
    },
    schema_version: '1.0',
  };
  return {
    request: {
      'api-version': request.apiVersion,
      enc: wrap,
      kid: keyId(serializer.origin, key.material),
      ...(request.nonce !== undefined && { nonce: request.nonce }),
    },
    response: {
      key: {
        attributes: presentAttributes(key, serializer),
        key: {
          ...rest,
          key_hsm: toBase64url(Buffer.from(JSON.stringify(keyHsm))),
          // It is a key of the HSM no longer.
          kty: kty.replace(/-HSM$/, ''),
        },
        ...presentReleasePolicy(key.material),
      },
    },
  };
}
