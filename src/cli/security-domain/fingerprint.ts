import type { RsaCertificate } from '../../core/recovery/security-domain/rsa-certificate.ts';

/** As OpenSSL prints it (`openssl x509 -noout -fingerprint -sha256`). */
export function fingerprintOf({ thumbprint }: Pick<RsaCertificate, 'thumbprint'>): string {
  const hex = Buffer.from(thumbprint, 'base64url').toString('hex').toUpperCase();
  return hex.match(/../g)?.join(':') ?? '';
}
