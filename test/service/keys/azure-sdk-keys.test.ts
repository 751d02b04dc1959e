import { beforeAll, describe, expect, test } from '@jest/globals';
import { ClientSecretCredential } from '@azure/identity';
import {
  CryptographyClient,
  KeyClient,
  type KeyVaultKey,
  type KeyWrapAlgorithm,
  type SignatureAlgorithm,
} from '@azure/keyvault-keys';
import {
  createCipheriv,
  createHash,
  createPublicKey,
  randomBytes,
  verify as verifyWithNode,
} from 'node:crypto';
import { AES_SIZES, CURVES, RSA_SIZES } from '../../../src/core/operations/algorithms.ts';
import { holdEveryRole } from '../../support/administrator.ts';
import { outsideEc, outsideRsa } from '../../support/plain-keys.ts';
import { useSharedService } from '../../support/use-service.ts';
import { isSealed } from '../../support/keeping.ts';

/** Every method of Microsoft's unmodified KeyClient and CryptographyClient for JavaScript. */

const { service, admin } = useSharedService();
let keys: KeyClient;
let credential: ClientSecretCredential;
let options: object;
/** What has been called, to be compared with what there is. */
const called = { keys: new Set<string>(), crypto: new Set<string>() };

beforeAll(async () => {
  await holdEveryRole(admin, service);
  const { client, ca } = service;
  // A process of its own would be told of the development CA by NODE_EXTRA_CA_CERTS, as client.env does.
  const tlsOptions = { ca };
  const { AZURE_CLIENT_ID: id = '', AZURE_CLIENT_SECRET: secret = '' } = client;
  credential = new ClientSecretCredential('adfs', id, secret, {
    authorityHost: service.localUrl,
    disableInstanceDiscovery: true,
    tlsOptions,
  });
  options = { disableChallengeResourceVerification: true, tlsOptions };
  keys = recorded(new KeyClient(service.localUrl, credential, options), called.keys);
});

/** The client itself, with a note of each method that is called. */
function recorded<Client extends object>(client: Client, names: Set<string>): Client {
  return new Proxy(client, {
    get(target, name) {
      const member = Reflect.get(target, name, target) as unknown;
      if (typeof member !== 'function') return member;
      names.add(String(name));
      return member.bind(target) as unknown;
    },
  });
}

function methodsOf(client: { readonly prototype: object }): string[] {
  const members = Object.getOwnPropertyDescriptors(client.prototype);
  return Object.entries(members)
    .filter(([name, { value }]) => typeof value === 'function' && name !== 'constructor')
    .map(([name]) => name);
}

/** With the key itself, so that it may work with the public half locally; and by name, so that it can't. */
function users(key: KeyVaultKey): CryptographyClient[] {
  return [
    recorded(new CryptographyClient(key, credential, options), called.crypto),
    recorded(
      keys.getCryptographyClient(key.name, { keyVersion: key.properties.version ?? '' }),
      called.crypto,
    ),
  ];
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

const quickly = { intervalInMs: 50 };
const message = Buffer.from('what is protected');

describe('KeyClient', () => {
  test.each(RSA_SIZES)('createRsaKey: %i bits', async (keySize) => {
    const key = await keys.createRsaKey(`rsa-${keySize}`, { keySize, hsm: true });
    expect(key).toMatchObject({
      name: `rsa-${keySize}`,
      keyType: 'RSA-HSM',
      keyOperations: expect.arrayContaining(['encrypt', 'decrypt', 'wrapKey', 'unwrapKey']),
      properties: {
        enabled: true,
        exportable: false,
        recoverableDays: 90,
        vaultUrl: service.localUrl,
      },
    });
    expect(key.key?.n).toHaveLength(keySize / 8);
    expect(key.key?.d).toBeUndefined();
  });

  test.each(CURVES)('createEcKey: %s', async (curve) => {
    const key = await keys.createEcKey(`ec-${curve}`, { curve, hsm: true });
    expect([key.keyType, key.key?.crv, key.key?.x?.length]).toEqual([
      'EC-HSM',
      curve,
      { 'P-256': 32, 'P-256K': 32, 'P-384': 48, 'P-521': 66 }[curve],
    ]);
  });

  test.each(AES_SIZES)('createOctKey: %i bits', async (keySize) => {
    const key = await keys.createOctKey(`oct-${keySize}`, { keySize, hsm: true });
    expect([key.keyType, key.key?.k]).toEqual(['oct-HSM', undefined]);
  });

  test('createKey: with dates, tags, operations and state', async () => {
    const [notBefore, expiresOn] = [
      new Date('2020-01-02T03:04:05Z'),
      new Date('2037-01-01T00:00Z'),
    ];
    const key = await keys.createKey('with-everything', 'RSA', {
      keySize: 2048,
      keyOps: ['sign', 'verify'],
      enabled: false,
      notBefore,
      expiresOn,
      tags: { purpose: 'tests', leer: '' },
    });
    expect(key.keyOperations).toEqual(['sign', 'verify']);
    expect(key.properties).toMatchObject({
      enabled: false,
      notBefore,
      expiresOn,
      tags: { purpose: 'tests', leer: '' },
      recoveryLevel: 'Recoverable+Purgeable',
    });
    expect((await keys.getKey('with-everything')).properties).toEqual(key.properties);
  });

  test.each([
    ['RSA', () => ({ outside: outsideRsa(2048), name: 'imported-rsa' })],
    ['EC', () => ({ outside: outsideEc('P-384'), name: 'imported-ec' })],
  ] as const)('importKey: %s, which then signs for its public key', async (kty, make) => {
    const { outside, name } = make();
    const jwk = Object.fromEntries(
      Object.entries(outside.jwk).map(([member, value]) => [
        member,
        member === 'kty' || member === 'crv' ? value : Buffer.from(value, 'base64url'),
      ]),
    );
    const imported = await keys.importKey(
      name,
      { ...jwk, kty, keyOps: ['sign', 'verify'] },
      {
        hardwareProtected: true,
        tags: { from: 'outside' },
        expiresOn: new Date('2037-01-01T00:00Z'),
      },
    );
    expect(imported).toMatchObject({
      keyType: `${kty}-HSM`,
      keyOperations: ['sign', 'verify'],
      properties: { tags: { from: 'outside' }, expiresOn: new Date('2037-01-01T00:00Z') },
    });
    expect(imported.key?.d).toBeUndefined();
    const [hash, algorithm] = kty === 'RSA' ? ['sha256', 'RS256'] : ['sha384', 'ES384'];
    for (const user of users(imported)) {
      const { result } = await user.sign(algorithm, createHash(hash).update(message).digest());
      const key = { key: outside.publicKey, dsaEncoding: 'ieee-p1363' } as const;
      expect(verifyWithNode(hash, message, key, result)).toBe(true);
    }
  });

  test('importKey: oct, which unwraps what its copy outside has wrapped', async () => {
    const k = randomBytes(32);
    const key = await keys.importKey('imported-oct', { kty: 'oct-HSM', k, keyOps: ['unwrapKey'] });
    const cipher = createCipheriv('id-aes256-wrap', k, Buffer.alloc(8, 0xa6));
    const wrapped = Buffer.concat([cipher.update(message.subarray(0, 16)), cipher.final()]);
    const user = keys.getCryptographyClient(key.name);
    expect(Buffer.from((await user.unwrapKey('A256KW', wrapped)).result)).toEqual(
      message.subarray(0, 16),
    );
  });

  test('getKey: the newest version, and each of the others by name', async () => {
    const first = await keys.createEcKey('versions', { hsm: true });
    const second = await keys.createEcKey('versions', { hsm: true });
    expect((await keys.getKey('versions')).id).toBe(second.id);
    const version = first.properties.version ?? '';
    expect((await keys.getKey('versions', { version })).key).toEqual(first.key);
    await expect(keys.getKey('versions', { version: '0'.repeat(32) })).rejects.toMatchObject({
      statusCode: 404,
      code: 'KeyNotFound',
    });
  });

  test('updateKeyProperties: of one version, and of the newest', async () => {
    const key = await keys.createEcKey('updated', { hsm: true, tags: { kept: 'yes' } });
    const expiresOn = new Date('2036-05-04T03:02:01Z');
    const dated = await keys.updateKeyProperties('updated', key.properties.version ?? '', {
      expiresOn,
    });
    expect(dated.properties).toMatchObject({ expiresOn, tags: { kept: 'yes' }, enabled: true });
    const narrowed = await keys.updateKeyProperties('updated', {
      enabled: false,
      keyOps: ['verify'],
      tags: { other: 'tag' },
    });
    expect(narrowed).toMatchObject({
      keyOperations: ['verify'],
      properties: { expiresOn, tags: { other: 'tag' }, enabled: false },
    });
  });

  test('listPropertiesOfKeys, listPropertiesOfKeyVersions: everything once, in pages', async () => {
    for (let index = 0; index < 30; index += 1) await keys.createEcKey(`listed-${index}`);
    for (let turn = 0; turn < 7; turn += 1) await keys.createEcKey('listed-0');
    const namesOf = (some: readonly { readonly name: string }[]) => some.map(({ name }) => name);
    const names = namesOf(await collect(keys.listPropertiesOfKeys()));
    expect(new Set(names).size).toBe(names.length);
    const pages = await collect(keys.listPropertiesOfKeys().byPage({ maxPageSize: 10 }));
    // Others make keys of this pool meanwhile.
    const [all, paged] = [names, namesOf(pages.flat())].map((some) =>
      some.filter((name) => name.startsWith('listed-')),
    );
    expect(all).toHaveLength(30);
    expect(paged).toEqual(all);
    for (const page of pages) expect(page.length).toBeLessThanOrEqual(10);
    const versions = await collect(keys.listPropertiesOfKeyVersions('listed-0'));
    expect(new Set(versions.map(({ version }) => version)).size).toBe(8);
    expect(await collect(keys.listPropertiesOfKeyVersions('nobody'))).toEqual([]);
  });

  test('beginDeleteKey, getDeletedKey, listDeletedKeys, beginRecoverDeletedKey, purgeDeletedKey', async () => {
    const key = await keys.createOctKey('mortal', { hsm: true });
    const { result } = (await users(key)[0]?.wrapKey('A256KW', message.subarray(0, 16))) ?? {};
    const deletion = await keys.beginDeleteKey('mortal', quickly);
    const deleted = await deletion.pollUntilDone();
    expect(deleted).toMatchObject({ name: 'mortal', keyType: 'oct-HSM' });
    const { recoveryId, deletedOn, scheduledPurgeDate } = deleted.properties;
    expect(recoveryId).toBe(`${service.localUrl}/deletedkeys/mortal`);
    expect(Number(scheduledPurgeDate) - Number(deletedOn)).toBe(90 * 86_400_000);
    await expect(keys.getKey('mortal')).rejects.toMatchObject({ statusCode: 404 });
    await expect(keys.createOctKey('mortal')).rejects.toMatchObject({
      statusCode: 409,
      code: 'Conflict',
    });
    expect((await keys.getDeletedKey('mortal')).id).toBe(key.id);
    const listed = await collect(keys.listDeletedKeys());
    expect(listed.map(({ name }) => name)).toContain('mortal');

    const recovery = await keys.beginRecoverDeletedKey('mortal', quickly);
    expect((await recovery.pollUntilDone()).id).toBe(key.id);
    const unwrapped = await keys
      .getCryptographyClient('mortal')
      .unwrapKey('A256KW', result ?? new Uint8Array());
    expect(Buffer.from(unwrapped.result)).toEqual(message.subarray(0, 16));

    await (await keys.beginDeleteKey('mortal', quickly)).pollUntilDone();
    await keys.purgeDeletedKey('mortal');
    await expect(keys.getDeletedKey('mortal')).rejects.toMatchObject({ code: 'KeyNotFound' });
    expect((await keys.createOctKey('mortal')).id).not.toBe(key.id);
  });

  (isSealed ? describe : describe.skip)('of sealed keys', () => {
    test('backupKey, restoreKeyBackup: every version comes back as it was, under the same ids', async () => {
      const first = await keys.createOctKey('kept', { hsm: true, tags: { a: 'b' } });
      const { result, iv, authenticationTag } = await keys
        .getCryptographyClient('kept')
        .encrypt({ algorithm: 'A256GCM', plaintext: message });
      const second = await keys.createOctKey('kept', {
        hsm: true,
        expiresOn: new Date('2037-01-01'),
      });
      const backup = await keys.backupKey('kept');
      expect(backup?.length).toBeGreaterThan(0);
      await expect(keys.restoreKeyBackup(backup ?? new Uint8Array())).rejects.toMatchObject({
        statusCode: 409,
      });
      await (await keys.beginDeleteKey('kept', quickly)).pollUntilDone();
      await keys.purgeDeletedKey('kept');
      const restored = await keys.restoreKeyBackup(backup ?? new Uint8Array());
      expect(restored.id).toBe(second.id);
      expect(restored.properties.expiresOn).toEqual(second.properties.expiresOn);
      const version = first.properties.version ?? '';
      expect((await keys.getKey('kept', { version })).properties.tags).toEqual({ a: 'b' });
      const decrypted = await keys.getCryptographyClient('kept', { keyVersion: version }).decrypt({
        algorithm: 'A256GCM',
        ciphertext: result,
        iv: iv ?? new Uint8Array(),
        authenticationTag: authenticationTag ?? new Uint8Array(),
      });
      expect(Buffer.from(decrypted.result)).toEqual(message);
      const altered = Buffer.from(backup ?? []);
      altered[altered.length - 5] = (altered[altered.length - 5] ?? 0) ^ 1;
      await expect(keys.restoreKeyBackup(altered)).rejects.toMatchObject({
        statusCode: 400,
        code: 'MalformedBackupBlob',
      });
    });
  });

  test('getRandomBytes: as many as asked for, never the same', async () => {
    const [one, two] = [await keys.getRandomBytes(128), await keys.getRandomBytes(128)];
    expect([one.length, two.length, Buffer.from(one).equals(two)]).toEqual([128, 128, false]);
    expect(await keys.getRandomBytes(1)).toHaveLength(1);
    await expect(keys.getRandomBytes(129)).rejects.toMatchObject({ statusCode: 400 });
  });
});

describe('KeyClient of a service that rotates its keys', () => {
  test('updateKeyRotationPolicy, getKeyRotationPolicy, rotateKey: a new version that expires as the policy says', async () => {
    const key = await keys.createRsaKey('rotated', { keySize: 3072, hsm: true, tags: { a: 'b' } });
    const policy = await keys.updateKeyRotationPolicy('rotated', {
      expiresIn: 'P90D',
      lifetimeActions: [
        { action: 'Rotate', timeAfterCreate: 'P60D' },
        { action: 'Notify', timeBeforeExpiry: 'P30D' },
      ],
    });
    expect(policy).toMatchObject({
      id: `${service.localUrl}/keys/rotated/rotationpolicy`,
      expiresIn: 'P90D',
      createdOn: expect.any(Date),
      updatedOn: expect.any(Date),
    });
    expect(await keys.getKeyRotationPolicy('rotated')).toEqual(policy);
    expect(policy.lifetimeActions).toHaveLength(2);
    const rotated = await keys.rotateKey('rotated');
    expect(rotated.id).not.toBe(key.id);
    expect([rotated.keyType, rotated.key?.n?.length, rotated.keyOperations]).toEqual([
      'RSA-HSM',
      384,
      key.keyOperations,
    ]);
    const { expiresOn, createdOn } = rotated.properties;
    expect(Number(expiresOn) - Number(createdOn)).toBe(90 * 86_400_000);
    expect((await keys.getKey('rotated')).id).toBe(rotated.id);
  });
});

describe('KeyClient of a service that attests its keys', () => {
  test('getKeyAttestation: what the HSM says of a key', async () => {
    const key = await keys.createEcKey('attested', { hsm: true });
    const { properties, id } = await keys.getKeyAttestation('attested');
    expect(id).toBe(key.id);
    expect(properties.attestation?.privateKeyAttestation?.length).toBeGreaterThan(0);
    expect(properties.attestation?.publicKeyAttestation?.length).toBeGreaterThan(0);
    expect(properties.attestation?.certificatePemFile?.length).toBeGreaterThan(0);
    const secret = await keys.createOctKey('attested-secret', { hsm: true });
    const { attestation } = (await keys.getKeyAttestation(secret.name)).properties;
    expect(attestation?.publicKeyAttestation).toBeUndefined();
  });
});

describe('CryptographyClient', () => {
  const rsa = ['RSA1_5', 'RSA-OAEP', 'RSA-OAEP-256'] as const;
  test.each(rsa)('encrypt, decrypt: %s', async (algorithm) => {
    for (const bits of RSA_SIZES)
      for (const user of users(await keys.getKey(`rsa-${bits}`))) {
        const { result, keyID } = await user.encrypt({
          algorithm,
          plaintext: message,
        });
        expect([result.length, keyID?.includes(`/keys/rsa-${bits}/`)]).toEqual([bits / 8, true]);
        const decrypted = await user.decrypt({
          algorithm,
          ciphertext: result,
        });
        expect(Buffer.from(decrypted.result)).toEqual(message);
      }
  });

  test.each(AES_SIZES)('encrypt, decrypt: A%iGCM', async (bits) => {
    const plaintext = randomBytes(48);
    for (const user of users(await keys.getKey(`oct-${bits}`))) {
      const gcm = {
        algorithm: `A${bits}GCM`,
        additionalAuthenticatedData: Buffer.from('what it belongs to'),
      } as const;
      const made = await user.encrypt({ ...gcm, plaintext });
      const sealed = {
        ...gcm,
        ciphertext: made.result,
        iv: made.iv ?? new Uint8Array(),
        authenticationTag: made.authenticationTag ?? new Uint8Array(),
      };
      expect([sealed.iv.length, sealed.authenticationTag.length]).toEqual([12, 16]);
      expect(Buffer.from((await user.decrypt(sealed)).result)).toEqual(plaintext);
      const elsewhere = { ...sealed, additionalAuthenticatedData: Buffer.from('another') };
      await expect(user.decrypt(elsewhere)).rejects.toMatchObject({
        statusCode: 400,
        code: 'BadParameter',
      });
    }
  });

  test.each(
    AES_SIZES.flatMap((bits) => [
      [`A${bits}CBC`, bits] as const,
      [`A${bits}CBCPAD`, bits] as const,
    ]),
  )('encrypt, decrypt: %s', async (algorithm, bits) => {
    const [plaintext, iv] = [randomBytes(48), randomBytes(16)];
    for (const user of users(await keys.getKey(`oct-${bits}`))) {
      const made = await user.encrypt({ algorithm, iv, plaintext });
      expect(Buffer.from(made.iv ?? [])).toEqual(iv);
      const { result } = await user.decrypt({ algorithm, iv, ciphertext: made.result });
      expect(Buffer.from(result)).toEqual(plaintext);
    }
  });

  test('encrypt, decrypt: in the older form, with the algorithm first', async () => {
    const [user] = users(await keys.getKey('rsa-2048'));
    /* eslint-disable @typescript-eslint/no-deprecated -- programs of users still have this form. */
    const made = await user?.encrypt('RSA-OAEP-256', message);
    const decrypted = await user?.decrypt('RSA-OAEP-256', made?.result ?? new Uint8Array());
    /* eslint-enable @typescript-eslint/no-deprecated */
    expect(Buffer.from(decrypted?.result ?? [])).toEqual(message);
  });

  const wraps: readonly (readonly [KeyWrapAlgorithm, string, number])[] = [
    ...(['RSA1_5', 'RSA-OAEP', 'RSA-OAEP-256'] as const).map(
      (algorithm) => [algorithm, 'rsa-2048', 32] as const,
    ),
    ...AES_SIZES.map((bits) => [`A${bits}KW`, `oct-${bits}`, 32] as const),
    ...AES_SIZES.map((bits) => ['CKM_AES_KEY_WRAP', `oct-${bits}`, 24] as const),
    ...AES_SIZES.map((bits) => ['CKM_AES_KEY_WRAP_PAD', `oct-${bits}`, 21] as const),
  ];
  test.each(wraps)('wrapKey, unwrapKey: %s with %s', async (algorithm, name, length) => {
    const secret = randomBytes(length);
    for (const user of users(await keys.getKey(name))) {
      const wrapped = await user.wrapKey(algorithm, secret);
      expect(wrapped.algorithm).toBe(algorithm);
      const { result } = await user.unwrapKey(algorithm, wrapped.result);
      expect(Buffer.from(result)).toEqual(secret);
      const altered = Buffer.from(wrapped.result);
      altered[9] = (altered[9] ?? 0) ^ 1;
      await expect(user.unwrapKey(algorithm, altered)).rejects.toMatchObject({ statusCode: 400 });
    }
  });

  const signatures: readonly (readonly [SignatureAlgorithm, string, string])[] = [
    ...(['RS', 'PS'] as const).flatMap((family) =>
      ([256, 384, 512] as const).map(
        (bits) => [`${family}${bits}`, `sha${bits}`, 'rsa-2048'] as const,
      ),
    ),
    ['ES256', 'sha256', 'ec-P-256'],
    ['ES256K', 'sha256', 'ec-P-256K'],
    ['ES384', 'sha384', 'ec-P-384'],
    ['ES512', 'sha512', 'ec-P-521'],
  ];
  test.each(signatures)('sign, verify, signData: %s', async (algorithm, hash, name) => {
    const key = await keys.getKey(name);
    const digest = createHash(hash).update(message).digest();
    const { kty = '', crv, n, e, x, y } = key.key ?? {};
    const members = Object.entries({ n, e, x, y }).flatMap(([member, bytes]) =>
      bytes === undefined ? [] : [[member, Buffer.from(bytes).toString('base64url')] as const],
    );
    const publicKey = createPublicKey({
      key: {
        ...Object.fromEntries(members),
        kty: kty.replace('-HSM', ''),
        ...(crv !== undefined && { crv: crv === 'P-256K' ? 'secp256k1' : crv }),
      },
      format: 'jwk',
    });
    const pss = algorithm.startsWith('PS') ? { padding: 6, saltLength: digest.length } : {};
    const isSound = (signature: Uint8Array) =>
      verifyWithNode(
        hash,
        message,
        { key: publicKey, dsaEncoding: 'ieee-p1363', ...pss },
        signature,
      );
    for (const user of users(key)) {
      const signed = await user.sign(algorithm, digest);
      expect([signed.keyID, isSound(signed.result)]).toEqual([key.id, true]);
      expect((await user.verify(algorithm, digest, signed.result)).result).toBe(true);
      const other = createHash(hash).update('another').digest();
      expect((await user.verify(algorithm, other, signed.result)).result).toBe(false);
      expect(isSound((await user.signData(algorithm, message)).result)).toBe(true);
    }
  });

  test.each(signatures.filter(([algorithm]) => !algorithm.startsWith('PS')))(
    // The library's own local verification of PS* never asks for PSS: only `verify` serves there.
    'verifyData: %s',
    async (algorithm, _hash, name) => {
      for (const user of users(await keys.getKey(name))) {
        const { result } = await user.signData(algorithm, message);
        expect((await user.verifyData(algorithm, message, result)).result).toBe(true);
        const another = Buffer.from('another');
        expect((await user.verifyData(algorithm, another, result)).result).toBe(false);
      }
    },
  );

  test.each(['HS256', 'HS384', 'HS512'] as const)('sign, verify: %s', async (algorithm) => {
    for (const bits of AES_SIZES)
      for (const user of users(await keys.getKey(`oct-${bits}`))) {
        const { result } = await user.sign(algorithm, message);
        expect((await user.verify(algorithm, message, result)).result).toBe(true);
        expect((await user.verify(algorithm, randomBytes(9), result)).result).toBe(false);
      }
  });

  test('what a key may no longer do, its client is told with the code', async () => {
    const user = users(await keys.createOctKey('stopped', { hsm: true }))[1];
    const secret = randomBytes(16);
    expect((await user?.wrapKey('A256KW', secret))?.result).toHaveLength(24);
    await keys.updateKeyProperties('stopped', { enabled: false });
    // The client read the key before, and doesn't know: the service refuses.
    await expect(user?.wrapKey('A256KW', secret)).rejects.toMatchObject({
      statusCode: 403,
      code: 'Forbidden',
      details: { error: { innerError: { code: 'KeyDisabled' } } },
    });
  });
});

(isSealed ? describe : describe.skip)('nothing is left out', () => {
  /** What the compiled classes have besides the methods of their declarations. */
  const INNER = /^(disambiguate|getKeyMaterial|ensureValid|getProvider|fetchKey|initializeIV)/;
  /** Its test brings an attestation authority along, and stands with the service's own. */
  const ELSEWHERE = ['releaseKey'];

  test.each([
    ['KeyClient', KeyClient, called.keys, ELSEWHERE],
    ['CryptographyClient', CryptographyClient, called.crypto, []],
  ] as const)('of %s', (_name, client, names, elsewhere) => {
    const expected = methodsOf(client).filter((name) => !INNER.test(name));
    expect([...names, ...elsewhere].sort()).toEqual(expected.sort());
  });
});
