import {
  createHash,
  createHmac,
  createPublicKey,
  type KeyObject,
  randomBytes,
  verify as verifyWithNode,
} from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Curve, SigningAlgorithm } from '../../../src/core/operations/algorithms.ts';
import type { KeyMaterial } from '../../../src/core/keys/key.ts';
import { parseImportedKey } from '../../../src/core/keys/import/key-import.ts';
import type { Pkcs11Hsm } from '../../../src/hsm/pkcs11-hsm.ts';
import { openTestHsm, testIdentity } from '../../support/hsm.ts';
import {
  decoded,
  outsideEc,
  type OutsideKey,
  outsideRsa,
  wrapForTransfer,
} from '../../support/plain-keys.ts';

let hsm: Pkcs11Hsm;
let poolId: string;
beforeAll(() => {
  ({ hsm, poolId } = openTestHsm());
});
afterAll(() => hsm.close());

const identity = (operations: Parameters<typeof testIdentity>[2] = ['sign', 'verify']) =>
  ({ ...testIdentity(poolId, 'imported', operations), origin: 'imported' }) as const;

const EC: readonly (readonly [Curve, SigningAlgorithm, string])[] = [
  ['P-256', 'ES256', 'sha256'],
  ['P-256K', 'ES256K', 'sha256'],
  ['P-384', 'ES384', 'sha384'],
  ['P-521', 'ES512', 'sha512'],
];
const KINDS: readonly (readonly [string, () => OutsideKey, SigningAlgorithm, string])[] = [
  ...[2048, 3072, 4096].map(
    (bits) => [`RSA-${bits}`, once(() => outsideRsa(bits)), 'PS256', 'sha256'] as const,
  ),
  ...EC.map(
    ([curve, algorithm, hash]) => [curve, () => outsideEc(curve), algorithm, hash] as const,
  ),
];

/** The larger ones take seconds to make. */
function once<Thing>(make: () => Thing): () => Thing {
  let made: Thing | undefined;
  return () => (made ??= make());
}

/** What the imported key signs verifies with the public key that the outside has. */
async function signsLike(
  material: KeyMaterial,
  publicKey: KeyObject,
  algorithm: SigningAlgorithm,
  hash: string,
): Promise<boolean> {
  const message = randomBytes(40);
  const signature = await hsm.sign(material, algorithm, createHash(hash).update(message).digest());
  const options =
    material.spec.keyType === 'RSA-HSM'
      ? { key: publicKey, padding: 6, saltLength: 32 }
      : { key: publicKey, dsaEncoding: 'ieee-p1363' as const };
  return verifyWithNode(hash, message, options, signature);
}

describe('a key in the clear', () => {
  test.each(KINDS)('%s is imported and signs', async (_kind, make, algorithm, hash) => {
    const outside = make();
    const plain = await parseImportedKey(decoded(outside.jwk));
    const material = await hsm.importKey(identity(), plain);
    expect(material.identity.origin).toBe('imported');
    expect(await signsLike(material, outside.publicKey, algorithm, hash)).toBe(true);
    const digest = createHash(hash).update('x').digest();
    const signature = await hsm.sign(material, algorithm, digest);
    expect(await hsm.verify(material, algorithm, digest, signature)).toBe(true);
  });

  test.each([128, 192, 256] as const)(
    'AES-%i is imported and is the key of HMAC too',
    async (bits) => {
      const k = randomBytes(bits / 8);
      const plain = await parseImportedKey(decoded({ kty: 'oct-HSM', k: k.toString('base64url') }));
      const material = await hsm.importKey(identity(['encrypt', 'decrypt', 'sign']), plain);
      const message = randomBytes(100);
      for (const [algorithm, hash] of [
        ['HS256', 'sha256'],
        ['HS384', 'sha384'],
        ['HS512', 'sha512'],
      ] as const)
        expect(Buffer.from(await hsm.sign(material, algorithm, message))).toEqual(
          createHmac(hash, k).update(message).digest(),
        );
      const sealed = await hsm.encrypt(material, `A${bits}GCM`, message, {});
      expect(Buffer.from(await hsm.decrypt(material, `A${bits}GCM`, sealed, {}))).toEqual(message);
    },
  );

  test('an imported key that is said to be generated does not match its seal', async () => {
    const plain = await parseImportedKey(decoded(outsideEc('P-256').jwk));
    const material = await hsm.importKey(identity(), plain);
    const renamed = {
      ...material,
      identity: { ...material.identity, origin: 'generated' },
    } as const;
    await expect(hsm.sign(renamed, 'ES256', randomBytes(32))).rejects.toMatchObject({
      code: 'KeyIntegrityViolation',
    });
  });

  test('halves that do not belong together are refused by the HSM as well', async () => {
    const [one, other] = [outsideRsa(2048), outsideRsa(2048)];
    const plain = await parseImportedKey(decoded(one.jwk));
    const foreign = await parseImportedKey(decoded(other.jwk));
    if (plain.keyType !== 'RSA-HSM' || foreign.keyType !== 'RSA-HSM') throw new TypeError();
    await expect(hsm.importKey(identity(), { ...plain, n: foreign.n })).rejects.toMatchObject({
      code: 'BadParameter',
    });
    // The HSM serves on.
    expect((await hsm.random(8)).length).toBe(8);
  });
});

describe('a key from another HSM (CKM_RSA_AES_KEY_WRAP)', () => {
  let exchange: KeyMaterial;
  let exchangePublic: KeyObject;
  beforeAll(async () => {
    exchange = await hsm.generateKey(testIdentity(poolId, 'kek', ['import']), {
      keyType: 'RSA-HSM',
      bits: 2048,
      publicExponent: 65537,
    });
    if (exchange.publicKey?.keyType !== 'RSA-HSM') throw new TypeError();
    const { n, e } = exchange.publicKey;
    exchangePublic = createPublicKey({
      format: 'jwk',
      key: {
        kty: 'RSA',
        n: Buffer.from(n).toString('base64url'),
        e: Buffer.from(e).toString('base64url'),
      },
    });
  });
  const pkcs8 = ({ privateKey }: OutsideKey) => privateKey.export({ type: 'pkcs8', format: 'der' });

  test.each(KINDS)('%s is unwrapped in the HSM and signs', async (_kind, make, algorithm, hash) => {
    const outside = make();
    const wrapped = wrapForTransfer(exchangePublic, pkcs8(outside));
    const keyType = algorithm === 'PS256' ? 'RSA-HSM' : 'EC-HSM';
    const material = await hsm.importTransferred(identity(), exchange, wrapped, { keyType });
    expect(await signsLike(material, outside.publicKey, algorithm, hash)).toBe(true);
    const digest = createHash(hash).update('x').digest();
    const signature = await hsm.sign(material, algorithm, digest);
    expect(await hsm.verify(material, algorithm, digest, signature)).toBe(true);
  });

  test.each([128, 192, 256] as const)(
    'AES-%i is unwrapped in the HSM and decrypts',
    async (bits) => {
      const k = randomBytes(bits / 8);
      const material = await hsm.importTransferred(
        identity(['encrypt', 'decrypt']),
        exchange,
        wrapForTransfer(exchangePublic, k),
        { keyType: 'oct-HSM' },
      );
      expect(material.spec).toEqual({ keyType: 'oct-HSM', bits });
      const same = await hsm.importKey(identity(['decrypt']), { keyType: 'oct-HSM', bits, k });
      const sealed = await hsm.encrypt(material, `A${bits}GCM`, Buffer.from('x'), {});
      expect(Buffer.from(await hsm.decrypt(same, `A${bits}GCM`, sealed, {})).toString()).toBe('x');
    },
  );

  test('AES-256 makes the HMAC of its own key', async () => {
    const k = randomBytes(32);
    const material = await hsm.importTransferred(
      identity(['sign']),
      exchange,
      wrapForTransfer(exchangePublic, k),
      { keyType: 'oct-HSM' },
    );
    expect(Buffer.from(await hsm.sign(material, 'HS256', Buffer.from('message')))).toEqual(
      createHmac('sha256', k).update('message').digest(),
    );
  });

  test('a blob altered in any of its parts, cut, or of another type is refused', async () => {
    const outside = outsideRsa(2048);
    const wrapped = wrapForTransfer(exchangePublic, pkcs8(outside));
    const altered = [0, 255, 256, 300, wrapped.length - 1].map((at) => {
      const copy = Buffer.from(wrapped);
      copy[at] = (copy[at] ?? 0) ^ 1;
      return copy;
    });
    const refused = [
      ...altered.map((blob) => [blob, 'RSA-HSM'] as const),
      [wrapped.subarray(0, 256), 'RSA-HSM'],
      [wrapped.subarray(0, -8), 'RSA-HSM'],
      [randomBytes(17_000), 'RSA-HSM'],
      [wrapped, 'EC-HSM'],
      [wrapped, 'oct-HSM'],
      [wrapForTransfer(exchangePublic, randomBytes(31)), 'oct-HSM'],
      [wrapForTransfer(exchangePublic, randomBytes(64)), 'oct-HSM'],
      [wrapForTransfer(exchangePublic, pkcs8(outsideRsa(1024))), 'RSA-HSM'],
    ] as const;
    for (const [blob, keyType] of refused)
      await expect(
        hsm.importTransferred(identity(), exchange, blob, { keyType }),
      ).rejects.toMatchObject({ code: 'BadParameter' });
    await expect(
      hsm.importTransferred(
        identity(),
        exchange,
        wrapForTransfer(exchangePublic, pkcs8(outsideEc('P-384'))),
        {
          keyType: 'EC-HSM',
          curve: 'P-256',
        },
      ),
    ).rejects.toMatchObject({ code: 'BadParameter' });
  });

  test('an RSA key with a wrong number, or an EC key with another point, is refused', async () => {
    const rsa = outsideRsa(2048);
    const ec = outsideEc('P-256');
    const flipped = (bytes: Buffer, number: Buffer) => {
      const at = bytes.indexOf(number) + number.length - 2;
      const altered = Buffer.from(bytes);
      altered.writeUInt8(altered.readUInt8(at) ^ 4, at);
      return altered;
    };
    const number = ({ jwk }: OutsideKey, name: string) => Buffer.from(jwk[name] ?? '', 'base64url');
    for (const name of ['n', 'd', 'p', 'q', 'dp', 'dq', 'qi'])
      await expect(
        hsm.importTransferred(
          identity(),
          exchange,
          wrapForTransfer(exchangePublic, flipped(pkcs8(rsa), number(rsa, name))),
          { keyType: 'RSA-HSM' },
        ),
      ).rejects.toMatchObject({ code: 'BadParameter' });
    for (const name of ['d', 'x', 'y'])
      await expect(
        hsm.importTransferred(
          identity(),
          exchange,
          wrapForTransfer(exchangePublic, flipped(pkcs8(ec), number(ec, name))),
          { keyType: 'EC-HSM' },
        ),
      ).rejects.toMatchObject({ code: 'BadParameter' });
  });

  test('a key exchange key neither decrypts nor signs in the HSM', async () => {
    await expect(
      hsm.decrypt(exchange, 'RSA-OAEP', { value: randomBytes(256) }, {}),
    ).rejects.toThrow();
    await expect(hsm.sign(exchange, 'RS256', randomBytes(32))).rejects.toThrow();
  });
});
