import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { KeySpec } from '../../../src/core/keys/key.ts';
import type { Pkcs11Hsm } from '../../../src/hsm/pkcs11-hsm.ts';
import { openTestHsm, testIdentity } from '../../support/hsm.ts';

let hsm: Pkcs11Hsm;
let poolId: string;
beforeAll(() => {
  ({ hsm, poolId } = openTestHsm());
});
afterAll(async () => {
  await hsm.close();
});

test.each<[KeySpec, object]>([
  [
    { keyType: 'RSA-HSM', bits: 3072, publicExponent: 65537 },
    { class: 'private', keyType: 'RSA', bits: 3072 },
  ],
  [
    { keyType: 'EC-HSM', curve: 'P-256K' },
    { class: 'private', keyType: 'EC', bits: 256 },
  ],
  [
    { keyType: 'EC-HSM', curve: 'P-521' },
    { class: 'private', keyType: 'EC', bits: 521 },
  ],
  [
    { keyType: 'oct-HSM', bits: 192 },
    { class: 'secret', keyType: 'AES' },
  ],
])('the module says of a loaded key what it is: %j', async (spec, expected) => {
  const material = await hsm.generateKey(testIdentity(poolId, 'inspected'), spec);
  const { object, module, publicHalfMatches } = await hsm.inspect(material);
  expect(object).toMatchObject({
    ...expected,
    token: false,
    private: true,
    sensitive: true,
    extractable: false,
    // Of this object, which was unwrapped: PKCS#11 lets no unwrapped key claim more.
    alwaysSensitive: false,
    neverExtractable: false,
    local: false,
  });
  expect(publicHalfMatches).toBe(spec.keyType === 'oct-HSM' ? undefined : true);
  expect(module.manufacturer).not.toBe('');
  expect(module.libraryVersion).toMatch(/^\d+\.\d+$/);
  expect(module.token.firmwareVersion).toMatch(/^\d+\.\d+$/);
});

test('an exportable key is loaded as one that cannot be extracted, too', async () => {
  const material = await hsm.generateKey(
    { ...testIdentity(poolId, 'exportable'), exportable: true },
    { keyType: 'EC-HSM', curve: 'P-256' },
  );
  const { object } = await hsm.inspect(material);
  expect(object).toMatchObject({ sensitive: true, extractable: false });
});

test('nothing is said of a key whose record was altered', async () => {
  const material = await hsm.generateKey(testIdentity(poolId, 'altered'), {
    keyType: 'EC-HSM',
    curve: 'P-256',
  });
  await expect(
    hsm.inspect({ ...material, identity: { ...material.identity, origin: 'imported' } }),
  ).rejects.toMatchObject({ code: 'KeyIntegrityViolation' });
});
