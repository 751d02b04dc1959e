import { X509Certificate } from 'node:crypto';
import type { Certificates } from '../core/pool/certified-keys.ts';
import { toKeyObject } from './key-object.ts';

/** Certificates of keys that are in the HSM. What makes them is large and seldom needed: it is loaded then. */
export function createCertificates(): Certificates {
  return {
    async make(request) {
      const { makeCertificate } = await import('./certificate-making.ts');
      return makeCertificate(request);
    },

    expiryOf(certificate, publicKey, issuer) {
      const parsed = new X509Certificate(certificate);
      const isItsOwn =
        issuer !== undefined &&
        parsed.publicKey.equals(toKeyObject(publicKey)) &&
        parsed.verify(toKeyObject(issuer));
      return isItsOwn ? new Date(parsed.validTo) : undefined;
    },
  };
}
