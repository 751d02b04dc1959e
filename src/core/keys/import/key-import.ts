import { checkPrime, createECDH } from 'node:crypto';
import { promisify } from 'node:util';
import {
  AES_SIZES,
  CURVE,
  CURVES,
  ML_DSA,
  ML_DSA_SEED_BYTES,
  RSA_SIZES,
} from '../../operations/algorithms.ts';
import { ServiceError } from '../../errors.ts';
import { parseCurve, parseKeyType, parseParameterSet, parsePublicExponent } from '../key-spec.ts';
import type { PlainAesKey, PlainEcKey, PlainKey, PlainMlDsaKey, PlainRsaKey } from './plain-key.ts';

/** A JSON Web Key with its private members (RFC 7517, RFC 7518 §6), already decoded from base64url. */
export interface ImportedJwk {
  readonly kty: string;
  readonly crv?: string | undefined;
  /** AKP keys must have it, and JWKs of others may say for what they were used. */
  readonly alg?: string | undefined;
  readonly members: Readonly<Partial<Record<JwkMember, Uint8Array>>>;
}
export const JWK_MEMBERS = [
  'n',
  'e',
  'd',
  'p',
  'q',
  'dp',
  'dq',
  'qi',
  'x',
  'y',
  'k',
  'pub',
  'priv',
] as const;
type JwkMember = (typeof JWK_MEMBERS)[number];

const isPrime = promisify<bigint, boolean>(checkPrime);

/**
 * The key in a JWK, checked: sizes, curve, and that the public half belongs to the private one.
 * @throws ServiceError BadParameter, which names the member and never its value
 */
export async function parseImportedKey(jwk: ImportedJwk): Promise<PlainKey> {
  const keyType = parseKeyType(jwk.kty);
  switch (keyType) {
    case 'RSA-HSM':
      return parseRsa(jwk);
    case 'EC-HSM':
      return parseEc(jwk);
    case 'oct-HSM':
      return parseAes(jwk);
    case 'AKP-HSM':
      return parseMlDsa(jwk);
  }
}

/** SP 800-56B rev. 2 §6.4.1: all that can be checked by the numbers of a key pair in CRT form. */
async function parseRsa(jwk: ImportedJwk): Promise<PlainRsaKey> {
  const bytes = (name: JwkMember) => withoutLeadingZeros(member(jwk, name));
  const key = {
    keyType: 'RSA-HSM',
    n: bytes('n'),
    e: bytes('e'),
    d: bytes('d'),
    p: bytes('p'),
    q: bytes('q'),
    dp: bytes('dp'),
    dq: bytes('dq'),
    qi: bytes('qi'),
  } as const;
  const bits = RSA_SIZES.find((size) => size === bitLength(key.n));
  if (bits === undefined)
    throw wrong('key.n', `the modulus must have ${RSA_SIZES.join(', ')} bits`);
  const [n, e, d, p, q] = [
    number(key.n),
    number(key.e),
    number(key.d),
    number(key.p),
    number(key.q),
  ];
  parsePublicExponent('key.e', e);
  if (bitLength(key.p) !== bits / 2 || bitLength(key.q) !== bits / 2 || p === q || p * q !== n)
    throw mismatch();
  const isConsistent =
    d < n &&
    (d * e) % (p - 1n) === 1n &&
    (d * e) % (q - 1n) === 1n &&
    number(key.dp) === d % (p - 1n) &&
    number(key.dq) === d % (q - 1n) &&
    (number(key.qi) * q) % p === 1n &&
    number(key.qi) < p;
  if (!isConsistent || !(await isPrime(p)) || !(await isPrime(q))) throw mismatch();
  return { ...key, bits };
}

function parseEc(jwk: ImportedJwk): PlainEcKey {
  const curve = parseCurve('key.crv', jwk.crv);
  if (curve === undefined) throw wrong('key.crv', `it must be one of ${CURVES.join(', ')}`);
  const { bytes: width, openssl } = CURVE[curve];
  const [x, y, d] = (['x', 'y', 'd'] as const).map((name) => padded(jwk, name, width));
  if (x === undefined || y === undefined || d === undefined) throw new TypeError('three of three');
  const pair = createECDH(openssl);
  try {
    // Refuses 0 and what isn't below the order of the curve.
    pair.setPrivateKey(d);
  } catch {
    throw mismatch();
  }
  // The point that the private key gives is on the curve: one that equals it is, too.
  if (!pair.getPublicKey().equals(Buffer.concat([Buffer.of(4), x, y]))) throw mismatch();
  return { keyType: 'EC-HSM', curve, x, y, d };
}

function parseAes(jwk: ImportedJwk): PlainAesKey {
  const k = member(jwk, 'k');
  const bits = AES_SIZES.find((size) => size === k.length * 8);
  if (bits === undefined) throw wrong('key.k', `the key must have ${AES_SIZES.join(', ')} bits`);
  return { keyType: 'oct-HSM', bits, k };
}

/** `priv` of an AKP key is its seed. Whether `pub` follows from it, the HSM finds out. */
function parseMlDsa(jwk: ImportedJwk): PlainMlDsaKey {
  const parameterSet = parseParameterSet('key.alg', jwk.alg);
  const [pub, seed] = [member(jwk, 'pub'), member(jwk, 'priv')];
  const { publicBytes } = ML_DSA[parameterSet];
  if (pub.length !== publicBytes)
    throw wrong('key.pub', `a public key of ${parameterSet} has ${publicBytes} bytes`);
  if (seed.length !== ML_DSA_SEED_BYTES)
    throw wrong('key.priv', `it must be the seed of the key, ${ML_DSA_SEED_BYTES} bytes`);
  return { keyType: 'AKP-HSM', parameterSet, pub, seed };
}

function member({ members }: ImportedJwk, name: JwkMember): Uint8Array {
  const value = members[name];
  if (value === undefined || value.length === 0) throw wrong(`key.${name}`, 'it is missing');
  return value;
}

/** Some writers drop leading zeros. */
function padded(jwk: ImportedJwk, name: JwkMember, width: number): Buffer {
  const bytes = withoutLeadingZeros(member(jwk, name));
  if (bytes.length > width) throw wrong(`key.${name}`, 'it is longer than the curve is wide');
  const result = Buffer.alloc(width);
  result.set(bytes, width - bytes.length);
  return result;
}

function withoutLeadingZeros(bytes: Uint8Array): Uint8Array {
  const first = bytes.findIndex((byte) => byte !== 0);
  return first === -1 ? bytes.subarray(bytes.length) : bytes.subarray(first);
}

/** Of a number without leading zero bytes. */
function bitLength(bytes: Uint8Array): number {
  return bytes.length === 0 ? 0 : bytes.length * 8 - Math.clz32(bytes[0] ?? 0) + 24;
}

function number(bytes: Uint8Array): bigint {
  return BigInt(`0x0${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')}`);
}

function wrong(property: string, why: string): ServiceError {
  return new ServiceError('BadParameter', `Property ${property} has an invalid value: ${why}.`);
}

function mismatch(): ServiceError {
  return new ServiceError(
    'BadParameter',
    'Property key has an invalid value: the private key is no valid one, or the public key does not belong to it.',
  );
}
