import { beforeEach, describe, expect, test } from '@jest/globals';
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import { createIssuerKeys, type IssuerKeys } from '../../../src/identity/issuers/issuer-keys.ts';

const ISSUER = { issuer: 'https://issuer.example' };
const OTHER = { issuer: 'https://other.example/' };
const DAY_MS = 24 * 60 * 60_000;

const { publicKey } = await generateKeyPair('ES256');
const jwk = await exportJWK(publicKey);
const keyNamed = (kid: string): JWK => ({ ...jwk, kid, alg: 'ES256', use: 'sig' });

let now: number;
let published: Record<string, string[]>;
/** What was fetched, in order. */
let fetched: string[];
/** While set, answers wait for it. */
let hold: Promise<unknown> | undefined;
let isDown: boolean;
let errors: string[];
let keys: IssuerKeys;

beforeEach(() => {
  now = 1_000;
  published = { 'https://issuer.example': ['a'], 'https://other.example': ['o'] };
  fetched = [];
  hold = undefined;
  isDown = false;
  errors = [];
  keys = createIssuerKeys({
    fetchJson: async (url) => {
      fetched.push(url);
      now += 1;
      if (url.startsWith('https://issuer.example')) await hold;
      if (isDown) throw new Error('down');
      const { origin, pathname } = new URL(url);
      return pathname === '/.well-known/openid-configuration'
        ? {
            issuer: origin === 'https://other.example' ? `${origin}/` : origin,
            jwks_uri: `${origin}/keys`,
          }
        : { keys: (published[origin] ?? []).map(keyNamed) };
    },
    // No two moments are the same.
    steadyMs: () => (now += 0.001),
    delay: (ms) => {
      now += ms;
      return Promise.resolve();
    },
    onError: (issuer) => errors.push(issuer),
  });
});

async function has(place: { issuer: string; jwksUri?: string }, kid: string): Promise<boolean> {
  const find = await keys(place, kid);
  try {
    await find({ alg: 'ES256', kid }, { payload: '', signature: '' });
    return true;
  } catch {
    return false;
  }
}

describe('keys of an issuer', () => {
  test('are found by its discovery document, also where the issuer ends with a slash', async () => {
    expect(await has(ISSUER, 'a')).toBe(true);
    expect(await has(OTHER, 'o')).toBe(true);
    expect(fetched).toEqual([
      'https://issuer.example/.well-known/openid-configuration',
      'https://issuer.example/keys',
      'https://other.example/.well-known/openid-configuration',
      'https://other.example/keys',
    ]);
  });

  test('are read where the file says, without a discovery document', async () => {
    expect(await has({ ...ISSUER, jwksUri: 'https://other.example/keys' }, 'o')).toBe(true);
    expect(fetched).toEqual(['https://other.example/keys']);
  });

  test('are not believed where the discovery document is of another issuer', async () => {
    await expect(keys({ issuer: 'https://issuer.example/' }, 'a')).rejects.toThrow(
      'cannot be read',
    );
    expect(errors).toEqual(['https://issuer.example/']);
  });

  test('are fetched once, whoever asks at the same time', async () => {
    await Promise.all(Array.from({ length: 50 }, () => keys(ISSUER, 'a')));
    await keys(ISSUER, 'a');
    expect(fetched).toHaveLength(2);
  });

  test('are fetched again for one that is not known, and not sooner than two seconds after', async () => {
    await keys(ISSUER, 'a');
    const before = now;
    published['https://issuer.example'] = ['b', 'a'];
    expect(await has(ISSUER, 'b')).toBe(true);
    expect(now - before).toBeGreaterThanOrEqual(1_999);
    expect(fetched).toHaveLength(4);
  });

  test('that come and go do not fetch more often for tokens that name keys of nobody', async () => {
    await keys(ISSUER, 'a');
    const before = now;
    for (let guesses = 0; guesses < 20; guesses += 1) await keys(ISSUER, `nobody's ${guesses}`);
    // Two documents each time.
    expect((fetched.length - 2) / 2).toBeLessThanOrEqual((now - before) / 1_999);
  });

  test('that came while a fetch was under way are found by the next one', async () => {
    await keys(ISSUER, 'a');
    let release: (() => void) | undefined;
    hold = new Promise<void>((resolve) => {
      release = resolve;
    });
    const asking = has(ISSUER, 'early');
    await new Promise(setImmediate);
    now += 5;
    const later = has(ISSUER, 'b');
    // Two documents were fetched at first, and two are under way.
    const known = { ...published };
    published = Object.defineProperty(known, 'https://issuer.example', {
      get: () => (fetched.length > 4 ? ['b', 'a'] : ['a']),
    });
    release?.();
    expect(await asking).toBe(false);
    expect(await later).toBe(true);
  });
});

describe('an issuer that is down', () => {
  test('is believed for a day by the keys that are known', async () => {
    await keys(ISSUER, 'a');
    isDown = true;
    now += DAY_MS - 10_000;
    expect(await has(ISSUER, 'a')).toBe(true);
    await new Promise(setImmediate);
    expect(errors).toEqual([ISSUER.issuer]);
    now += 20_000;
    await expect(keys(ISSUER, 'a')).rejects.toThrow('cannot be read');
  });

  test('has its keys read again once it is back', async () => {
    isDown = true;
    await expect(keys(ISSUER, 'a')).rejects.toThrow('cannot be read');
    isDown = false;
    expect(await has(ISSUER, 'a')).toBe(true);
  });

  test('and flooded takes nothing from another one, nor from its own known keys', async () => {
    await keys(ISSUER, 'a');
    hold = new Promise(() => undefined);
    const flood = Array.from({ length: 3_000 }, (_, n) => keys(ISSUER, `nobody's ${n}`));
    const outcomes = flood.map((one) => one.then(String, (error: unknown) => String(error)));
    // The first thousand wait; the others are told at once.
    expect(await outcomes[2_999]).toMatch(/too many wait for the keys of/);
    expect(await has(ISSUER, 'a')).toBe(true);
    expect(await has(OTHER, 'o')).toBe(true);
    expect(await has(OTHER, 'unknown')).toBe(false);
  });
});
