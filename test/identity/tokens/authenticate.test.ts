import { createHmac, createPublicKey, type JsonWebKey } from 'node:crypto';
import { beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { base64url, exportJWK, SignJWT } from 'jose';
import { ServiceError } from '../../../src/core/errors.ts';
import {
  createIdentity,
  DOMAIN,
  type Identity,
  quickHasher,
  RESOURCE,
} from '../../support/identity.ts';
import { rsaKeyPair } from '../../support/rsa-keys.ts';

const thumbprint = () => undefined;
const POOL = { audience: 'pool', thumbprint } as const;
const DIRECTORY = { audience: 'directory', thumbprint } as const;
const GRAPH = 'https://graph.microsoft.com';

let identity: Identity;
beforeEach(async () => {
  identity = await createIdentity(quickHasher);
});

const bearer = (token: string) => `Bearer ${token}`;
const enter = async (token: string) => identity.authenticate(bearer(token), POOL);
/** 'accepted', or the code of what was thrown. */
const outcome = (entered: Promise<unknown>): Promise<unknown> =>
  entered.then(
    () => 'accepted',
    (error: unknown) => (error instanceof ServiceError ? error.code : error),
  );
const refusal = { name: 'ServiceError', code: 'Unauthenticated' };

describe('a token of the directory', () => {
  test('names its principal, application and tenant', async () => {
    await expect(enter(await identity.issue())).resolves.toEqual({
      tenantId: identity.tenantId,
      objectId: identity.principal.id,
      applicationId: identity.application.appId,
      displayName: 'client',
      groups: [],
    });
  });

  test.each(['Bearer', 'bearer', 'BEARER'])('is taken with the scheme written %s', async (word) => {
    const header = `${word} ${await identity.issue()}`;
    await expect(identity.authenticate(header, POOL)).resolves.toMatchObject({ groups: [] });
  });

  test.each([
    [GRAPH, DIRECTORY, true],
    [GRAPH, POOL, false],
    [RESOURCE, POOL, true],
    [RESOURCE, DIRECTORY, true],
    ['https://managedhsm.azure.net', POOL, true],
    ['https://example.com', POOL, false],
    ['https://example.com', DIRECTORY, false],
  ])('for %s opens %o: %s', async (resource, surface, isOpen) => {
    const header = bearer(await identity.issue(resource));
    const expected = isOpen ? 'accepted' : 'Unauthenticated';
    // Twice: what is remembered of a token must not widen what it is good for.
    expect(await outcome(identity.authenticate(header, surface))).toBe(expected);
    expect(await outcome(identity.authenticate(header, surface))).toBe(expected);
  });

  test('for Graph is refused by the pool even after the directory has taken it', async () => {
    const header = bearer(await identity.issue(GRAPH));
    await identity.authenticate(header, DIRECTORY);
    await expect(identity.authenticate(header, POOL)).rejects.toMatchObject(refusal);
  });

  test('is checked once and remembered', async () => {
    const token = await identity.issue();
    const before = identity.counts().keySetReads;
    await enter(token);
    await enter(token);
    await enter(token);
    expect(identity.counts().keySetReads - before).toBe(1);
  });
});

describe('the times of a token, with a minute for clocks that differ', () => {
  test.each([
    ['expired 59 s ago', { exp: -59 }, true],
    ['expired 60 s ago', { exp: -60 }, false],
    ['valid from 60 s on', { nbf: 60 }, true],
    ['valid from 61 s on', { nbf: 61 }, false],
  ])('%s', async (_case, offsets, isGood) => {
    const claims = Object.fromEntries(
      Object.entries(offsets).map(([name, offset]) => [name, identity.clock.seconds + offset]),
    );
    const entered = enter(await identity.forge({ claims }));
    expect(await outcome(entered)).toBe(isGood ? 'accepted' : 'Unauthenticated');
  });

  test('a remembered token ends when it expires, and not before', async () => {
    const token = await identity.issue();
    await enter(token);
    identity.clock.advance(3600 + 59);
    await expect(enter(token)).resolves.toMatchObject({ groups: [] });
    identity.clock.advance(1);
    await expect(enter(token)).rejects.toMatchObject({ ...refusal, message: /expired/ });
    await expect(enter(token)).rejects.toMatchObject({ ...refusal, message: /expired/ });
  });
});

describe('a token signed by the directory is refused', () => {
  test.each<[string, Record<string, unknown>]>([
    ['from another issuer', { iss: 'https://login.microsoftonline.com/x/v2.0' }],
    ['without an issuer', { iss: undefined }],
    ['of another tenant', { tid: '11111111-1111-4111-8111-111111111111' }],
    ['without a tenant', { tid: undefined }],
    ['without an object id', { oid: undefined }],
    ['with an empty object id', { oid: '' }],
    ['with an object id that is no text', { oid: 7 }],
    ['without an expiry', { exp: undefined }],
    ['with an expiry that is no number', { exp: '9999999999' }],
    ['without the time of its issue', { iat: undefined }],
    ['without an audience', { aud: undefined }],
    ['with several audiences', { aud: [RESOURCE, GRAPH] }],
    ['with an audience below a path', { aud: `${RESOURCE}/keys` }],
    ['for a principal that never was', { oid: '22222222-2222-4222-8222-222222222222' }],
    ['for an application, named as principal', { oid: 'the application' }],
  ])('%s', async (_case, claims) => {
    await expect(enter(await identity.forge({ claims }))).rejects.toMatchObject(refusal);
  });

  const attacker = rsaKeyPair(2048);
  test.each<[string, Record<string, unknown>]>([
    ['jku', { jku: 'https://attacker.example/keys' }],
    ['x5u', { x5u: 'https://attacker.example/chain.pem' }],
    ['x5c', { x5c: ['MIIB'] }],
    ['jwk', { jwk: attacker.publicKey.export({ format: 'jwk' }) }],
    ['crit', { crit: ['exp'], exp: 1 }],
    ['an unknown crit', { crit: ['urn:example:x'], 'urn:example:x': true }],
    ['no typ', { typ: undefined }],
    ['another typ', { typ: 'at+jwt' }],
    ['no kid', { kid: undefined }],
    ['an unknown kid', { kid: '0'.repeat(32) }],
    ['alg none', { alg: 'none' }],
    ['alg RS512', { alg: 'RS512' }],
    ['alg PS256', { alg: 'PS256' }],
    ['no alg', { alg: undefined }],
  ])('with %s in its header', async (_case, header) => {
    await expect(enter(await identity.forge({ header }))).rejects.toMatchObject(refusal);
  });
});

describe('a token that the directory did not sign is refused', () => {
  const attacker = rsaKeyPair(2048);

  async function parts() {
    const [header = '', payload = '', signature = ''] = (await identity.issue()).split('.');
    return { header, payload, signature };
  }

  test('when it was signed by another key under the same kid', async () => {
    const { header, payload } = await parts();
    const forged = await new SignJWT(decode(payload))
      .setProtectedHeader({ ...decode(header), alg: 'RS256' })
      .sign(attacker.privateKey);
    await expect(enter(forged)).rejects.toMatchObject(refusal);
  });

  test('when it brings the key that signed it', async () => {
    const { payload } = await parts();
    const jwk = await exportJWK(attacker.publicKey);
    const forged = await new SignJWT(decode(payload))
      .setProtectedHeader({ alg: 'RS256', typ: 'JWT', jwk })
      .sign(attacker.privateKey);
    await expect(enter(forged)).rejects.toMatchObject(refusal);
  });

  test.each(['pem', 'jwk', 'n'] as const)(
    'when it is an HMAC keyed with the public key (as %s)',
    async (form) => {
      const { header, payload } = await parts();
      const [jwk] = (await identity.keySet()).keys;
      const pem = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' }).export({
        format: 'pem',
        type: 'spki',
      });
      const secret = { pem: pem.toString(), jwk: JSON.stringify(jwk), n: jwk?.n ?? '' }[form];
      const signed = `${encode({ ...decode(header), alg: 'HS256' })}.${payload}`;
      const mac = createHmac('sha256', secret).update(signed).digest('base64url');
      await expect(enter(`${signed}.${mac}`)).rejects.toMatchObject(refusal);
    },
  );

  test.each<[string, (token: { header: string; payload: string; signature: string }) => string]>([
    ['its payload was altered', (t) => `${t.header}.${altered(t.payload)}.${t.signature}`],
    ['its header was altered', (t) => `${altered(t.header)}.${t.payload}.${t.signature}`],
    ['its signature was altered', (t) => `${t.header}.${t.payload}.${altered(t.signature)}`],
    ['its signature was cut', (t) => `${t.header}.${t.payload}.${t.signature.slice(0, -4)}`],
    ['its signature was stripped', (t) => `${t.header}.${t.payload}.`],
    ['alg is none and it has no signature', (t) => `${encode({ alg: 'none' })}.${t.payload}.`],
    ['alg is none and a signature stands', (t) => `${encode({ alg: 'none' })}.${t.payload}.AA`],
  ])('when %s, also after the genuine one was taken', async (_case, change) => {
    const { header, payload, signature } = await parts();
    await enter(`${header}.${payload}.${signature}`);
    await expect(enter(change({ header, payload, signature }))).rejects.toMatchObject(refusal);
  });
});

describe('an Authorization header is refused', () => {
  test.each<[string, (token: string) => string | undefined]>([
    ['that is not there', () => undefined],
    ['that is empty', () => ''],
    ['without a token', () => 'Bearer '],
    ['of another scheme', (token) => `Basic ${token}`],
    ['without a scheme', (token) => token],
    ['with a space before', (token) => ` Bearer ${token}`],
    ['with a space behind', (token) => `Bearer ${token} `],
    ['with a line behind', (token) => `Bearer ${token}\n`],
    ['with two tokens', (token) => `Bearer ${token}, Bearer ${token}`],
    ['with a token of two parts', (token) => `Bearer ${token.split('.').slice(1).join('.')}`],
    ['with a token of five parts', (token) => `Bearer ${token}.AA.AA`],
    ['in plain base64', (token) => `Bearer ${token}==`],
  ])('%s', async (_case, header) => {
    const value = header(await identity.issue());
    await expect(identity.authenticate(value, POOL)).rejects.toMatchObject(refusal);
  });

  test('longer than 16 KiB, however well signed', async () => {
    const padded = async (length: number) =>
      bearer(await identity.forge({ claims: { padding: 'x'.repeat(length) } }));
    const fitting = await padded(11_000);
    const oversized = await padded(12_500);
    expect([fitting.length <= 16_384, oversized.length > 16_384]).toEqual([true, true]);
    await expect(identity.authenticate(fitting, POOL)).resolves.toMatchObject({ groups: [] });
    await expect(identity.authenticate(oversized, POOL)).rejects.toMatchObject(refusal);
  });
});

describe('no header makes anything but a refusal', () => {
  beforeAll(() => {
    fc.configureGlobal({ numRuns: 300 });
  });
  const part = fc.oneof(
    fc.string().map((text) => base64url.encode(text)),
    fc.json().map((text) => base64url.encode(text)),
    fc.uint8Array({ maxLength: 40 }).map((bytes) => base64url.encode(bytes)),
    fc
      .record({ alg: fc.constantFrom('RS256', 'none', 'HS256'), kid: fc.anything() })
      .map((header) => encode({ typ: 'JWT', ...header })),
  );
  const header = fc.oneof(
    fc.string(),
    fc.string().map(bearer),
    fc.tuple(part, part, part).map((parts) => bearer(parts.join('.'))),
  );

  test('whatever it holds', async () => {
    await fc.assert(
      fc.asyncProperty(header, async (value) => {
        await expect(identity.authenticate(value, POOL)).rejects.toMatchObject(refusal);
      }),
    );
  });
});

describe('what a refusal says', () => {
  test.each<[RegExp, (identity: Identity) => Promise<string>]>([
    [/expired/, ({ forge, clock }) => forge({ claims: { exp: clock.seconds - 3600 } })],
    [/another resource/, ({ issue }) => issue('https://example.com')],
    [/another tenant/, ({ forge }) => forge({ claims: { tid: 'x' } })],
    [/lacks a claim/, ({ forge }) => forge({ claims: { oid: undefined } })],
    [/cannot be proved/, ({ forge }) => forge({ claims: { cnf: { jkt: 'x'.repeat(43) } } })],
    [
      /bound to a certificate/,
      ({ forge }) => forge({ claims: { cnf: { 'x5t#S256': 'x'.repeat(43) } } }),
    ],
    [/header that is not accepted/, ({ forge }) => forge({ header: { jku: 'https://x.example' } })],
    [/key that its issuer does not/, ({ forge }) => forge({ header: { kid: 'f'.repeat(32) } })],
    [/algorithm/, ({ forge }) => forge({ header: { alg: 'PS256' } })],
    [/not valid yet/, ({ forge, clock }) => forge({ claims: { nbf: clock.seconds + 3600 } })],
  ])('helps with %s, and repeats nothing of the token', async (message, make) => {
    const token = await make(identity);
    const thrown = await enter(token).catch((error: unknown) => error);
    expect(thrown).toMatchObject({ ...refusal, message });
    const said = (thrown as ServiceError).message;
    for (const held of [...token.split('.'), identity.principal.id, identity.tenantId, DOMAIN])
      expect(said).not.toContain(held);
  });
});

describe('a principal that loses its place', () => {
  const gone = { ...refusal, message: /does not exist any more, or is disabled/ };

  test('is shut out at once when it is deleted', async () => {
    const token = await identity.issue();
    await enter(token);
    await identity.directory.deleteServicePrincipal(identity.principal.id, identity.change());
    await expect(enter(token)).rejects.toMatchObject(gone);
  });

  test('is shut out at once when its application is deleted', async () => {
    const token = await identity.issue();
    await enter(token);
    await identity.directory.deleteApplication(identity.application.id, identity.change());
    await expect(enter(token)).rejects.toMatchObject(gone);
  });

  test.each([
    ['its own change', (id: string) => ({ topic: 'directory', id }) as const],
    ['a gap in the feed', () => 'reset' as const],
  ])('is shut out when the feed tells of %s, and let in again', async (_case, change) => {
    const { store, feed, principal } = identity;
    const token = await identity.issue();
    await enter(token);
    store.setEnabled(principal.id, false);
    feed.publish(change(principal.id));
    await expect(enter(token)).rejects.toMatchObject(gone);
    store.setEnabled(principal.id, true);
    feed.publish(change(principal.id));
    await expect(enter(token)).resolves.toMatchObject({ groups: [] });
  });

  test('is shut out with nobody to tell of it while the feed is cut off', async () => {
    const { store, feed, principal } = identity;
    const token = await identity.issue();
    await enter(token);
    feed.coherent = false;
    store.setEnabled(principal.id, false);
    await expect(enter(token)).rejects.toMatchObject(gone);
  });

  test('is not kept by a request that was looking it up just then', async () => {
    const { store, feed, principal } = identity;
    const token = await identity.issue();
    await enter(token);
    feed.publish({ topic: 'directory', id: principal.id });
    const lookingUp = enter(token);
    store.setEnabled(principal.id, false);
    feed.publish({ topic: 'directory', id: principal.id });
    await lookingUp.catch(() => undefined);
    await expect(enter(token)).rejects.toMatchObject(gone);
  });
});

describe('a directory that cannot be read', () => {
  test('is no refusal: the caller learns that it is down', async () => {
    identity.store.failure = new ServiceError('StoreUnavailable', 'The database is away.');
    await expect(enter(await identity.issue())).rejects.toMatchObject({
      code: 'StoreUnavailable',
    });
  });

  test('is not asked for a principal that is remembered', async () => {
    const token = await identity.issue();
    await enter(token);
    const before = identity.store.principalReads;
    await enter(token);
    expect(identity.store.principalReads).toBe(before);
  });
});

function decode(part: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>;
}

function encode(part: object): string {
  return base64url.encode(JSON.stringify(part));
}

/** The same length, another content: one character in the middle is changed. */
function altered(part: string): string {
  const at = Math.floor(part.length / 2);
  return `${part.slice(0, at)}${part[at] === 'A' ? 'B' : 'A'}${part.slice(at + 1)}`;
}
