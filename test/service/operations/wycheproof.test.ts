import { beforeAll, describe, expect, test } from '@jest/globals';
import { createHash, createPrivateKey, randomBytes } from 'node:crypto';
import { AES_SIZES, RSA_SIZES } from '../../../src/core/operations/algorithms.ts';
import { parseKeyName, parseKeyVersionId } from '../../../src/core/keys/key.ts';
import { newObjectId, toReference } from '../../../src/core/keys/objects/object-id.ts';
import { sample } from '../../support/extent.ts';
import { isSealed } from '../../support/keeping.ts';
import { openPlanter, type Planter } from '../../support/planter.ts';
import { SIGNATURE_SCHEMAS, understandSignatures } from '../../support/signature-vectors.ts';
import {
  CIPHER_SCHEMAS,
  hex,
  readVectors,
  Tally,
  type VectorFile,
  type VectorGroup,
  type VectorTest,
} from '../../support/vectors.ts';
import { useProduction } from '../../support/use-service.ts';

/**
 * Wycheproof's vectors as a caller of the service would try them: the vector's key is imported over HTTP, once for all its
 * tests, and the route of the operation is called.
 *
 * Wycheproof publishes no private keys with signatures to verify, and there is no import of a public key: those keys are put
 * into the store with a seal of the pool's own, and a private half that nobody can open. Verifying never asks for it.
 */

const FILES = readVectors([
  ...SIGNATURE_SCHEMAS,
  'rsassa_pkcs1_generate_schema_v1.json',
  ...CIPHER_SCHEMAS,
  'mac_test_schema_v1.json',
]);

/** In the place of a private half: of a resident key an object that isn't there. */
const unopenable = () => (isSealed ? randomBytes(40) : toReference(newObjectId()));

/** One call of the service that a test asks for. */
interface Attempt {
  /** What its outcome is counted under. */
  readonly operation: string;
  /** The JWK to import, or the group whose public key to plant. */
  readonly key: { readonly jwk: object } | { readonly planted: VectorGroup };
  readonly body: Readonly<Record<string, unknown>>;
  /** Whether the answer of a success is the right one. */
  readonly isRight: (value: unknown) => boolean;
}

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url');
const is = (expected: Uint8Array) => (value: unknown) => value === text(expected);

function aesKey(one: VectorTest): Attempt['key'] | undefined {
  const value = hex(one['key']);
  return AES_SIZES.some((bits) => bits === value.length * 8)
    ? { jwk: { kty: 'oct-HSM', k: text(value) } }
    : undefined;
}

function rsaKey(group: VectorGroup): Attempt['key'] | undefined {
  if (!RSA_SIZES.some((bits) => bits === group['keySize'])) return undefined;
  const jwk = createPrivateKey({
    key: hex(group['privateKeyPkcs8']),
    format: 'der',
    type: 'pkcs8',
  }).export({ format: 'jwk' });
  return { jwk: { ...jwk, kty: 'RSA-HSM' } };
}

const HASHES: Readonly<Record<string, { node: string; bits: number }>> = {
  'SHA-256': { node: 'sha256', bits: 256 },
  'SHA-384': { node: 'sha384', bits: 384 },
  'SHA-512': { node: 'sha512', bits: 512 },
};

function rsaDecryption(alg: string, group: VectorGroup, one: VectorTest): readonly Attempt[] {
  const key = rsaKey(group);
  if (key === undefined) return [];
  const body = { alg, value: text(hex(one['ct'])) };
  return [{ operation: 'decrypt', key, body, isRight: is(hex(one['msg'])) }];
}

/** By the type of a group: the calls that a test of it asks for; none for what the service doesn't have. */
const ATTEMPTS: Readonly<
  Record<string, (file: VectorFile, group: VectorGroup, one: VectorTest) => readonly Attempt[]>
> = {
  RsaesPkcs1Decrypt: (_file, group, one) => rsaDecryption('RSA1_5', group, one),

  RsaesOaepDecrypt: (_file, group, one) => {
    const alg = { 'SHA-1': 'RSA-OAEP', 'SHA-256': 'RSA-OAEP-256' }[String(group['sha'])];
    const hasLabel = typeof one['label'] === 'string' && one['label'] !== '';
    return alg === undefined || hasLabel || group['mgfSha'] !== group['sha']
      ? []
      : rsaDecryption(alg, group, one);
  },

  AeadTest: ({ algorithm }, group, one) => {
    const key = aesKey(one);
    if (algorithm !== 'AES-GCM' || key === undefined) return [];
    if (group['ivSize'] !== 96 || group['tagSize'] !== 128) return [];
    const body = {
      alg: `A${String(group['keySize'])}GCM`,
      value: text(hex(one['ct'])),
      iv: text(hex(one['iv'])),
      aad: text(hex(one['aad'])),
      tag: text(hex(one['tag'])),
    };
    return [{ operation: 'decrypt', key, body, isRight: is(hex(one['msg'])) }];
  },

  IndCpaTest: ({ algorithm }, group, one) => {
    const key = aesKey(one);
    if (algorithm !== 'AES-CBC-PKCS5' || key === undefined) return [];
    const [ct, msg] = [hex(one['ct']), hex(one['msg'])];
    const body = { alg: `A${String(group['keySize'])}CBCPAD`, iv: text(hex(one['iv'])) };
    return [
      { operation: 'decrypt', key, body: { ...body, value: text(ct) }, isRight: is(msg) },
      ...onlyValid(one, {
        operation: 'encrypt',
        key,
        body: { ...body, value: text(msg) },
        isRight: is(ct),
      }),
    ];
  },

  KeywrapTest: ({ algorithm }, group, one) => {
    const key = aesKey(one);
    if (!algorithm.startsWith('AES-') || key === undefined) return [];
    const isPadded = /KWP|PAD/.test(algorithm);
    const alg = isPadded ? 'CKM_AES_KEY_WRAP_PAD' : `A${String(group['keySize'])}KW`;
    const [ct, msg] = [hex(one['ct']), hex(one['msg'])];
    return [
      { operation: 'unwrapkey', key, body: { alg, value: text(ct) }, isRight: is(msg) },
      ...onlyValid(one, {
        operation: 'wrapkey',
        key,
        body: { alg, value: text(msg) },
        isRight: is(ct),
      }),
    ];
  },

  MacTest: ({ algorithm }, group, one) => {
    const key = aesKey(one);
    const bits = /^HMACSHA(?<bits>256|384|512)$/.exec(algorithm)?.groups?.['bits'];
    // The service knows whole MACs only.
    if (bits === undefined || key === undefined || group['tagSize'] !== Number(bits)) return [];
    const [msg, tag] = [text(hex(one['msg'])), hex(one['tag'])];
    const alg = `HS${bits}`;
    return [
      {
        operation: 'verify',
        key,
        body: { alg, digest: msg, value: text(tag) },
        isRight: (value) => value === true,
      },
      ...onlyValid(one, { operation: 'sign', key, body: { alg, value: msg }, isRight: is(tag) }),
    ];
  },

  RsassaPkcs1Generate: (_file, group, one) => {
    const key = rsaKey(group);
    const hash = HASHES[String(group['sha'])];
    if (key === undefined || hash === undefined) return [];
    const digest = createHash(hash.node).update(hex(one['msg'])).digest();
    return onlyValid(one, {
      operation: 'sign',
      key,
      body: { alg: `RS${hash.bits}`, value: text(digest) },
      isRight: is(hex(one['sig'])),
    });
  },

  RsassaPkcs1Verify: verification,
  RsassaPssVerify: verification,
  EcdsaP1363Verify: verification,
};

/** In the direction that makes something there is nothing invalid: the test says what must come out. */
function onlyValid(one: VectorTest, attempt: Attempt): readonly Attempt[] {
  return one.result === 'valid' ? [attempt] : [];
}

function verification(_file: VectorFile, group: VectorGroup, one: VectorTest): readonly Attempt[] {
  const read = understandSignatures(group);
  if (read === undefined) return [];
  const digest = createHash(read.hash).update(hex(one['msg'])).digest();
  return [
    {
      operation: 'verify',
      key: { planted: group },
      body: { alg: read.algorithm, digest: text(digest), value: text(hex(one['sig'])) },
      isRight: (value) => value === true,
    },
  ];
}

const AT_ONCE = 8;
/** The HSM's own suites try every vector in each run; here that is left to the soak. */
const OF_EACH_KIND = 3;

/** By what Wycheproof says that a test is about. */
function kindOf([{ result, flags }, { operation, body }]: readonly [VectorTest, Attempt]): string {
  return [operation, body['alg'], result, ...flags].join(' ');
}

describe("Wycheproof's vectors, through the service", () => {
  const { production, admin, atEnd } = useProduction({ STRONGROOM_WORKERS: '1' });
  let planter: Planter;
  /** By what makes the key: its name in the service, or undefined where the service doesn't take it. */
  const names = new Map<string, Promise<string | undefined>>();

  beforeAll(async () => {
    planter = await openPlanter(production.database.serviceUrl);
    atEnd(planter);
  }, 60_000);

  function nameOf(key: Attempt['key']): Promise<string | undefined> {
    const made = 'planted' in key ? key.planted['publicKey'] : key.jwk;
    const id = createHash('sha256').update(JSON.stringify(made)).digest('hex').slice(0, 32);
    const known =
      names.get(id) ?? ('planted' in key ? plant(id, key.planted) : imported(id, key.jwk));
    names.set(id, known);
    return known;
  }

  async function imported(name: string, key: object): Promise<string | undefined> {
    const answer = await admin('PUT', `/keys/${name}`, { key });
    if (answer.status === 200) return name;
    if (answer.status === 400) return undefined;
    throw new Error(`import: ${answer.status} ${answer.text}`);
  }

  async function plant(name: string, group: VectorGroup): Promise<string | undefined> {
    const read = understandSignatures(group);
    if (read === undefined) return undefined;
    const identity = {
      name: parseKeyName(name),
      version: parseKeyVersionId(randomBytes(16).toString('hex')),
      operations: ['verify'],
      exportable: false,
      origin: 'imported',
    } as const;
    const { spec, publicKey } = read;
    await planter.plant([{ identity, spec, publicKey, blob: unopenable() }]);
    return name;
  }

  /** Whether the service accepted it, and rightly; undefined where it doesn't take the key. */
  async function tryOut({ key, operation, body, isRight }: Attempt): Promise<boolean | undefined> {
    const name = await nameOf(key);
    if (name === undefined) return undefined;
    const answer = await admin('POST', `/keys/${name}/${operation}`, body);
    if (answer.status === 400) return false;
    if (answer.status !== 200) throw new Error(`${operation}: ${answer.status} ${answer.text}`);
    return isRight(answer.json<{ value: unknown }>().value);
  }

  test.each(FILES.map((file) => [file.name, file] as const))(
    '%s: every valid one is accepted, every invalid one refused',
    async (name, file) => {
      const tallies = new Map<string, Tally>();
      let [skipped, notTaken] = [0, 0];
      const attempts = file.testGroups.flatMap((group) =>
        group.tests.flatMap((one) => {
          const asked = ATTEMPTS[String(group['type'])]?.(file, group, one) ?? [];
          if (asked.length === 0) skipped += 1;
          return asked.map((attempt) => [one, attempt] as const);
        }),
      );
      const waiting = sample(attempts, kindOf, OF_EACH_KIND).values();
      const tryOnes = async () => {
        for (const [one, attempt] of waiting) {
          const tally = tallies.get(attempt.operation) ?? new Tally();
          tallies.set(attempt.operation, tally);
          const isAccepted = await tryOut(attempt);
          if (isAccepted === undefined) notTaken += 1;
          else tally.add(one, isAccepted);
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, tryOnes));
      console.info(
        [
          ...[...tallies].map(([operation, tally]) => `${name}, ${operation}: ${String(tally)}`),
          ...(skipped === 0 ? [] : [`${skipped} of keys or parameters that the service lacks`]),
          ...(notTaken === 0 ? [] : [`${notTaken} of keys that it refused to import`]),
        ].join('; '),
      );
      expect([...tallies.values()].flatMap(({ disagreements }) => disagreements)).toEqual([]);
    },
    120_000,
  );
});
