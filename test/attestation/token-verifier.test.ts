import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { SignJWT, UnsecuredJWT } from 'jose';
import { openAttestationVerifier } from '../../src/attestation/open-verifier.ts';
import type { AttestationVerifier } from '../../src/core/release/admission.ts';
import { makeAuthority, makeServerIdentity } from '../../src/setup/trust/certificates.ts';
import {
  type AttestationAuthority,
  type Environment,
  makeEnvironment,
  METADATA,
  startAttestationAuthority,
} from '../support/attestation-authority.ts';
import { rsaKeyPair } from '../support/rsa-keys.ts';

/** Against an authority over HTTPS, with the CA that it has. */
let authority: AttestationAuthority;
let environment: Environment;
const started: AttestationAuthority[] = [];
beforeAll(async () => {
  authority = await start();
  environment = makeEnvironment();
});
afterAll(async () => {
  await Promise.all(started.map((one) => one.close()));
});

async function start(): Promise<AttestationAuthority> {
  const one = await startAttestationAuthority();
  started.push(one);
  return one;
}

/** A verifier of its own for each test: none remembers what another has seen. */
function verifier(extraCa: string | undefined = authority.ca, now?: Date): AttestationVerifier {
  return openAttestationVerifier({ extraCa, clock: { now: () => now ?? new Date() } });
}

function attest(
  claims: Readonly<Record<string, unknown>> = {},
  header = {},
  by = authority,
): Promise<string> {
  return by.attest({ 'x-ms-runtime': environment.runtime, ...claims }, header);
}

const REJECTED = { code: 'AttestationRejected' };
const UNAVAILABLE = { code: 'AttestationAuthorityUnavailable' };

describe('an attestation token', () => {
  test('gives its claims and the environment’s key', async () => {
    const verified = await verifier().verify(await attest({ tee: 'sgx' }), [
      'https://another.example',
      `${authority.url}/`,
    ]);
    expect(verified.authority).toBe(`${authority.url}/`);
    expect(verified.claims).toMatchObject({ tee: 'sgx' });
    expect(verified.recipient.keyId).toBe('environment-key');
    const { n } = createPublicKey(environment.privateKey).export({ format: 'jwk' });
    expect(Buffer.from(verified.recipient.n).toString('base64url')).toBe(n);
  });

  test('is checked with the authority’s next key, too', async () => {
    const own = await start();
    const first = verifier(own.ca);
    own.rotate();
    await expect(first.verify(await attest({}, {}, own), [own.url])).resolves.toBeDefined();
  });

  test('is rejected, and nobody asked, where its issuer is not among the authorities', async () => {
    const own = await start();
    const token = await attest({}, {}, own);
    await expect(verifier(own.ca).verify(token, [authority.url])).rejects.toMatchObject(REJECTED);
    await expect(verifier(own.ca).verify(token, [])).rejects.toMatchObject(REJECTED);
    expect(own.requests).toEqual([]);
  });

  test('may name a key server of its own choice: it is not asked', async () => {
    const evil = await start();
    const forged = await attest(
      { iss: authority.url },
      { jku: `${evil.url}/certs`, x5u: `${evil.url}/certs` },
      evil,
    );
    await expect(verifier().verify(forged, [authority.url])).rejects.toMatchObject(REJECTED);
    expect(evil.requests).toEqual([]);
  });

  test('may bring its own key: that is not used', async () => {
    const { publicKey, privateKey } = rsaKeyPair(2048);
    const forged = await new SignJWT({
      iss: authority.url,
      exp: Math.floor(Date.now() / 1000) + 60,
      'x-ms-runtime': environment.runtime,
    })
      .setProtectedHeader({ alg: 'RS256', jwk: publicKey.export({ format: 'jwk' }) })
      .sign(privateKey);
    await expect(verifier().verify(forged, [authority.url])).rejects.toMatchObject(REJECTED);
  });

  test('without a signature, or with one by the public key as a secret, is rejected', async () => {
    const claims = { iss: authority.url, exp: 4_000_000_000 };
    await expect(
      verifier().verify(`${new UnsecuredJWT(claims).encode()}AA`, [authority.url]),
    ).rejects.toMatchObject(REJECTED);
    const body = [{ alg: 'HS256' }, claims]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.');
    const mac = createHmac('sha256', 'any').update(body).digest('base64url');
    await expect(verifier().verify(`${body}.${mac}`, [authority.url])).rejects.toMatchObject(
      REJECTED,
    );
  });

  test.each<[string, string]>([
    ['RS512', 'rsa'],
    ['ES384', 'P-384'],
  ])('by %s, which is not among the algorithms, is rejected', async (alg, kind) => {
    const own = await start();
    const { publicKey, privateKey } =
      kind === 'rsa' ? rsaKeyPair(2048) : generateKeyPairSync('ec', { namedCurve: kind });
    own.answer('/certs', { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k' }] });
    const token = await new SignJWT({ iss: own.url, exp: 4_000_000_000 })
      .setProtectedHeader({ alg, kid: 'k' })
      .sign(privateKey);
    await expect(verifier(own.ca).verify(token, [own.url])).rejects.toMatchObject(REJECTED);
  });

  test.each(['PS256', 'ES256'])('by %s is good', async (alg) => {
    const own = await start();
    const { publicKey, privateKey } =
      alg === 'PS256' ? rsaKeyPair(2048) : generateKeyPairSync('ec', { namedCurve: 'P-256' });
    own.answer('/certs', { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k' }] });
    const token = await new SignJWT({
      iss: own.url,
      exp: 4_000_000_000,
      'x-ms-runtime': environment.runtime,
    })
      .setProtectedHeader({ alg, kid: 'k' })
      .sign(privateKey);
    await expect(verifier(own.ca).verify(token, [own.url])).resolves.toBeDefined();
  });

  test('is checked by a certificate where the key set holds nothing else', async () => {
    const own = await start();
    const root = await makeAuthority('signer', new Date());
    const { certificate, privateKey } = await makeServerIdentity(root, ['signer'], new Date());
    const der = certificate.replace(/-----[A-Z ]+-----|\s/g, '');
    own.answer('/certs', { keys: [{ kty: 'EC', kid: 'k', x5c: [der] }] });
    const token = await new SignJWT({
      iss: own.url,
      exp: 4_000_000_000,
      'x-ms-runtime': environment.runtime,
    })
      .setProtectedHeader({ alg: 'ES256', kid: 'k' })
      .sign(createPrivateKey(privateKey));
    await expect(verifier(own.ca).verify(token, [own.url])).resolves.toBeDefined();
  });

  test('is good within its times and a minute around them', async () => {
    const token = await attest({ nbf: 2_000_000_000, exp: 2_000_000_600 });
    const at = (seconds: number) =>
      verifier(authority.ca, new Date(seconds * 1000)).verify(token, [authority.url]);
    await expect(at(1_999_999_939)).rejects.toMatchObject(REJECTED);
    await expect(at(1_999_999_940)).resolves.toBeDefined();
    await expect(at(2_000_000_659)).resolves.toBeDefined();
    await expect(at(2_000_000_660)).rejects.toMatchObject(REJECTED);
  });

  test.each<[string, Readonly<Record<string, unknown>>]>([
    ['without an end', { exp: undefined }],
    ['without an issuer', { iss: undefined }],
  ])('%s is rejected', async (_what, claims) => {
    await expect(verifier().verify(await attest(claims), [authority.url])).rejects.toMatchObject(
      REJECTED,
    );
  });

  test.each([['a.b'], ['a.b.c.d'], ['ä.b.c'], [''], ['a'.repeat(200_000)]])(
    'that is no JWT is a wrong parameter',
    async (token) => {
      await expect(verifier().verify(token, [authority.url])).rejects.toMatchObject({
        code: 'BadParameter',
      });
    },
  );
});

describe('the environment’s key', () => {
  const rsa = (modulusLength: number, publicExponent = 65_537) =>
    (publicExponent === 65_537
      ? rsaKeyPair(modulusLength)
      : generateKeyPairSync('rsa', { modulusLength, publicExponent })
    ).publicKey.export({ format: 'jwk' });

  test('is the first RSA key that is for encryption', async () => {
    const keys = [
      { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA', use: 'enc' },
      { ...rsa(2048), kid: 'for signing', use: 'sig' },
      { ...rsa(2048), kid: 'for nothing' },
      'no key',
      { ...rsa(2048), kid: 'chosen', use: 'enc' },
      { ...rsa(2048), kid: 'too late', key_ops: ['encrypt'] },
    ];
    const token = await attest({ 'x-ms-runtime': { keys } });
    const { recipient } = await verifier().verify(token, [authority.url]);
    expect(recipient.keyId).toBe('chosen');
  });

  test.each<[string, unknown]>([
    ['is not there', undefined],
    ['is not in a list', { keys: {} }],
    ['is short', { keys: [{ ...rsa(1024), use: 'enc' }] }],
    ['has a small exponent', { keys: [{ ...rsa(2048, 3), use: 'enc' }] }],
    [
      'is even',
      {
        keys: [
          { kty: 'RSA', use: 'enc', e: 'AQAB', n: Buffer.alloc(256, 0xfe).toString('base64url') },
        ],
      },
    ],
    ['is not base64url', { keys: [{ kty: 'RSA', use: 'enc', e: 'AQAB', n: '%%%' }] }],
  ])('that %s makes the token useless', async (_what, runtime) => {
    const token = await attest({ 'x-ms-runtime': runtime });
    await expect(verifier().verify(token, [authority.url])).rejects.toMatchObject(REJECTED);
  });
});

describe('an authority', () => {
  test('is not believed where its certificate is of an unknown CA', async () => {
    const other = await makeAuthority('another', new Date());
    const token = await attest();
    for (const ca of [undefined, other.certificate])
      await expect(verifier(ca ?? '').verify(token, [authority.url])).rejects.toMatchObject(
        UNAVAILABLE,
      );
  });

  test('is not believed under a name that its certificate does not have', async () => {
    const url = authority.url.replace('localhost', '127.0.0.2');
    const token = await attest({ iss: url });
    await expect(verifier().verify(token, [url])).rejects.toMatchObject(UNAVAILABLE);
  });

  test.each<[string, unknown, number]>([
    ['redirects', 'https://localhost:1/', 302],
    ['fails', {}, 500],
    ['answers no JSON', '<html>', 200],
    ['answers at length', 'x'.repeat(300_000), 200],
  ])('that %s is unavailable', async (_what, body, status) => {
    const own = await start();
    own.answer(METADATA, body, status);
    await expect(
      verifier(own.ca).verify(await attest({}, {}, own), [own.url]),
    ).rejects.toMatchObject(UNAVAILABLE);
  });

  test('that is not there is unavailable', async () => {
    const own = await start();
    const token = await attest({}, {}, own);
    await own.close();
    await expect(verifier(own.ca).verify(token, [own.url])).rejects.toMatchObject(UNAVAILABLE);
  });
});
