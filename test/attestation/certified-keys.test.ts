import { randomUUID, sign, X509Certificate } from 'node:crypto';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { compactVerify, decodeProtectedHeader } from 'jose';
import { createCertificates } from '../../src/attestation/certificates.ts';
import { newVersionId } from '../../src/core/keys/new-version-id.ts';
import { createCertifiedKeys, type CertifiedKeys } from '../../src/core/pool/certified-keys.ts';
import { createRsaHsm } from '../support/fakes/rsa-hsm.ts';
import { createStatementKeyStore } from '../support/fakes/certified-key-store.ts';
import { rsaKeyPair } from '../support/rsa-keys.ts';

const DAY_MS = 86_400_000;
const POOL = { id: '5f7a0000-0000-4000-8000-000000000001', name: 'main' };

let hsm: ReturnType<typeof createRsaHsm>;
let store: ReturnType<typeof createStatementKeyStore>;
let now: number;
beforeEach(() => {
  hsm = createRsaHsm();
  store = createStatementKeyStore();
  now = Date.parse('2026-01-01T00:00:00Z');
});

/** One process of the service. */
function start(): CertifiedKeys {
  return createCertifiedKeys({
    hsm,
    store,
    certificates: createCertificates(),
    pool: POOL,
    newVersionId,
    newGuid: randomUUID,
    clock: { now: () => new Date(now) },
  });
}

const certificates = (chain: readonly Uint8Array[]) =>
  chain.map((der) => new X509Certificate(der)) as [X509Certificate, X509Certificate];

describe('a signer of statements', () => {
  test('signs JWS that its chain verifies, up to a root of the pool', async () => {
    const signer = await start().signer('release');
    const [leaf, root] = certificates(signer.chain);
    expect(signer.chain).toHaveLength(2);
    expect([leaf.ca, root.ca]).toEqual([false, true]);
    expect(leaf.checkIssued(root) && leaf.verify(root.publicKey)).toBe(true);
    expect(root.checkIssued(root) && root.verify(root.publicKey)).toBe(true);
    expect(leaf.subject).toBe(`O=Strongroom\nOU=${POOL.id}\nCN=Strongroom pool main key release`);
    expect(leaf.subject).not.toBe((await certificatesOf('attestation')).subject);

    const jws = await signer.sign({ states: 'something' }, 'some-type');
    const { payload, protectedHeader } = await compactVerify(jws, leaf.publicKey);
    expect(JSON.parse(Buffer.from(payload).toString())).toEqual({ states: 'something' });
    expect(protectedHeader).toMatchObject({ alg: 'RS256', typ: 'some-type' });
    expect(protectedHeader.x5c).toEqual(
      signer.chain.map((der) => Buffer.from(der).toString('base64')),
    );
    expect(decodeProtectedHeader(await signer.sign({})).typ).toBeUndefined();
  });

  async function certificatesOf(purpose: 'release' | 'attestation'): Promise<X509Certificate> {
    return certificates((await start().signer(purpose)).chain)[0];
  }

  test('is made once in a process, and found by the next', async () => {
    const keys = start();
    const [first, second] = await Promise.all([keys.signer('release'), keys.signer('release')]);
    expect(second).toBe(first);
    expect((await start().signer('release')).chain).toEqual(first.chain);
    expect(store.keys.map(({ purpose }) => purpose)).toEqual(['root', 'release']);
  });

  test('has the one root, also where several processes are the first at once', async () => {
    const signers = await Promise.all(
      Array.from({ length: 4 }, () => start()).flatMap((keys) => [
        keys.signer('release'),
        keys.signer('attestation'),
      ]),
    );
    const roots = new Set(signers.map(({ chain }) => Buffer.from(chain[1] ?? []).toString('hex')));
    expect(roots.size).toBe(1);
    for (const { chain } of signers) {
      const [leaf, root] = certificates(chain);
      expect(leaf.verify(root.publicKey)).toBe(true);
    }
  });

  test('is renewed 90 days before its certificate ends, under the same root', async () => {
    const keys = start();
    const first = await keys.signer('release');
    now += 639 * DAY_MS;
    expect((await keys.signer('release')).chain).toEqual(first.chain);
    now += DAY_MS;
    const renewed = await keys.signer('release');
    expect(renewed.chain[0]).not.toEqual(first.chain[0]);
    expect(renewed.chain[1]).toEqual(first.chain[1]);
    const [leaf] = certificates(renewed.chain);
    expect(Date.parse(leaf.validTo) - now).toBeGreaterThan(700 * DAY_MS);
  });

  test('is not used with a certificate of another key', async () => {
    await start().signer('release');
    await start().signer('attestation');
    const [, release, attestation] = store.keys;
    if (release === undefined || attestation === undefined) throw new Error('no keys');
    store.keys[1] = { ...release, certificate: attestation.certificate };
    await expect(start().signer('release')).rejects.toThrow('belongs to another key');
  });

  test('is not a key that was made for another purpose', async () => {
    await start().signer('release');
    await start().signer('attestation');
    const [, release] = store.keys;
    if (release === undefined) throw new Error('no key');
    // As the store would read it from a row whose purpose was changed: the name goes by the purpose.
    const { material } = release;
    const renamed = {
      ...material,
      identity: { ...material.identity, name: '~attestation' as typeof material.identity.name },
    };
    store.keys = [
      ...store.keys.filter(({ purpose }) => purpose === 'root'),
      { ...release, purpose: 'attestation', material: renamed },
    ];
    await expect(start().signer('attestation')).rejects.toMatchObject({
      code: 'KeyIntegrityViolation',
    });
  });

  test('is not used with a certificate that another root than the pool’s has signed', async () => {
    await start().signer('release');
    const [root, release] = store.keys;
    if (root === undefined || release === undefined) throw new Error('no keys');
    const { publicKey } = release.material;
    const { publicKey: otherKey, privateKey } = rsaKeyPair(2048);
    const { n = '', e = '' } = otherKey.export({ format: 'jwk' });
    const other = { n: Buffer.from(n, 'base64url'), e: Buffer.from(e, 'base64url') };
    const made = {
      poolId: POOL.id,
      now: new Date(now),
      sign: (bytes: Uint8Array) => Promise.resolve(sign('sha256', bytes, privateKey)),
    };
    const certificates = createCertificates();
    const foreignRoot = await certificates.make({
      ...made,
      commonName: 'root',
      publicKey: { keyType: 'RSA-HSM', ...other },
    });
    if (publicKey?.keyType !== 'RSA-HSM') throw new Error('no RSA key');
    const foreignLeaf = await certificates.make({
      ...made,
      commonName: 'leaf',
      publicKey,
      issuer: foreignRoot,
    });
    store.keys[1] = { ...release, certificate: foreignLeaf };
    await expect(start().signer('release')).rejects.toThrow('belongs to another key, or issuer');
    store.keys[0] = { ...root, certificate: foreignRoot };
    await expect(start().signer('release')).rejects.toThrow('belongs to another key, or issuer');
  });

  test('that could not be made is made by the next who asks', async () => {
    const whole = hsm;
    hsm = { ...whole, generateKey: () => Promise.reject(new Error('the HSM is away')) };
    const keys = createCertifiedKeys({
      hsm: {
        ...hsm,
        generateKey: (...given) => hsm.generateKey(...given),
      },
      store,
      certificates: createCertificates(),
      pool: POOL,
      newVersionId,
      newGuid: randomUUID,
      clock: { now: () => new Date(now) },
    });
    await expect(keys.signer('release')).rejects.toThrow('away');
    hsm = whole;
    await expect(keys.signer('release')).resolves.toBeDefined();
  });
});
