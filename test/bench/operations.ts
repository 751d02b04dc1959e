import { randomBytes } from 'node:crypto';
import type { Answer, Caller } from '../support/client.ts';
import type { LoadRequest } from './load-plan.ts';
import type { RawName } from './raw-operations.ts';

/** What is measured, under the names that the JSON file has. */
export interface Operation {
  readonly name: string;
  /** The HSM's part; none for what needs no HSM. */
  readonly raw?: RawName;
  /** Managed HSM's own figure, a second. */
  readonly managedHsm?: number;
  /** So slow that a round of usual length holds a few only. */
  readonly isSlow?: boolean;
  /** Of the keys; asks the service for what the request needs. */
  readonly request: (keys: BenchKeys, call: Call) => Promise<LoadRequest>;
}

/** Paths of keys of the service, each with its version: /keys/{name}/{version}. */
export interface BenchKeys {
  readonly aes: string;
  readonly rsa: string;
  readonly ec: string;
}

type Call = (
  method: 'GET' | 'POST',
  path: string,
  body?: object,
) => Promise<Record<string, unknown>>;

/**
 * Operations a second of one partition of a Managed HSM, one key repeated: Azure's scaling guidance,
 * https://learn.microsoft.com/azure/key-vault/managed-hsm/scaling-guidance (December 2025). It has none for AES-GCM and
 * random bytes; three partitions do up to three times as many.
 */
const MANAGED_HSM = {
  create: 1,
  get: 1100,
  aesWrap: 2100,
  aesUnwrap: 2200,
  rsaWrap: 2200,
  rsaUnwrap: 1100,
  rsaSign: 900,
  rsaVerify: 3400,
  p256Sign: 330,
  p256Verify: 130,
} as const;

const API_VERSION = 'api-version=2025-07-01';
/** A data key, or a digest. */
const VALUE = randomBytes(32).toString('base64url');

const post = (path: string, body: object): LoadRequest => ({
  method: 'POST',
  path: `${path}?${API_VERSION}`,
  body: JSON.stringify(body),
});

/** Calls as the bench does, and wants a success. */
export function callerOf(caller: Caller): Call {
  return async (method, path, body) => {
    const answer: Answer = await caller(method, `${path}?${API_VERSION}`, body);
    if (answer.status !== 200)
      throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    return answer.json<Record<string, unknown>>();
  };
}

export async function makeKeys(call: Call, suffix = ''): Promise<BenchKeys> {
  const create = async (name: string, body: object) => {
    const { key } = (await call('POST', `/keys/${name}${suffix}/create`, body)) as {
      key: { kid: string };
    };
    return new URL(key.kid).pathname;
  };
  return {
    aes: await create('bench-aes', { kty: 'oct-HSM', key_size: 256 }),
    rsa: await create('bench-rsa', { kty: 'RSA-HSM', key_size: 2048 }),
    ec: await create('bench-ec', { kty: 'EC-HSM', crv: 'P-256' }),
  };
}

/** Encrypts or wraps, and what undoes it. */
function cipherPair(
  alg: string,
  key: 'aes' | 'rsa',
  [there, back]: readonly ['wrapkey' | 'encrypt', 'unwrapkey' | 'decrypt'],
): readonly [Operation['request'], Operation['request']] {
  return [
    (keys) => Promise.resolve(post(`${keys[key]}/${there}`, { alg, value: VALUE })),
    async (keys, call) => {
      const done = await call('POST', `${keys[key]}/${there}`, { alg, value: VALUE });
      const { iv, tag, value } = done;
      const body = { alg, value, ...(iv !== undefined && { iv, tag }) };
      const undone = await call('POST', `${keys[key]}/${back}`, body);
      if (undone['value'] !== VALUE) throw new Error(`${alg}: ${back} gave other bytes`);
      return post(`${keys[key]}/${back}`, body);
    },
  ];
}

function signPair(
  alg: string,
  key: 'rsa' | 'ec',
): readonly [Operation['request'], Operation['request']] {
  return [
    (keys) => Promise.resolve(post(`${keys[key]}/sign`, { alg, value: VALUE })),
    async (keys, call) => {
      const { value } = await call('POST', `${keys[key]}/sign`, { alg, value: VALUE });
      const body = { alg, digest: VALUE, value };
      const verified = await call('POST', `${keys[key]}/verify`, body);
      if (verified['value'] !== true) throw new Error(`${alg}: a signature did not verify`);
      return post(`${keys[key]}/verify`, body);
    },
  ];
}

const create = (body: object): Operation['request'] => {
  const kind = randomBytes(4).toString('hex');
  return () => Promise.resolve(post(`/keys/new-${kind}-{}/create`, body));
};

const [wrap, unwrap] = cipherPair('A256KW', 'aes', ['wrapkey', 'unwrapkey']);
const [encrypt, decrypt] = cipherPair('A256GCM', 'aes', ['encrypt', 'decrypt']);
const [rsaWrap, rsaUnwrap] = cipherPair('RSA-OAEP-256', 'rsa', ['wrapkey', 'unwrapkey']);
const [rs256Sign, rs256Verify] = signPair('RS256', 'rsa');
const [ps256Sign, ps256Verify] = signPair('PS256', 'rsa');
const [es256Sign, es256Verify] = signPair('ES256', 'ec');

export const OPERATIONS: readonly Operation[] = [
  { name: 'A256KW wrap', raw: 'AES wrap', managedHsm: MANAGED_HSM.aesWrap, request: wrap },
  { name: 'A256KW unwrap', raw: 'AES unwrap', managedHsm: MANAGED_HSM.aesUnwrap, request: unwrap },
  { name: 'A256GCM encrypt', raw: 'GCM encrypt', request: encrypt },
  { name: 'A256GCM decrypt', raw: 'GCM decrypt', request: decrypt },
  {
    name: 'RSA-2048 RSA-OAEP-256 wrap',
    raw: 'RSA encrypt',
    managedHsm: MANAGED_HSM.rsaWrap,
    request: rsaWrap,
  },
  {
    name: 'RSA-2048 RSA-OAEP-256 unwrap',
    raw: 'RSA decrypt',
    managedHsm: MANAGED_HSM.rsaUnwrap,
    request: rsaUnwrap,
  },
  {
    name: 'RSA-2048 RS256 sign',
    raw: 'RS256 sign',
    managedHsm: MANAGED_HSM.rsaSign,
    request: rs256Sign,
  },
  {
    name: 'RSA-2048 RS256 verify',
    raw: 'RS256 verify',
    managedHsm: MANAGED_HSM.rsaVerify,
    request: rs256Verify,
  },
  {
    name: 'RSA-2048 PS256 sign',
    raw: 'PS256 sign',
    managedHsm: MANAGED_HSM.rsaSign,
    request: ps256Sign,
  },
  {
    name: 'RSA-2048 PS256 verify',
    raw: 'PS256 verify',
    managedHsm: MANAGED_HSM.rsaVerify,
    request: ps256Verify,
  },
  {
    name: 'P-256 ES256 sign',
    raw: 'ES256 sign',
    managedHsm: MANAGED_HSM.p256Sign,
    request: es256Sign,
  },
  {
    name: 'P-256 ES256 verify',
    raw: 'ES256 verify',
    managedHsm: MANAGED_HSM.p256Verify,
    request: es256Verify,
  },
  {
    name: 'get key',
    managedHsm: MANAGED_HSM.get,
    request: ({ rsa }) => Promise.resolve({ method: 'GET', path: `${rsa}?${API_VERSION}` }),
  },
  {
    name: 'create P-256',
    raw: 'create P-256',
    managedHsm: MANAGED_HSM.create,
    request: create({ kty: 'EC-HSM', crv: 'P-256' }),
  },
  {
    name: 'create RSA-2048',
    raw: 'create RSA-2048',
    managedHsm: MANAGED_HSM.create,
    isSlow: true,
    request: create({ kty: 'RSA-HSM', key_size: 2048 }),
  },
  {
    name: 'random bytes',
    raw: 'random',
    request: () => Promise.resolve(post('/rng', { count: 32 })),
  },
];
