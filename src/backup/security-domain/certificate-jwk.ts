import { createHash } from 'node:crypto';
import { z } from 'zod';
import { ServiceError } from '../../core/errors.ts';
import {
  readRsaCertificate,
  type RsaCertificate,
} from '../../core/recovery/security-domain/rsa-certificate.ts';

/**
 * A certificate as Azure's clients send and read it: a JSON Web Key with its certificate (RFC 7517 §4.7), which is the only
 * member that counts. The others, where they are there, have to agree with it.
 */
const CertificateJwk = z.object({
  kty: z.literal('RSA'),
  /** Standard base64 of the DER, not base64url. */
  x5c: z.array(z.base64()).min(1),
  x5t: z.string().optional(),
  'x5t#S256': z.string().optional(),
  n: z.string().optional(),
  e: z.string().optional(),
});

/** Of an RSA key's private half (RFC 7518 §6.3.2). */
const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth'];

/** @throws ServiceError BadParameter */
export function readCertificateJwk(value: unknown): RsaCertificate {
  const { data: jwk, error } = CertificateJwk.safeParse(value);
  if (error !== undefined) {
    const place = error.issues[0]?.path.join('.') ?? '';
    throw new ServiceError(
      'BadParameter',
      `It is no JSON Web Key of an RSA certificate: its member ${place || 'x5c'} is missing or wrong.`,
    );
  }
  const secret = PRIVATE.find((name) => Object.hasOwn(value as object, name));
  if (secret !== undefined)
    throw new ServiceError(
      'BadParameter',
      `It is a private key (member ${secret}), which has left its custodian now: make a new one, and send its certificate alone.`,
    );
  const certificate = readRsaCertificate(Buffer.from(jwk.x5c[0] ?? '', 'base64'));
  const ofCertificate = certificate.publicKey.export({ format: 'jwk' });
  const thumbprints = { x5t: sha1Of(certificate), 'x5t#S256': certificate.thumbprint };
  const differing =
    (['x5t', 'x5t#S256'] as const).find(
      (name) => jwk[name] !== undefined && !isSame(jwk[name], thumbprints[name]),
    ) ??
    (['n', 'e'] as const).find(
      (name) => jwk[name] !== undefined && !isSame(jwk[name], ofCertificate[name] ?? ''),
    );
  if (differing !== undefined)
    throw new ServiceError(
      'BadParameter',
      `The JSON Web Key's member ${differing} is not that of its certificate (x5c).`,
    );
  return certificate;
}

export function formatCertificateJwk(certificate: RsaCertificate) {
  const { der, thumbprint, publicKey } = certificate;
  const { n, e } = publicKey.export({ format: 'jwk' });
  return {
    kty: 'RSA',
    alg: 'RSA-OAEP-256',
    key_ops: ['verify', 'encrypt', 'wrapKey'],
    n,
    e,
    x5c: [Buffer.from(der).toString('base64')],
    x5t: sha1Of(certificate),
    'x5t#S256': thumbprint,
  };
}

function sha1Of({ der }: RsaCertificate): string {
  return createHash('sha1').update(der).digest('base64url');
}

/** As bytes: some write a zero byte before a number, or padding after the text. */
function isSame(one: string, other: string): boolean {
  const [first, second] = [one, other].map((text) =>
    Buffer.from(text, 'base64url')
      .toString('hex')
      .replace(/^(?:00)+/, ''),
  );
  return first === second;
}
