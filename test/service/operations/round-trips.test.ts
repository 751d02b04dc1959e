import { beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  AES_SIZES,
  ALGORITHMS,
  CURVES,
  type DigestBytes,
  findAlgorithm,
  RSA_SIZES,
} from '../../../src/core/operations/algorithms.ts';
import { isFullExtent } from '../../support/extent.ts';
import { useSharedService } from '../../support/use-service.ts';

/** Round trips of an algorithm with a key; STRONGROOM_TEST_RUNS asks for another number. */
const RUNS = Number(process.env['STRONGROOM_TEST_RUNS'] ?? (isFullExtent ? 100 : 4));

const { admin } = useSharedService();

/** One key of each type and size, named by both. */
const KEYS = [
  ...RSA_SIZES.map((bits) => ({ kty: 'RSA-HSM', name: `trip-RSA-${bits}`, key_size: bits })),
  ...AES_SIZES.map((bits) => ({ kty: 'oct-HSM', name: `trip-AES-${bits}`, key_size: bits })),
  ...CURVES.map((crv) => ({ kty: 'EC-HSM', name: `trip-EC-${crv}`, crv })),
];

beforeAll(async () => {
  for (const { name, ...body } of KEYS)
    expect((await admin('POST', `/keys/${name}/create`, body)).status).toBe(200);
}, 120_000);

/** Each algorithm of a use, with each key that it takes. */
function pairs(use: 'cipher' | 'wrap' | 'sign'): readonly (readonly [string, string])[] {
  return Object.keys(ALGORITHMS).flatMap((algorithm) => {
    const facts = findAlgorithm(algorithm);
    if (!facts?.uses.includes(use)) return [];
    return KEYS.filter(
      (key) =>
        key.kty === facts.keyType &&
        (facts.bits === undefined || ('key_size' in key && key.key_size === facts.bits)) &&
        (facts.curve === undefined || ('crv' in key && key.crv === facts.curve)),
    ).map(({ name }) => [algorithm, name] as const);
  });
}

/** A ciphertext of 4 KiB is what Azure's service takes; the longest values here are a little more. */
const LONGEST = 5000;
const upTo = (maxLength: number, minLength = 0) =>
  fc.uint8Array({ minLength, maxLength, size: 'max' }).map((bytes) => Buffer.from(bytes));
const inBlocks = (block: number, fewest: number, most: number) =>
  fc
    .integer({ min: fewest, max: most })
    .chain((blocks) =>
      fc.uint8Array({ minLength: blocks * block, maxLength: blocks * block, size: 'max' }),
    )
    .map((bytes) => Buffer.from(bytes));

const modulusBytes = (key: string) => Number(key.slice('trip-RSA-'.length)) / 8;

/** What an algorithm takes: RFC 8017 §7.1.1 and §7.2.1, SP 800-38A, RFC 3394 §2, RFC 5649 §3. */
function plaintexts(algorithm: string, key: string): fc.Arbitrary<Buffer> {
  switch (algorithm) {
    case 'RSA1_5':
      return upTo(modulusBytes(key) - 11);
    case 'RSA-OAEP':
      return upTo(modulusBytes(key) - 42);
    case 'RSA-OAEP-256':
      return upTo(modulusBytes(key) - 66);
    case 'CKM_AES_KEY_WRAP_PAD':
      return upTo(512, 1);
    default:
  }
  if (/KW$|KEY_WRAP$/.test(algorithm)) return inBlocks(8, 2, 64);
  if (algorithm.endsWith('CBC')) return inBlocks(16, 1, 256);
  return upTo(LONGEST);
}

/** The shortest plaintext of all is tried each time. */
const isEmptyFine = (algorithm: string) => /^RSA|GCM$|CBCPAD$/.test(algorithm);

interface Result {
  readonly value: string;
  readonly iv?: string;
  readonly tag?: string;
  readonly kid: string;
}
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url');

async function call<Shape>(path: string, body: object): Promise<Shape> {
  const answer = await admin('POST', path, body);
  if (answer.status !== 200) throw new Error(`${path}: ${answer.text}`);
  return answer.json<Shape>();
}

describe.each([
  ['encrypt', 'decrypt', 'cipher'],
  ['wrapkey', 'unwrapkey', 'wrap'],
] as const)('what %s makes, %s undoes', (forth, back, use) => {
  test.each(pairs(use))(
    '%s with %s',
    async (alg, key) => {
      const isCbc = alg.includes('CBC');
      await fc.assert(
        fc.asyncProperty(
          plaintexts(alg, key),
          upTo(16, 16),
          fc.option(upTo(200), { nil: undefined }),
          async (plaintext, iv, data) => {
            const aad = alg.endsWith('GCM') && data !== undefined ? { aad: text(data) } : {};
            const made = await call<Result>(`/keys/${key}/${forth}`, {
              alg,
              value: text(plaintext),
              ...(isCbc && { iv: text(iv) }),
              ...aad,
            });
            // By the version that did it, as a client that keeps the kid asks.
            const { value } = await call<Result>(`${new URL(made.kid).pathname}/${back}`, {
              ...{ alg, value: made.value, ...aad },
              ...(made.iv !== undefined && { iv: made.iv }),
              ...(made.tag !== undefined && { tag: made.tag }),
            });
            expect(value).toBe(text(plaintext));
          },
        ),
        {
          numRuns: RUNS,
          examples: isEmptyFine(alg) ? [[Buffer.alloc(0), Buffer.alloc(16), undefined]] : [],
        },
      );
    },
    120_000,
  );
});

describe('what sign makes, verify accepts, and for another digest refuses', () => {
  const digests = (bytes: DigestBytes | undefined, key: string) =>
    bytes === undefined
      ? // RSNULL: RFC 8017 §9.2 without DigestInfo; the HMACs take a message.
        key.startsWith('trip-RSA')
        ? upTo(modulusBytes(key) - 11, 1)
        : upTo(LONGEST)
      : upTo(bytes, bytes);

  test.each(pairs('sign'))(
    '%s with %s',
    async (alg, key) => {
      await fc.assert(
        fc.asyncProperty(
          digests(findAlgorithm(alg)?.digestBytes, key),
          fc.nat(7),
          async (digest, bit) => {
            const signed = await call<Result>(`/keys/${key}/sign`, { alg, value: text(digest) });
            const path = `${new URL(signed.kid).pathname}/verify`;
            const verify = (over: Uint8Array) =>
              call<{ value: boolean }>(path, { alg, digest: text(over), value: signed.value });
            expect((await verify(digest)).value).toBe(true);
            const other = digest.length === 0 ? Buffer.alloc(1) : Buffer.from(digest);
            other[0] = (other[0] ?? 0) ^ (1 << bit);
            expect((await verify(other)).value).toBe(false);
          },
        ),
        { numRuns: RUNS, examples: alg.startsWith('HS') ? [[Buffer.alloc(0), 0]] : [] },
      );
    },
    120_000,
  );
});

/** SoftHSM 2.6.1 has no ML-DSA: test/modules tries it with modules that have. */
const EXPECTED = Object.entries(ALGORITHMS).flatMap(([name, { keyType }]) =>
  keyType === 'AKP-HSM' ? [] : [name],
);

test('every algorithm has been tried with every key that it takes', () => {
  const tried = new Set([...pairs('cipher'), ...pairs('wrap'), ...pairs('sign')].map(([a]) => a));
  expect([...tried].sort()).toEqual(EXPECTED.sort());
});
