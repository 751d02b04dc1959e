import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import graphene, { type ITemplate, type Key, type Session } from 'graphene-pk11';
import type { KeyMaterial, KeySpec } from '../../../src/core/keys/key.ts';
import type { Pkcs11Hsm } from '../../../src/hsm/pkcs11-hsm.ts';
import { openToken, type Token } from '../../../src/hsm/module/token.ts';
import { openTestHsm, testIdentity } from '../../support/hsm.ts';
import { testToken } from '../../support/softhsm.ts';

const { KeyGenMechanism, MechanismEnum, ObjectClass } = graphene;
const SPECS: readonly (readonly [string, KeySpec])[] = [
  ['rsa', { keyType: 'RSA-HSM', bits: 2048, publicExponent: 65537 }],
  ['ec', { keyType: 'EC-HSM', curve: 'P-256' }],
  ['aes', { keyType: 'oct-HSM', bits: 256 }],
];

let hsm: Pkcs11Hsm;
let poolId: string;
let onlooker: Token;
beforeAll(() => {
  ({ hsm, poolId } = openTestHsm());
  // The same application: it sees every session object that the service has loaded.
  onlooker = openToken(testToken());
});
afterAll(async () => {
  onlooker.close();
  await hsm.close();
});

function secretObjects(session: Session): Key[] {
  return [ObjectClass.PRIVATE_KEY, ObjectClass.SECRET_KEY].flatMap((keyClass) => {
    const found = session.find({ class: keyClass } satisfies ITemplate);
    return Array.from({ length: found.length }, (_, index) => found.items(index).toType<Key>());
  });
}

async function use(material: KeyMaterial): Promise<void> {
  if (material.spec.keyType === 'oct-HSM') {
    await hsm.encrypt(material, 'A256GCM', Buffer.from('x'), {});
    await hsm.sign(material, 'HS512', Buffer.from('x'));
  } else
    await hsm.sign(
      material,
      material.spec.keyType === 'RSA-HSM' ? 'RS256' : 'ES256',
      Buffer.alloc(32),
    );
}

describe('keys in the HSM', () => {
  test.each(SPECS)('%s: none is extractable once it has been generated', async (name, spec) => {
    await hsm.generateKey(testIdentity(poolId, name), spec);
    for (const key of secretObjects(onlooker.loginSession))
      expect(key.getAttribute({ extractable: null })).toEqual({ extractable: false });
  });

  test.each(SPECS)(
    '%s: a loaded one is sensitive, shows nothing, and cannot be wrapped out',
    async (name, spec) => {
      const material = await hsm.generateKey(testIdentity(poolId, name, ['encrypt', 'sign']), spec);
      await use(material);
      const label = `${name}/${material.identity.version}`;
      const loaded = secretObjects(onlooker.loginSession).filter(
        (key) => key.getAttribute({ label: null }).label === label,
      );
      expect(loaded).toHaveLength(spec.keyType === 'oct-HSM' ? 2 : 1);
      const wrapping = onlooker.loginSession.generateKey(KeyGenMechanism.AES, {
        token: false,
        valueLen: 32,
        wrap: true,
      });
      for (const key of loaded) {
        expect(key.getAttribute({ sensitive: null, extractable: null, token: null })).toEqual({
          sensitive: true,
          extractable: false,
          token: false,
        });
        const secret = spec.keyType === 'RSA-HSM' ? { privateExponent: null } : { value: null };
        expect(() => key.getAttribute(secret)).toThrow('CKR_ATTRIBUTE_SENSITIVE');
        expect(() =>
          onlooker.loginSession.wrapKey(
            { name: MechanismEnum.AES_KEY_WRAP_PAD, params: null },
            wrapping,
            key,
          ),
        ).toThrow('CKR_KEY_UNEXTRACTABLE');
      }
      wrapping.destroy();
    },
  );

  test('the root keys are token objects that cannot leave, and do nothing but their one task', () => {
    const roots = secretObjects(onlooker.loginSession).filter(
      (key) => key.getAttribute({ token: null }).token === true,
    );
    expect(roots.length).toBeGreaterThanOrEqual(2);
    for (const key of roots)
      expect(
        key.getAttribute({
          sensitive: null,
          extractable: null,
          decrypt: null,
          encrypt: null,
          derive: null,
        }),
      ).toEqual({
        sensitive: true,
        extractable: false,
        decrypt: false,
        encrypt: false,
        derive: false,
      });
  });

  test('a key is loaded once, however many use it at the same time', async () => {
    const material = await hsm.generateKey(testIdentity(poolId, 'once'), {
      keyType: 'EC-HSM',
      curve: 'P-256',
    });
    const before = hsm.status.loads;
    await Promise.all(
      Array.from({ length: 50 }, () => hsm.sign(material, 'ES256', Buffer.alloc(32))),
    );
    for (let turn = 0; turn < 50; turn += 1) await hsm.sign(material, 'ES256', Buffer.alloc(32));
    expect(hsm.status.loads - before).toBe(1);
  });
});

describe('a bounded number of loaded keys', () => {
  test('more keys than are kept all work, also when all are used at once', async () => {
    const { hsm: small, poolId: pool } = openTestHsm({ loadedKeys: 3 });
    try {
      const materials = await Promise.all(
        Array.from({ length: 10 }, (_, index) =>
          small.generateKey(testIdentity(pool, `many-${index}`), { keyType: 'oct-HSM', bits: 256 }),
        ),
      );
      const work = materials.flatMap((material) => [material, material, material]);
      const tags = await Promise.all(
        work.map((material) => small.sign(material, 'HS256', Buffer.from('x'))),
      );
      for (const [index, tag] of tags.entries())
        expect(Buffer.from(tag)).toEqual(Buffer.from(tags[index - (index % 3)] ?? []));
      expect(small.status.loaded).toBeLessThanOrEqual(3);
    } finally {
      await small.close();
    }
  });
});
