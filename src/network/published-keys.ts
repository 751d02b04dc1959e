import { createPublicKey, type JsonWebKey, type KeyObject, X509Certificate } from 'node:crypto';
import type { JSONWebKeySet, JWK } from 'jose';
import { z } from 'zod';

/** What an issuer publishes to check its signatures with. */
export interface PublishedKeys {
  /** Public members alone; whatever would have a key fetched from elsewhere is left out. */
  readonly usable: JSONWebKeySet;
  /** Those that can't be used: each harms nobody but tokens that name it. */
  readonly unusable: readonly { readonly kid?: string; readonly reason: string }[];
}

const KEYS_LIMIT = 100;
const KeySet = z.object({ keys: z.array(z.unknown()).max(KEYS_LIMIT) });

const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];
/** RFC 7518 §3.3; the upper bounds keep the cost of a check small. An exponent of 1 would let anybody sign. */
const RSA = { leastBits: 2048, mostBits: 8192, leastExponent: 3n, mostExponent: 0xffff_ffffn };
const CURVES = ['P-256', 'P-384', 'P-521'];

class UnusableKey extends Error {}

/**
 * Reads a key set (RFC 7517 §5), each key for itself.
 * @throws ZodError for what is no key set
 */
export function readPublishedKeys(document: unknown): PublishedKeys {
  const usable = new Map<string, JWK>();
  const unusable: { kid?: string; reason: string }[] = [];
  for (const key of KeySet.parse(document).keys) {
    const members = z.record(z.string(), z.unknown()).safeParse(key).data ?? {};
    const { kid } = members;
    const named = typeof kid === 'string' ? { kid } : {};
    try {
      const read = { ...readKey(members), ...named };
      // The same key twice is one.
      usable.set(JSON.stringify(read), read);
    } catch (error) {
      if (!(error instanceof UnusableKey)) throw error;
      unusable.push({ ...named, reason: error.message });
    }
  }
  return { usable: { keys: [...usable.values()] }, unusable };
}

function readKey(members: Readonly<Record<string, unknown>>): JWK {
  const { kty, use, key_ops: operations, alg } = members;
  if (kty === 'oct') throw new UnusableKey('it is a secret and no public key');
  if (PRIVATE.some((name) => name in members))
    throw new UnusableKey('it was published together with its private half');
  if (use !== undefined && use !== 'sig') throw new UnusableKey('it is not for signatures');
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify')))
    throw new UnusableKey('it is not for signatures');
  const key = toKeyObject(members);
  requireStrong(key);
  return { ...key.export({ format: 'jwk' }), ...(typeof alg === 'string' && { alg }) };
}

function toKeyObject(members: Readonly<Record<string, unknown>>): KeyObject {
  const { kty, x5c } = members;
  try {
    switch (kty) {
      case 'RSA':
        // Some of Microsoft's authorities publish the certificate alone.
        if (members['n'] === undefined) return fromCertificate(x5c);
        return fromJwk({ kty, n: members['n'], e: members['e'] });
      case 'EC':
        if (members['x'] === undefined) return fromCertificate(x5c);
        return fromJwk({ kty, crv: members['crv'], x: members['x'], y: members['y'] });
      case 'OKP':
        return fromJwk({ kty, crv: members['crv'], x: members['x'] });
    }
  } catch {
    throw new UnusableKey('its members make no key');
  }
  throw new UnusableKey('it is of no type that is known here');
}

/** OpenSSL sees to it that a point is on its curve. */
function fromJwk(jwk: Readonly<Record<string, unknown>>): KeyObject {
  return createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
}

function fromCertificate(chain: unknown): KeyObject {
  const first: unknown = Array.isArray(chain) ? chain[0] : undefined;
  if (typeof first !== 'string') throw new TypeError('no certificate');
  return new X509Certificate(Buffer.from(first, 'base64')).publicKey;
}

function requireStrong(key: KeyObject): void {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === 'rsa') {
    const { modulusLength: bits = 0, publicExponent: exponent = 0n } = details ?? {};
    if (bits < RSA.leastBits || bits > RSA.mostBits)
      throw new UnusableKey(`it is an RSA key of ${bits} bits`);
    if (exponent < RSA.leastExponent || exponent > RSA.mostExponent || exponent % 2n === 0n)
      throw new UnusableKey('it is an RSA key with an exponent that is not accepted');
  } else if (type === 'ec') {
    if (!CURVES.includes(key.export({ format: 'jwk' }).crv ?? ''))
      throw new UnusableKey('it is on a curve that is not accepted');
  } else if (type !== 'ed25519') throw new UnusableKey('it is of no type that is known here');
}
