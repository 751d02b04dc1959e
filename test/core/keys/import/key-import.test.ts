import { createECDH } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { parseImportedKey } from '../../../../src/core/keys/import/key-import.ts';
import { wipe } from '../../../../src/core/keys/import/plain-key.ts';
import { parseTransferBlob } from '../../../../src/core/keys/import/transfer-blob.ts';
import { ML_DSA } from '../../../../src/core/operations/algorithms.ts';
import { decoded, outsideEc, outsideRsa } from '../../../support/plain-keys.ts';

const RSA = outsideRsa(2048).jwk;
const OTHER_RSA = outsideRsa(2048).jwk;
const SMALL_RSA = outsideRsa(1024).jwk;
const EC = outsideEc('P-256').jwk;
const OTHER_EC = outsideEc('P-256').jwk;
const bytes = (length: number, value = 1) => Buffer.alloc(length, value).toString('base64url');

/** The member with its last bit turned. */
function flipped(jwk: Readonly<Record<string, string>>, name: string): Record<string, string> {
  const value = Buffer.from(jwk[name] ?? '', 'base64url');
  value[value.length - 1] = (value.at(-1) ?? 0) ^ 1;
  return { ...jwk, [name]: value.toString('base64url') };
}
function without(jwk: Readonly<Record<string, string>>, name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(jwk).filter(([member]) => member !== name));
}
/** A JWK of ML-DSA (its public half and seed need not belong together: the HSM finds that out). */
function akp(alg: string, publicBytes: number, seedBytes: number): Record<string, string> {
  return { kty: 'AKP', alg, pub: bytes(publicBytes), priv: bytes(seedBytes) };
}
const order = Buffer.from(
  'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551',
  'hex',
);

describe('a key that is imported', () => {
  test.each([
    ['RSA', RSA],
    ['RSA under its software name', { ...RSA, kty: 'RSA' }],
    [
      'RSA with leading zeros',
      {
        ...RSA,
        n: Buffer.concat([Buffer.alloc(2), Buffer.from(RSA['n'] ?? '', 'base64url')]).toString(
          'base64url',
        ),
      },
    ],
    ['EC', EC],
    ['AES', { kty: 'oct-HSM', k: bytes(32) }],
    ['AES under its software name', { kty: 'oct', k: bytes(16) }],
    ...Object.entries(ML_DSA).flatMap(([alg, { publicBytes }]) => [
      [alg, { kty: 'AKP-HSM', alg, pub: bytes(publicBytes), priv: bytes(32) }] as const,
      [`${alg} under its software name`, akp(alg, publicBytes, 32)] as const,
    ]),
  ])('%s is taken', async (_what, jwk) => {
    expect((await parseImportedKey(decoded(jwk))).keyType).toMatch(/^(RSA|EC|oct|AKP)-HSM$/);
  });

  test.each([
    ['an unknown type', { kty: 'OKP', k: bytes(32) }],
    ...['n', 'e', 'd', 'p', 'q', 'dp', 'dq', 'qi'].flatMap((name) => [
      [`RSA without ${name}`, without(RSA, name)] as const,
      [
        `RSA with another ${name}`,
        { ...RSA, [name]: name === 'e' ? 'AQAD' : OTHER_RSA[name] },
      ] as const,
      [`RSA with a bit of ${name} turned`, flipped(RSA, name)] as const,
    ]),
    ...Object.entries(ML_DSA).flatMap(([alg, { publicBytes }]) => [
      [`${alg} without its public key`, without(akp(alg, publicBytes, 32), 'pub')] as const,
      [`${alg} without its seed`, without(akp(alg, publicBytes, 32), 'priv')] as const,
      [`${alg} of no set`, without(akp(alg, publicBytes, 32), 'alg')] as const,
      [`${alg} with a public key that is too long`, akp(alg, publicBytes + 1, 32)] as const,
      [`${alg} with the whole key for a seed`, akp(alg, publicBytes, 2560)] as const,
      [`${alg} with a seed that is too short`, akp(alg, publicBytes, 31)] as const,
    ]),
    ['ML-DSA of another set', akp('ML-DSA-44', 1952, 32)],
    ['RSA of 1024 bits', SMALL_RSA],
    ['RSA with p and q exchanged', { ...RSA, p: RSA['q'], q: RSA['p'] }],
    ['RSA with an even exponent', { ...RSA, e: 'AQAA' }],
    ['RSA with the exponent 3', { ...RSA, e: 'Aw' }],
    ...['x', 'y', 'd', 'crv'].map((name) => [`EC without ${name}`, without(EC, name)] as const),
    ...['x', 'y', 'd'].map(
      (name) => [`EC with a bit of ${name} turned`, flipped(EC, name)] as const,
    ),
    ['EC with the public half of another', { ...EC, x: OTHER_EC['x'], y: OTHER_EC['y'] }],
    ['EC said to be on another curve', { ...EC, crv: 'P-256K' }],
    ['EC on a curve that is not there', { ...EC, crv: 'Ed25519' }],
    ['EC with the private key 0', { ...EC, d: bytes(32, 0) }],
    ['EC with the order of the curve as private key', { ...EC, d: order.toString('base64url') }],
    ['EC with too many bytes', { ...EC, x: bytes(33) }],
    ['AES without k', { kty: 'oct-HSM' }],
    ...[0, 15, 17, 31, 33, 64].map(
      (length) => [`AES of ${length} bytes`, { kty: 'oct-HSM', k: bytes(length) }] as const,
    ),
  ])('%s is refused', async (_what, jwk) => {
    await expect(parseImportedKey(decoded(jwk as Record<string, string>))).rejects.toMatchObject({
      code: 'BadParameter',
    });
  });

  test('EC coordinates that lost their leading zeros get them back', async () => {
    // A private key whose point has a leading zero byte is found in a few hundred tries.
    const pair = createECDH('prime256v1');
    let point: Buffer;
    do point = pair.generateKeys();
    while (point[1] !== 0);
    const x = point.subarray(2, 33).toString('base64url');
    const y = point.subarray(33).toString('base64url');
    const d = pair.getPrivateKey().toString('base64url');
    const key = await parseImportedKey(decoded({ kty: 'EC', crv: 'P-256', x, y, d }));
    expect(key.keyType === 'EC-HSM' && key.x.length).toBe(32);
  });

  test('is overwritten when it is wiped', async () => {
    const key = await parseImportedKey(decoded(EC));
    wipe(key);
    if (key.keyType !== 'EC-HSM') throw new TypeError();
    expect([...key.d]).toEqual(Array.from({ length: 32 }, () => 0));
  });
});

describe('a key transfer blob', () => {
  const VERSION = '0123456789abcdef0123456789abcdef';
  const FILE = {
    schema_version: '1.0.0',
    header: { kid: `https://h/keys/kek/${VERSION}`, alg: 'dir', enc: 'CKM_RSA_AES_KEY_WRAP' },
    ciphertext: 'AAEC',
    generator: 'test',
  };
  const blob = (file: unknown) => Buffer.from(JSON.stringify(file));

  test('names its key exchange key', () => {
    expect(parseTransferBlob(blob(FILE))).toEqual({
      exchangeKey: { name: 'kek', version: VERSION },
      wrapped: Buffer.of(0, 1, 2),
    });
  });

  test.each([
    ['no JSON', Buffer.from('not json')],
    ['null', blob(null)],
    ['no header', blob({ ...FILE, header: undefined })],
    ['another schema', blob({ ...FILE, schema_version: '2.0.0' })],
    [
      'another mechanism',
      blob({ ...FILE, header: { ...FILE.header, enc: 'RSA_AES_KEY_WRAP_256' } }),
    ],
    ['another alg', blob({ ...FILE, header: { ...FILE.header, alg: 'RSA-OAEP' } })],
    [
      'a kid without version',
      blob({ ...FILE, header: { ...FILE.header, kid: 'https://h/keys/kek' } }),
    ],
    ['no kid', blob({ ...FILE, header: { ...FILE.header, kid: 7 } })],
    ['no ciphertext', blob({ ...FILE, ciphertext: undefined })],
    ['a ciphertext that is not base64', blob({ ...FILE, ciphertext: '§' })],
  ])('with %s is refused', (_what, bytesOfFile) => {
    expect(() => parseTransferBlob(bytesOfFile)).toThrow(
      expect.objectContaining({ code: 'BadParameter' }),
    );
  });
});
