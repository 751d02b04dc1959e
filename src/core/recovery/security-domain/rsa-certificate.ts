import { createHash, type KeyObject, X509Certificate } from 'node:crypto';
import { ServiceError } from '../../errors.ts';

/** To which something can be encrypted: a custodian's, or the transfer key's of a pool. */
export interface RsaCertificate {
  readonly der: Uint8Array;
  /** SHA-256 of the certificate's DER in base64url: x5t#S256 (RFC 7517 §4.9). */
  readonly thumbprint: string;
  readonly publicKey: KeyObject;
}

const BITS = { least: 2048, most: 16_384 };
/** With an exponent of 1, what is encrypted stays as it is. */
const LEAST_EXPONENT = 3n;

/**
 * The dates of a certificate are not looked at: a custodian's key has to open its share long after them.
 * @param bytes DER or PEM
 * @throws ServiceError BadParameter for bytes that hold no certificate, or one of another key than RSA 2048 or larger
 */
export function readRsaCertificate(bytes: Uint8Array): RsaCertificate {
  let der: Uint8Array;
  let publicKey: KeyObject;
  // The key is decoded when it is asked for, and can be garbage in a certificate that parses.
  try {
    const parsed = new X509Certificate(bytes);
    ({ raw: der, publicKey } = parsed);
  } catch (cause) {
    throw new ServiceError('BadParameter', 'It holds no X.509 certificate.', { cause });
  }
  requireRsa(publicKey);
  return {
    der,
    thumbprint: createHash('sha256').update(der).digest('base64url'),
    publicKey,
  };
}

/** @throws ServiceError BadParameter */
export function requireRsa(key: KeyObject): void {
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  if (
    key.asymmetricKeyType !== 'rsa' ||
    modulusLength < BITS.least ||
    modulusLength > BITS.most ||
    publicExponent < LEAST_EXPONENT
  )
    throw new ServiceError(
      'BadParameter',
      `It is no RSA key of at least ${BITS.least} bits, which a security domain needs.`,
    );
}
