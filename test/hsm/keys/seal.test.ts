import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type KeyMaterial, parseKeyName, parseKeyVersionId } from '../../../src/core/keys/key.ts';
import { packBytes, type PackedBytes, unpackBytes } from '../../../src/core/keys/packed-bytes.ts';
import type { Pkcs11Hsm } from '../../../src/hsm/pkcs11-hsm.ts';
import { openTestHsm, testIdentity } from '../../support/hsm.ts';

let hsm: Pkcs11Hsm;
let poolId: string;
let rsa: KeyMaterial;
let aes: KeyMaterial;
beforeAll(async () => {
  ({ hsm, poolId } = openTestHsm());
  rsa = await hsm.generateKey(testIdentity(poolId, 'rsa'), {
    keyType: 'RSA-HSM',
    bits: 2048,
    publicExponent: 65537,
  });
  aes = await hsm.generateKey(testIdentity(poolId, 'aes'), { keyType: 'oct-HSM', bits: 256 });
  hsm.createRootKeys(poolId, 2);
  hsm.openRootKeys(poolId, 1);
});
afterAll(async () => {
  await hsm.close();
});

function flip(bytes: Uint8Array | undefined, at = 0): Uint8Array {
  const copy = Buffer.from(bytes ?? []);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

function flipPacked(packed: PackedBytes | undefined, at = 0): PackedBytes {
  return packBytes(flip(packed && unpackBytes(packed), at));
}

const ALTERED: readonly (readonly [string, (key: KeyMaterial) => KeyMaterial])[] = [
  ['the pool', (key) => ({ ...key, identity: { ...key.identity, pool: 'another' } })],
  ['the name', (key) => ({ ...key, identity: { ...key.identity, name: parseKeyName('other') } })],
  [
    'the version',
    (key) => ({
      ...key,
      identity: { ...key.identity, version: parseKeyVersionId('0'.repeat(32)) },
    }),
  ],
  [
    'the operations',
    (key) => ({ ...key, identity: { ...key.identity, operations: ['decrypt', 'sign'] } }),
  ],
  ['exportability', (key) => ({ ...key, identity: { ...key.identity, exportable: true } })],
  ['the type', (key) => ({ ...key, spec: { keyType: 'EC-HSM', curve: 'P-256' } })],
  ['the root generation', (key) => ({ ...key, sealed: { ...key.sealed, rootGeneration: 2 } })],
  [
    'the blob',
    (key) => ({ ...key, sealed: { ...key.sealed, blob: flipPacked(key.sealed.blob, 9) } }),
  ],
  ['the seal', (key) => ({ ...key, sealed: { ...key.sealed, seal: flipPacked(key.sealed.seal) } })],
  [
    'the length of the seal',
    (key) => ({ ...key, sealed: { ...key.sealed, seal: key.sealed.seal.slice(1) as PackedBytes } }),
  ],
  [
    'the blob for another key’s',
    (key) => ({ ...key, sealed: { ...aes.sealed, seal: key.sealed.seal } }),
  ],
];

test.each(ALTERED)(
  'a key is refused when %s is altered, before and after the true one was used',
  async (_what, alter) => {
    await expect(hsm.sign(alter(rsa), 'RS256', Buffer.alloc(32))).rejects.toMatchObject({
      code: 'KeyIntegrityViolation',
    });
    await hsm.sign(rsa, 'RS256', Buffer.alloc(32));
    await expect(hsm.sign(alter(rsa), 'RS256', Buffer.alloc(32))).rejects.toMatchObject({
      code: 'KeyIntegrityViolation',
    });
    expect(await hsm.sign(rsa, 'RS256', Buffer.alloc(32))).toHaveLength(256);
  },
);

test('a key that other root keys have sealed than those that the HSM holds is not called altered', async () => {
  const elsewhere = { ...rsa, sealed: { ...rsa.sealed, rootGeneration: 3 } };
  const refused = {
    code: 'HsmUnavailable',
    message: 'The HSM here does not hold the root keys of generation 3, by which this is sealed.',
  };
  await expect(hsm.sign(elsewhere, 'RS256', Buffer.alloc(32))).rejects.toMatchObject(refused);
  await hsm.sign(rsa, 'RS256', Buffer.alloc(32));
  await expect(hsm.sign(elsewhere, 'RS256', Buffer.alloc(32))).rejects.toMatchObject(refused);
});

test('a record that is altered while the true one is verified has no part in what is loaded', async () => {
  const spec = { keyType: 'RSA-HSM', bits: 2048, publicExponent: 65537 } as const;
  const key = await hsm.generateKey(testIdentity(poolId, 'raced'), spec);
  // A key exchange key may not sign.
  const altered: KeyMaterial = { ...key, identity: { ...key.identity, operations: ['import'] } };
  const [signature, refused] = await Promise.allSettled([
    hsm.sign(key, 'RS256', Buffer.alloc(32)),
    hsm.sign(altered, 'RS256', Buffer.alloc(32)),
  ]);
  expect(signature).toMatchObject({ status: 'fulfilled' });
  expect(refused).toMatchObject({
    status: 'rejected',
    reason: { code: 'KeyIntegrityViolation' },
  });
  expect(await hsm.sign(key, 'RS256', Buffer.alloc(32))).toHaveLength(256);
});

test('a public half that is not the key’s own is refused: nobody encrypts to a stranger', async () => {
  if (rsa.publicKey?.keyType !== 'RSA-HSM') throw new Error('not RSA');
  const swapped: KeyMaterial = {
    ...rsa,
    publicKey: { ...rsa.publicKey, n: flip(rsa.publicKey.n, 255) },
  };
  await expect(hsm.encrypt(swapped, 'RSA-OAEP', Buffer.from('x'), {})).rejects.toMatchObject({
    code: 'KeyIntegrityViolation',
  });
});

test('the secret of HS256 is sealed like the key', async () => {
  const altered: KeyMaterial = {
    ...aes,
    sealed: { ...aes.sealed, macBlob: flipPacked(aes.sealed.macBlob) },
  };
  await expect(hsm.sign(altered, 'HS256', Buffer.from('x'))).rejects.toMatchObject({
    code: 'KeyIntegrityViolation',
  });
});

test('resealing binds the same key to other operations, and refuses an altered one', async () => {
  const resealed = await hsm.reseal(rsa, { ...rsa.identity, operations: ['sign'] });
  expect(resealed.identity.operations).toEqual(['sign']);
  expect(resealed.sealed.blob).toEqual(rsa.sealed.blob);
  const digest = Buffer.alloc(32, 3);
  expect(await hsm.verify(rsa, 'RS256', digest, await hsm.sign(resealed, 'RS256', digest))).toBe(
    true,
  );
  const altered = { ...rsa.identity, exportable: true };
  await expect(hsm.reseal({ ...rsa, identity: altered }, altered)).rejects.toMatchObject({
    code: 'KeyIntegrityViolation',
  });
});

test('the check value of the root keys is the pool’s own', async () => {
  const own = await hsm.rootCheck(poolId);
  expect(own).toHaveLength(32);
  expect(await hsm.rootCheck(poolId)).toEqual(own);
  expect(await hsm.rootCheck('another')).not.toEqual(own);
});
