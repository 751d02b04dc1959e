import { ServiceError } from '../../core/errors.ts';
import type { ImportedJwk } from '../../core/keys/import/key-import.ts';
import type { KeySpec, PublicKey } from '../../core/keys/key.ts';
import { CURVE } from '../../core/operations/algorithms.ts';

/** One value of DER (X.690 §8.1): its tag, what it holds, and where it ends. */
interface DerValue {
  readonly tag: number;
  readonly content: Buffer;
  readonly end: number;
}

const TAG = {
  integer: 0x02,
  octets: 0x04,
  oid: 0x06,
  sequence: 0x30,
  seed: 0x80,
  first: 0xa0,
  second: 0xa1,
};
/** RFC 8017 §A.1.2, after the version. */
const RSA_NUMBERS = ['n', 'e', 'd', 'p', 'q', 'dp', 'dq', 'qi'] as const;

/**
 * The numbers of a private key in a PKCS #8 (RFC 5208 §5), with RSAPrivateKey (RFC 8017 §A.1.2) or ECPrivateKey (RFC 5915
 * §3) in it, as a JWK has them. They are pieces of the bytes that are given.
 * @param publicKey of an EC key, whose PKCS #8 need not have it
 * @throws ServiceError BadParameter for what is no such key, or says itself another public half or curve
 */
export function readPkcs8(
  bytes: Buffer,
  spec: Extract<KeySpec, { keyType: 'RSA-HSM' | 'EC-HSM' }>,
  publicKey: PublicKey,
): ImportedJwk {
  const [, , octets] = childrenOf(valueAt(bytes, 0, TAG.sequence).content);
  const key = valueAt(expected(octets, TAG.octets).content, 0, TAG.sequence);
  const [, ...parts] = childrenOf(key.content);
  if (spec.keyType === 'RSA-HSM')
    return {
      kty: spec.keyType,
      members: Object.fromEntries(
        RSA_NUMBERS.map((name, index) => [name, expected(parts[index], TAG.integer).content]),
      ),
    };
  if (publicKey.keyType !== 'EC-HSM') throw new TypeError('an RSA public half of an EC key');
  const [d, ...optional] = parts;
  const { x, y } = publicKey;
  for (const { tag, content } of optional) {
    if (tag === TAG.first && !content.equals(CURVE[spec.curve].oid)) throw inconsistent();
    if (tag === TAG.second && !isPoint(content, x, y)) throw inconsistent();
  }
  return {
    kty: spec.keyType,
    crv: spec.curve,
    members: { x, y, d: expected(d, TAG.octets).content },
  };
}

/**
 * A key of ML-DSA in a PKCS #8 (RFC 9881 §6), as attributes of PKCS#11: its seed where it is there, else the whole key.
 * They are pieces of the bytes that are given.
 * @throws ServiceError BadParameter for what is no such key
 */
export function readMlDsaPkcs8(
  bytes: Buffer,
): { readonly seed: Buffer } | { readonly value: Buffer } {
  const [, , octets] = childrenOf(valueAt(bytes, 0, TAG.sequence).content);
  const key = valueAt(expected(octets, TAG.octets).content, 0);
  if (key.tag === TAG.seed) return { seed: key.content };
  if (key.tag === TAG.octets) return { value: key.content };
  const [seed] = childrenOf(expected(key, TAG.sequence).content);
  return { seed: expected(seed, TAG.octets).content };
}

/** Whether a DER BIT STRING holds a point, in either of its forms (SEC 1 §2.3.3). */
function isPoint(bitString: Buffer, x: Uint8Array, y: Uint8Array): boolean {
  const point = childrenOf(bitString)[0]?.content.subarray(1) ?? Buffer.alloc(0);
  const isOdd = (y.at(-1) ?? 0) & 1;
  return (
    point.equals(Buffer.concat([Buffer.of(4), x, y])) ||
    point.equals(Buffer.concat([Buffer.of(2 + isOdd), x]))
  );
}

function childrenOf(content: Buffer): readonly DerValue[] {
  const children: DerValue[] = [];
  for (let at = 0; at < content.length;) {
    const child = valueAt(content, at);
    children.push(child);
    at = child.end;
  }
  return children;
}

function valueAt(bytes: Buffer, at: number, tag?: number): DerValue {
  const first = bytes[at + 1];
  if (first === undefined) throw inconsistent();
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  if (lengthBytes > 3 || at + 2 + lengthBytes > bytes.length) throw inconsistent();
  const length = lengthBytes === 0 ? first : bytes.readUIntBE(at + 2, lengthBytes);
  const start = at + 2 + lengthBytes;
  const end = start + length;
  if (end > bytes.length) throw inconsistent();
  const value = { tag: bytes[at] ?? 0, content: bytes.subarray(start, end), end };
  return tag === undefined ? value : expected(value, tag);
}

function expected(value: DerValue | undefined, tag: number): DerValue {
  if (value?.tag !== tag) throw inconsistent();
  return value;
}

function inconsistent(): ServiceError {
  return new ServiceError(
    'BadParameter',
    'Property key has an invalid value: the private key is no valid one, or the public key does not belong to it.',
  );
}
