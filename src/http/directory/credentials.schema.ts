import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { CertificateCredential, FederatedCredential } from '../../core/directory/directory.ts';
import { isIssuerUrl } from '../../core/directory/issuer-url.ts';
import { dateTime } from '../values/date-time.ts';
import { displayName } from './display-name.ts';
import { mimeBase64 } from '../values/bytes.ts';
import { guid, text } from '../values/text.ts';

/** Certificates have a few kilobytes. */
const KEY_LIMIT = 16_384;

/** Graph's keyCredential; `key` is the certificate, DER or PEM, in base64. Other members are taken and mean nothing. */
const keyCredential = z
  .object({
    keyId: guid.nullish(),
    displayName: displayName.nullish(),
    key: mimeBase64(KEY_LIMIT).nullish(),
    type: z.enum(['AsymmetricX509Cert', 'X509CertAndPassword']).nullish(),
    usage: z.enum(['Verify', 'Sign']).nullish(),
    startDateTime: dateTime.nullish(),
    endDateTime: dateTime.nullish(),
  })
  .transform(({ keyId, displayName: name, key, startDateTime, endDateTime }) => ({
    ...(keyId && { keyId }),
    ...(name && { displayName: name }),
    ...(key && { certificate: key }),
    ...(startDateTime && { startsAt: startDateTime }),
    ...(endDateTime && { endsAt: endDateTime }),
  }));

/** More than there can be, so that the sentence about the limit is the directory's own. */
export const keyCredentials = z.array(keyCredential).max(100);

/** An issuer's keys are fetched from it: encrypted, or from this machine. */
const issuerUrl = text(512).refine(isIssuerUrl, {
  message: 'must be an https URL without query or fragment',
});

export const CreateFederatedRequest = z
  .object({
    name: text(120).regex(/^[A-Za-z0-9_.-]{1,120}$/, { message: 'must be a plain name' }),
    issuer: issuerUrl,
    subject: text(600).min(1),
    audiences: z.array(text(600).min(1)).length(1),
    description: text(600).nullish(),
  })
  .transform(({ audiences, description, ...credential }) => ({
    ...credential,
    audience: audiences[0] ?? '',
    ...(description && { description }),
  }));

export function serializeCertificate(credential: CertificateCredential) {
  return {
    // As Graph and the portal have it: the SHA-1 thumbprint, a name and no proof of anything.
    customKeyIdentifier: createHash('sha1')
      .update(credential.certificate)
      .digest('hex')
      .toUpperCase(),
    displayName: credential.displayName ?? null,
    endDateTime: credential.endsAt.toISOString(),
    key: null,
    keyId: credential.keyId,
    startDateTime: credential.startsAt.toISOString(),
    type: 'AsymmetricX509Cert',
    usage: 'Verify',
  };
}

export function serializeFederated(credential: FederatedCredential) {
  return {
    id: credential.id,
    audiences: [credential.audience],
    description: credential.description ?? null,
    issuer: credential.issuer,
    name: credential.name,
    subject: credential.subject,
  };
}
