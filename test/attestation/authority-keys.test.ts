import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { createAuthorityKeys } from '../../src/attestation/authority-keys.ts';
import { rsaKeyPair } from '../support/rsa-keys.ts';

const AUTHORITY = 'https://attest.example';
const METADATA = `${AUTHORITY}/.well-known/openid-configuration`;
const CERTS = `${AUTHORITY}/certs`;

/** An authority whose documents are these, and a clock that the test moves. */
function setUp(documents: Record<string, unknown> = {}) {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = (kid: string) => ({ ...publicKey.export({ format: 'jwk' }), kid });
  const served: Record<string, unknown> = {
    [METADATA]: { issuer: AUTHORITY, jwks_uri: CERTS },
    [CERTS]: { keys: [jwk('first')] },
    ...documents,
  };
  const asked: string[] = [];
  const clock = { ms: 1_000 };
  const keys = createAuthorityKeys({
    fetchJson: async (url) => {
      asked.push(url);
      await Promise.resolve();
      if (served[url] === undefined) throw new Error('no answer');
      return served[url];
    },
    steadyMs: () => clock.ms,
  });
  return { keys, served, asked, clock, jwk };
}

const kids = ({ keys }: { keys: readonly { kid?: string }[] }) => keys.map(({ kid }) => kid);

describe('the keys of an authority', () => {
  test('are fetched once for all who ask, and again after ten minutes', async () => {
    const { keys, asked, clock } = setUp();
    const answers = await Promise.all([keys(AUTHORITY), keys(AUTHORITY, 'first')]);
    for (const answer of answers) expect(kids(answer)).toEqual(['first']);
    expect(asked).toEqual([METADATA, CERTS]);
    clock.ms += 599_999;
    await keys(AUTHORITY, 'first');
    expect(asked).toHaveLength(2);
    clock.ms += 1;
    await keys(AUTHORITY, 'first');
    expect(asked).toHaveLength(4);
  });

  test('are looked for again for a key that is new, and not at each made-up name', async () => {
    const { keys, served, asked, clock, jwk } = setUp();
    await keys(AUTHORITY, 'first');
    served[CERTS] = { keys: [jwk('first'), jwk('second')] };
    clock.ms += 29_999;
    for (let turn = 0; turn < 10; turn += 1)
      expect(kids(await keys(AUTHORITY, `made-up-${turn}`))).toEqual(['first']);
    expect(asked).toHaveLength(2);
    clock.ms += 1;
    expect(kids(await keys(AUTHORITY, 'second'))).toEqual(['first', 'second']);
    expect(asked).toHaveLength(4);
  });

  test('of one that is down are not asked for again at once', async () => {
    const { keys, served, asked, clock } = setUp();
    const metadata = served[METADATA];
    served[METADATA] = undefined;
    const unavailable = { code: 'AttestationAuthorityUnavailable' };
    await expect(keys(AUTHORITY)).rejects.toMatchObject(unavailable);
    served[METADATA] = metadata;
    clock.ms += 4_999;
    await expect(keys(AUTHORITY)).rejects.toMatchObject(unavailable);
    expect(asked).toHaveLength(1);
    clock.ms += 1;
    expect(kids(await keys(AUTHORITY))).toEqual(['first']);
  });

  test('that it has withdrawn are not believed because it is down', async () => {
    const { keys, served, clock, asked } = setUp();
    await keys(AUTHORITY, 'first');
    served[CERTS] = undefined;
    clock.ms += 600_000;
    const unavailable = { code: 'AttestationAuthorityUnavailable' };
    for (let turn = 0; turn < 3; turn += 1)
      await expect(keys(AUTHORITY, 'first')).rejects.toMatchObject(unavailable);
    // Two documents at first, and then one attempt for all who ask within five seconds.
    expect(asked).toHaveLength(4);
  });

  test('are good for their time while it is down, and a new one is looked for now and then', async () => {
    const { keys, served, clock, asked } = setUp();
    await keys(AUTHORITY, 'first');
    served[METADATA] = undefined;
    clock.ms += 30_000;
    await expect(keys(AUTHORITY, 'new')).rejects.toMatchObject({
      code: 'AttestationAuthorityUnavailable',
    });
    expect(kids(await keys(AUTHORITY, 'new'))).toEqual(['first']);
    expect(kids(await keys(AUTHORITY, 'first'))).toEqual(['first']);
    expect(asked).toHaveLength(3);
  });

  test.each<[string, Record<string, unknown>]>([
    [
      'metadata of another issuer',
      { [METADATA]: { issuer: 'https://b.example', jwks_uri: CERTS } },
    ],
    ['metadata without jwks_uri', { [METADATA]: { issuer: AUTHORITY } }],
    ['metadata that are no object', { [METADATA]: 'metadata' }],
    ['keys over http', { [METADATA]: { jwks_uri: 'http://attest.example/certs' } }],
    ['keys in a file', { [METADATA]: { jwks_uri: 'file:///etc/passwd' } }],
    ['keys behind a password', { [METADATA]: { jwks_uri: 'https://a:b@attest.example/certs' } }],
    ['a key set that is none', { [CERTS]: { keys: 'keys' } }],
    ['too many keys', { [CERTS]: { keys: Array(101).fill({ kty: 'RSA' }) } }],
  ])('are not taken from %s', async (_what, documents) => {
    const { keys } = setUp(documents);
    await expect(keys(AUTHORITY)).rejects.toMatchObject({
      code: 'AttestationAuthorityUnavailable',
    });
  });

  test('are taken without an issuer in the metadata, and under a path', async () => {
    const base = `${AUTHORITY}/tenant`;
    const { keys } = setUp({ [`${base}/.well-known/openid-configuration`]: { jwks_uri: CERTS } });
    expect(kids(await keys(`${base}/`))).toEqual(['first']);
  });

  test('hold no shared secret and nothing private, whatever the authority sends', async () => {
    const { privateKey, publicKey } = rsaKeyPair(2048);
    const { keys } = setUp({
      [CERTS]: {
        keys: [
          { kty: 'oct', k: 'c2VjcmV0', kid: 'shared' },
          { ...privateKey.export({ format: 'jwk' }), kid: 'private' },
          { ...publicKey.export({ format: 'jwk' }), kid: 'public', jku: 'https://b.example' },
        ],
      },
    });
    const set = await keys(AUTHORITY);
    expect(kids(set)).toEqual(['public']);
    expect(Object.keys(set.keys[0] ?? {}).sort()).toEqual(['e', 'kid', 'kty', 'n']);
  });

  test('are asked of twenty authorities at a time, and no more', async () => {
    const waiting: (() => void)[] = [];
    const keys = createAuthorityKeys({
      fetchJson: () =>
        new Promise((resolve) =>
          waiting.push(() => {
            resolve({});
          }),
        ),
      steadyMs: () => 0,
    });
    const asked = Array.from({ length: 20 }, (_, index) =>
      keys(`https://a${index}.example`).catch(() => undefined),
    );
    await expect(keys('https://late.example')).rejects.toMatchObject({ code: 'Overloaded' });
    for (const answer of waiting) answer();
    await Promise.all(asked);
  });
});
