import {
  constants,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  privateDecrypt,
  sign,
  verify,
} from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { RecipientKey, ReleaseWrap } from '../../../src/core/release/key-release.ts';
import type { KeyIdentity, KeyMaterial, KeySpec } from '../../../src/core/keys/key.ts';
import {
  parseReleasePolicy,
  type ReleasePolicy,
} from '../../../src/core/release/release-policy.ts';
import type { Pkcs11Hsm } from '../../../src/hsm/pkcs11-hsm.ts';
import { openToken, type Token } from '../../../src/hsm/module/token.ts';
import { openTestHsm, testIdentity } from '../../support/hsm.ts';
import { testToken } from '../../support/softhsm.ts';
import { rsaKeyPair } from '../../support/rsa-keys.ts';

const POLICY = parseReleasePolicy({
  data: Buffer.from(
    '{"version":"1.0.0","anyOf":[{"authority":"https://a.example","allOf":[{"claim":"c","equals":true}]}]}',
  ),
});
const WRAPS: readonly (readonly [ReleaseWrap, string])[] = [
  ['CKM_RSA_AES_KEY_WRAP', 'sha1'],
  ['RSA_AES_KEY_WRAP_256', 'sha256'],
  ['RSA_AES_KEY_WRAP_384', 'sha384'],
];
const ASYMMETRIC: readonly (readonly [string, KeySpec, string])[] = [
  ['RSA-2048', { keyType: 'RSA-HSM', bits: 2048, publicExponent: 65537 }, 'RS256'],
  ['P-256', { keyType: 'EC-HSM', curve: 'P-256' }, 'ES256'],
  ['P-256K', { keyType: 'EC-HSM', curve: 'P-256K' }, 'ES256K'],
  ['P-384', { keyType: 'EC-HSM', curve: 'P-384' }, 'ES384'],
  ['P-521', { keyType: 'EC-HSM', curve: 'P-521' }, 'ES512'],
];

let hsm: Pkcs11Hsm;
let poolId: string;
let recipient: RecipientKey;
let recipientKey: KeyObject;
/** The same application: it sees every session object that the service has. */
let onlooker: Token;
beforeAll(() => {
  ({ hsm, poolId } = openTestHsm());
  onlooker = openToken(testToken());
  const pair = rsaKeyPair(3072);
  recipientKey = pair.privateKey;
  const { n = '', e = '' } = pair.publicKey.export({ format: 'jwk' });
  recipient = { n: Buffer.from(n, 'base64url'), e: Buffer.from(e, 'base64url') };
});
afterAll(async () => {
  onlooker.close();
  await hsm.close();
});

function exportable(name: string): KeyIdentity {
  return { ...testIdentity(poolId, name), exportable: true, releasePolicy: POLICY };
}

/** What the environment does: node:crypto's own OAEP and RFC 5649. */
function unwrap(wrapped: Uint8Array, oaepHash: string): Buffer {
  const bytes = Buffer.from(wrapped);
  const transport = privateDecrypt(
    { key: recipientKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash },
    bytes.subarray(0, 384),
  );
  const decipher = createDecipheriv(
    'id-aes256-wrap-pad',
    transport,
    Buffer.from('a65959a6', 'hex'),
  );
  return Buffer.concat([decipher.update(bytes.subarray(384)), decipher.final()]);
}

function derLength(bytes: Buffer): number {
  const first = bytes.readUInt8(1);
  return first < 0x80 ? 2 + first : 2 + (first & 0x7f) + bytes.readUIntBE(2, first & 0x7f);
}

function spkiOf({ publicKey, spec }: KeyMaterial): KeyObject {
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url');
  if (publicKey?.keyType === 'RSA-HSM')
    return createPublicKey({
      format: 'jwk',
      key: { kty: 'RSA', n: text(publicKey.n), e: text(publicKey.e) },
    });
  if (publicKey?.keyType !== 'EC-HSM' || spec.keyType !== 'EC-HSM')
    throw new Error('no public half');
  const crv = spec.curve === 'P-256K' ? 'secp256k1' : spec.curve;
  return createPublicKey({
    format: 'jwk',
    key: { kty: 'EC', crv, x: text(publicKey.x), y: text(publicKey.y) },
  });
}

describe('a released key', () => {
  describe.each(WRAPS)('by %s', (wrap, oaepHash) => {
    test.each(ASYMMETRIC)('%s is the private half, in exact PKCS #8', async (name, spec) => {
      const material = await hsm.generateKey(exportable(name), spec);
      const der = unwrap(await hsm.wrapForRelease(material, recipient, wrap), oaepHash);
      expect(der).toHaveLength(derLength(der));
      const released = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
      expect(createPublicKey(released).equals(spkiOf(material))).toBe(true);
      const message = Buffer.from('signed outside');
      expect(verify('sha256', message, spkiOf(material), sign('sha256', message, released))).toBe(
        true,
      );
    });

    test.each([128, 192, 256] as const)('AES-%i is the bare key', async (bits) => {
      const material = await hsm.generateKey(exportable('aes'), { keyType: 'oct-HSM', bits });
      const key = unwrap(await hsm.wrapForRelease(material, recipient, wrap), oaepHash);
      expect(key).toHaveLength(bits / 8);
      const { value, iv, tag } = await hsm.encrypt(
        material,
        `A${bits}GCM`,
        Buffer.from('secret'),
        {},
      );
      const decipher = createDecipheriv(`aes-${bits}-gcm`, key, iv ?? Buffer.alloc(0));
      decipher.setAuthTag(Buffer.from(tag ?? []));
      expect(Buffer.concat([decipher.update(value), decipher.final()]).toString()).toBe('secret');
    });
  });

  test('goes on working in the HSM, and each release is wrapped anew', async () => {
    const material = await hsm.generateKey(exportable('again'), {
      keyType: 'EC-HSM',
      curve: 'P-256',
    });
    const first = await hsm.wrapForRelease(material, recipient, 'CKM_RSA_AES_KEY_WRAP');
    const second = await hsm.wrapForRelease(material, recipient, 'CKM_RSA_AES_KEY_WRAP');
    expect(Buffer.from(first).equals(second)).toBe(false);
    expect(unwrap(first, 'sha1').equals(unwrap(second, 'sha1'))).toBe(true);
    expect(await hsm.sign(material, 'ES256', Buffer.alloc(32))).toHaveLength(64);
  });
});

test('fifty releases at once leave nothing extractable behind', async () => {
  const material = await hsm.generateKey(exportable('many'), {
    keyType: 'EC-HSM',
    curve: 'P-256',
  });
  const wrapped = await Promise.all(
    Array.from({ length: 50 }, () =>
      hsm.wrapForRelease(material, recipient, 'RSA_AES_KEY_WRAP_256'),
    ),
  );
  const [first = Buffer.alloc(0), ...others] = wrapped.map((one) => unwrap(one, 'sha256'));
  for (const other of others) expect(other.equals(first)).toBe(true);
  const left = onlooker.loginSession.find({ extractable: true });
  expect(left).toHaveLength(0);
});

describe('a key that may not leave', () => {
  test('is refused, and so is one that a writer of the database calls exportable', async () => {
    const material = await hsm.generateKey(testIdentity(poolId, 'kept'), {
      keyType: 'EC-HSM',
      curve: 'P-256',
    });
    await expect(
      hsm.wrapForRelease(material, recipient, 'CKM_RSA_AES_KEY_WRAP'),
    ).rejects.toMatchObject({ code: 'KeyOperationForbidden' });
    const { identity } = material;
    for (const claimed of [
      { ...identity, exportable: true },
      { ...identity, exportable: true, releasePolicy: POLICY },
    ])
      await expect(
        hsm.wrapForRelease({ ...material, identity: claimed }, recipient, 'CKM_RSA_AES_KEY_WRAP'),
      ).rejects.toMatchObject({ code: 'KeyIntegrityViolation' });
  });
});

describe('the seal of a key with a policy or an origin', () => {
  const weaker: ReleasePolicy = parseReleasePolicy({
    data: Buffer.from(
      '{"version":"1.0.0","anyOf":[{"authority":"https://b.example","allOf":[{"claim":"c","equals":true}]}]}',
    ),
  });
  let material: KeyMaterial;
  beforeAll(async () => {
    material = await hsm.generateKey(
      { ...exportable('sealed'), origin: 'imported' },
      { keyType: 'oct-HSM', bits: 256 },
    );
  });

  test.each<[string, (identity: KeyIdentity) => KeyIdentity]>([
    ['another policy', (identity) => ({ ...identity, releasePolicy: weaker })],
    ['no policy', ({ releasePolicy: _gone, ...identity }) => identity],
    ['generated', (identity) => ({ ...identity, origin: 'generated' })],
    ['immutable', (identity) => ({ ...identity, releasePolicy: { ...POLICY, immutable: true } })],
    [
      'another content type',
      (identity) => ({ ...identity, releasePolicy: { ...POLICY, contentType: 'text/plain' } }),
    ],
  ])('does not verify where the record says: %s', async (_what, alter) => {
    const altered = { ...material, identity: alter(material.identity) };
    await expect(hsm.requireIntact(altered)).rejects.toMatchObject({
      code: 'KeyIntegrityViolation',
    });
    await expect(
      hsm.wrapForRelease(altered, recipient, 'CKM_RSA_AES_KEY_WRAP'),
    ).rejects.toMatchObject({ code: 'KeyIntegrityViolation' });
    await hsm.requireIntact(material);
  });

  test('is made anew for another policy, and keeps it when only the operations change', async () => {
    const changed = await hsm.reseal(material, {
      ...material.identity,
      operations: ['encrypt'],
      releasePolicy: weaker,
    });
    expect(changed.identity.releasePolicy).toEqual(weaker);
    const kept = await hsm.reseal(changed, { ...changed.identity, operations: ['decrypt'] });
    expect(kept.identity).toMatchObject({ releasePolicy: weaker, origin: 'imported' });
    await hsm.requireIntact(kept);
  });
});
