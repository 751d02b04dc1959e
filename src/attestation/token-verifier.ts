import { createLocalJWKSet, decodeJwt, errors, type JWTPayload, jwtVerify } from 'jose';
import { z } from 'zod';
import { ServiceError } from '../core/errors.ts';
import type { Clock } from '../core/clock.ts';
import { isSameAuthority } from '../core/release/release-policy.ts';
import type { AttestationVerifier, AttestedEnvironment } from '../core/release/admission.ts';
import type { AuthorityKeys } from './authority-keys.ts';

export interface TokenVerifierParts {
  readonly authorityKeys: AuthorityKeys;
  readonly clock: Clock;
}

/** Of authorities that attest environments today; nothing symmetric, and never "none". */
const ALGORITHMS = ['RS256', 'PS256', 'ES256'];
const CLOCK_TOLERANCE_SECONDS = 60;
const COMPACT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const SIZE_LIMIT = 131_072;

/**
 * Checks attestation tokens (JWT, RFC 7519; RFC 8725). The keys come from the authority that the policy names, by its
 * metadata: header members that offer a key or say where to find one (jku, jwk, x5u, x5c) are not looked at, though
 * authorities send them.
 */
export function createTokenVerifier(parts: TokenVerifierParts): AttestationVerifier {
  const { authorityKeys, clock } = parts;

  async function checked(token: string, issuer: string, authority: string): Promise<JWTPayload> {
    try {
      const { payload } = await jwtVerify(
        token,
        async (header) => createLocalJWKSet(await authorityKeys(authority, header.kid))(header),
        {
          algorithms: ALGORITHMS,
          issuer,
          clockTolerance: CLOCK_TOLERANCE_SECONDS,
          currentDate: clock.now(),
          requiredClaims: ['iss', 'exp'],
        },
      );
      return payload;
    } catch (error) {
      if (error instanceof ServiceError) throw error;
      throw rejected(
        error instanceof errors.JWTExpired
          ? 'The attestation token has expired.'
          : 'The attestation token cannot be verified.',
        error,
      );
    }
  }

  return {
    async verify(token, authorities) {
      const issuer = issuerOf(token);
      const authority = authorities.find((named) => isSameAuthority(named, issuer));
      if (authority === undefined)
        throw rejected(
          'The attestation token is of no authority that the release policy names and this pool trusts.',
        );
      const claims = await checked(token, issuer, authority);
      return { authority, claims, recipient: recipientOf(claims) };
    },
  };
}

/** What a token says before it is checked: good for choosing the authority, and for nothing else. */
function issuerOf(token: string): string {
  if (token.length > SIZE_LIMIT || !COMPACT.test(token))
    throw new ServiceError('BadParameter', 'Property target has an invalid value: it is no JWT.');
  try {
    const { iss } = decodeJwt(token);
    if (typeof iss === 'string') return iss;
  } catch {
    // Answered below.
  }
  throw rejected('The attestation token names no issuer.');
}

const Runtime = z.object({ keys: z.array(z.unknown()).max(100) });
const EncryptionKey = z.object({
  kty: z.literal('RSA'),
  kid: z.string().max(1024).optional(),
  use: z.string().optional(),
  key_ops: z.array(z.string()).optional(),
  n: z.string().regex(/^[A-Za-z0-9_-]{1,1400}={0,2}$/),
  e: z.string().regex(/^[A-Za-z0-9_-]{1,12}={0,2}$/),
});
const BITS = { least: 2048, most: 4096 };
const EXPONENT = { least: 65_537n, most: 0xffff_ffffn };

/** The first RSA key that is meant for encryption; the authority vouches that it is the environment's own. */
function recipientOf(claims: JWTPayload): AttestedEnvironment['recipient'] {
  const runtime = Runtime.safeParse(claims['x-ms-runtime']);
  const keys = runtime.success ? runtime.data.keys : [];
  for (const candidate of keys) {
    const { data: key } = EncryptionKey.safeParse(candidate);
    if (key === undefined) continue;
    if (key.use !== 'enc' && key.key_ops?.includes('encrypt') !== true) continue;
    const n = unsigned(key.n);
    const e = unsigned(key.e);
    requireGood(n, e);
    return { n, e, ...(key.kid !== undefined && { keyId: key.kid }) };
  }
  throw rejected('The attestation token holds no RSA key for encryption in x-ms-runtime.keys.');
}

function requireGood(n: Buffer, e: Buffer): void {
  const bits = n.length === 0 ? 0 : toNumber(n).toString(2).length;
  const exponent = toNumber(e);
  const isGood =
    bits >= BITS.least &&
    bits <= BITS.most &&
    bits % 8 === 0 &&
    toNumber(n) % 2n === 1n &&
    exponent >= EXPONENT.least &&
    exponent <= EXPONENT.most &&
    exponent % 2n === 1n;
  if (!isGood)
    throw rejected(
      `The encryption key in the attestation token must be an RSA key of ${BITS.least} to ${BITS.most} bits with an odd exponent of at least ${EXPONENT.least}.`,
    );
}

function toNumber(bytes: Buffer): bigint {
  return BigInt(`0x0${bytes.toString('hex')}`);
}

/** Big-endian without leading zero bytes. */
function unsigned(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64url');
  const first = bytes.findIndex((byte) => byte !== 0);
  return first <= 0 ? bytes : bytes.subarray(first);
}

function rejected(message: string, cause?: unknown): ServiceError {
  return new ServiceError('AttestationRejected', message, { cause });
}
