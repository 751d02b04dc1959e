import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { ALGORITHMS, CURVE } from '../../src/core/operations/algorithms.ts';
import type { Answer, Caller } from './client.ts';
import { isSealed } from './keeping.ts';
import { outsideEc, outsideRsa, wrapForTransfer } from './plain-keys.ts';

/** Something that isn't right, for an operation that takes it to the HSM. */
export interface Garbage {
  /** As the audit log names it. */
  readonly operation: string;
  /** For sentences. */
  readonly what: string;
  readonly send: (caller: Caller) => Promise<Answer>;
}

/** The operations on keys that take what a caller sends to the HSM, as the audit log names them. */
export const REACHING = [
  ...['KeyEncrypt', 'KeyDecrypt', 'KeyWrap', 'KeyUnwrap', 'KeySign', 'KeyVerify'],
  ...['KeyCreate', 'KeyImport', 'KeyRotate', 'KeyBackup', 'KeyRestore'],
  ...['KeyRelease', 'KeySecureWrap', 'KeySecureUnwrap', 'KeyAttestation', 'RandomBytesGet'],
] as const;

const KEYS = {
  rsa: { kty: 'RSA-HSM', key_size: 2048 },
  exchange: { kty: 'RSA-HSM', key_size: 2048, key_ops: ['import'] },
  ...Object.fromEntries(Object.keys(CURVE).map((crv) => [`ec-${crv}`, { kty: 'EC-HSM', crv }])),
  ...Object.fromEntries(
    [128, 192, 256].map((key_size) => [`oct-${String(key_size)}`, { kty: 'oct-HSM', key_size }]),
  ),
};

const text = (value: Uint8Array) => Buffer.from(value).toString('base64url');
const random = (bytes: number) => text(randomBytes(bytes));
const PKCS8 = { format: 'der', type: 'pkcs8' } as const;

/** Around the blocks, keys and digests that there are; none, and many. */
const PLAIN_BYTES = [0, 1, 15, 16, 17, 24, 32, 200, 246, 256, 4_096, 4_104, 60_000];
const CIPHER_BYTES = [0, 1, 8, 16, 24, 31, 32, 40, 255, 256, 257, 4_104, 60_000];
const SIGNATURE_BYTES = [0, 1, 32, 63, 64, 65, 96, 132, 255, 256, 257, 4_096];

/**
 * With keys of its own, as far as the HSM has such keys: their names begin with `prefix`.
 * @param hasBackups whether the pool's keys can be backed up
 */
export async function makeGarbage(
  admin: Caller,
  prefix: string,
  hasBackups = isSealed,
): Promise<readonly Garbage[]> {
  const kept = new Map<
    string,
    { readonly n?: string; readonly e?: string; readonly kid: string }
  >();
  for (const [name, body] of Object.entries(KEYS)) {
    const answer = await admin('POST', `/keys/${prefix}-${name}/create`, body);
    if (answer.status === 200)
      kept.set(name, answer.json<{ key: { n?: string; e?: string; kid: string } }>().key);
    else if (answer.status !== 400) throw new Error(`${name}: ${answer.text}`);
  }
  const exchange = kept.get('exchange');
  const post = (operation: string, path: string, body: unknown, what = ''): Garbage => ({
    operation,
    what: `${path} ${what}`,
    send: (caller) => caller('POST', path, body),
  });
  return [
    ...uses([...kept.keys()], prefix, post),
    ...creations(prefix, post),
    ...imports(prefix, exchange),
    ...others(prefix, [...kept.keys()], post),
    ...(await restorations(admin, `/keys/${prefix}-oct-256`, hasBackups && kept.has('oct-256'))),
  ];
}

type Post = (operation: string, path: string, body: unknown, what?: string) => Garbage;

/** Each algorithm with a key that it fits. */
function uses(keys: readonly string[], prefix: string, post: Post): readonly Garbage[] {
  return Object.entries(ALGORITHMS).flatMap(([alg, facts]) => {
    const bits = 'bits' in facts ? facts.bits : 256;
    const key =
      facts.keyType === 'RSA-HSM'
        ? 'rsa'
        : facts.keyType === 'EC-HSM'
          ? `ec-${facts.curve}`
          : facts.keyType === 'AKP-HSM'
            ? facts.parameterSet
            : `oct-${String(bits)}`;
    if (!keys.includes(key)) return [];
    const path = `/keys/${prefix}-${key}`;
    return facts.uses.flatMap((use) => {
      if (use === 'sign') return signatures(path, alg, facts, post);
      const [to, from] = use === 'cipher' ? ['encrypt', 'decrypt'] : ['wrapkey', 'unwrapkey'];
      const [into, outOf] = use === 'cipher' ? ['Encrypt', 'Decrypt'] : ['Wrap', 'Unwrap'];
      const ivBytes = 'mode' in facts ? [facts.mode.ivBytes, 0, facts.mode.ivBytes + 1] : [0];
      return [
        ...PLAIN_BYTES.map((bytes) => {
          const body = { alg, value: random(bytes), ...(isBlock(facts) && { iv: random(16) }) };
          return post(`Key${into}`, `${path}/${to}`, body, `${alg} ${String(bytes)}`);
        }),
        ...CIPHER_BYTES.flatMap((bytes) =>
          ivBytes.map((iv) => {
            const body = {
              alg,
              value: random(bytes),
              iv: random(iv),
              tag: random(iv === 0 ? 1 : 16),
            };
            return post(`Key${outOf}`, `${path}/${from}`, body, `${alg} ${String(bytes)}`);
          }),
        ),
      ];
    });
  });
}

function isBlock(facts: (typeof ALGORITHMS)[keyof typeof ALGORITHMS]): boolean {
  return 'mode' in facts && facts.mode.name === 'CBC';
}

function signatures(path: string, alg: string, facts: object, post: Post): readonly Garbage[] {
  const right = 'digestBytes' in facts ? Number(facts.digestBytes) : 32;
  return [
    ...[0, 1, 20, right - 1, right + 1, 245, 246, 60_000].map((bytes) =>
      post('KeySign', `${path}/sign`, { alg, value: random(bytes) }, `${alg} ${String(bytes)}`),
    ),
    ...SIGNATURE_BYTES.flatMap((bytes) =>
      [right, right + 1].map((digest) =>
        post(
          'KeyVerify',
          `${path}/verify`,
          { alg, digest: random(digest), value: random(bytes) },
          `${alg} ${String(bytes)}`,
        ),
      ),
    ),
  ];
}

function creations(prefix: string, post: Post): readonly Garbage[] {
  return [
    ...[0, 1, 1024, 2047, 2049, 8192, 2 ** 31].map((key_size) => ({ kty: 'RSA-HSM', key_size })),
    ...[0, 1, 4, 2 ** 31].map((public_exponent) => ({ kty: 'RSA-HSM', public_exponent })),
    ...['P-224', '', 'secp112r1'].map((crv) => ({ kty: 'EC-HSM', crv })),
    ...[0, 8, 64, 255, 512, 2 ** 31].map((key_size) => ({ kty: 'oct-HSM', key_size })),
  ].map((body) => post('KeyCreate', `/keys/${prefix}-none/create`, body, JSON.stringify(body)));
}

function imports(
  prefix: string,
  exchange: { readonly n?: string; readonly e?: string; readonly kid: string } | undefined,
): readonly Garbage[] {
  const rsa = outsideRsa(2048).jwk;
  const other = outsideRsa(2048).jwk;
  const ec = outsideEc('P-256').jwk;
  const put = (what: string, key: object): Garbage => ({
    operation: 'KeyImport',
    what,
    send: (caller) => caller('PUT', `/keys/${prefix}-imported`, { key }),
  });
  const plain = [
    ...['n', 'd', 'p', 'q', 'dp', 'dq', 'qi'].flatMap((member) => [
      put(`RSA with another ${member}`, { ...rsa, [member]: other[member] }),
      put(`RSA with no ${member}`, { ...rsa, [member]: '' }),
    ]),
    put('RSA of 1024 bits', outsideRsa(1024).jwk),
    ...['x', 'y', 'd'].flatMap((member) =>
      [0, 1, 31, 32, 33].map((bytes) =>
        put(`EC with ${member} of ${String(bytes)} bytes`, { ...ec, [member]: random(bytes) }),
      ),
    ),
    put('EC with d of zeros', { ...ec, d: text(Buffer.alloc(32)) }),
    put('EC with d beyond the order', { ...ec, d: text(Buffer.alloc(32, 0xff)) }),
    ...[0, 1, 15, 17, 31, 33, 64, 4_096].map((bytes) =>
      put(`oct of ${String(bytes)} bytes`, { kty: 'oct-HSM', k: random(bytes) }),
    ),
  ];
  if (exchange === undefined) return plain;
  const publicKey = createPublicKey({
    key: { kty: 'RSA', n: exchange.n ?? '', e: exchange.e ?? '' },
    format: 'jwk',
  });
  const transfer = (what: string, kty: string, ciphertext: Uint8Array) => {
    const blob = {
      schema_version: '1.0.0',
      header: { kid: exchange.kid, alg: 'dir', enc: 'CKM_RSA_AES_KEY_WRAP' },
      ciphertext: text(ciphertext),
    };
    return put(what, { kty, key_hsm: text(Buffer.from(JSON.stringify(blob))) });
  };
  const wrapped = (key: Uint8Array) => wrapForTransfer(publicKey, key);
  const strange = generateKeyPairSync('ec', { namedCurve: 'secp224r1' }).privateKey.export(PKCS8);
  return [
    ...plain,
    ...['RSA-HSM', 'EC-HSM', 'oct-HSM'].flatMap((kty) => [
      ...[0, 1, 255, 256, 264, 272, 600, 16_384, 16_392].map((bytes) =>
        transfer(`${kty} of ${String(bytes)} bytes by transfer`, kty, randomBytes(bytes)),
      ),
      ...[1, 7, 15, 33, 1_000].map((bytes) =>
        transfer(
          `${kty} of ${String(bytes)} bytes, well wrapped`,
          kty,
          wrapped(randomBytes(bytes)),
        ),
      ),
      transfer(`${kty} that is a P-224 key`, kty, wrapped(strange)),
    ]),
    transfer('RSA that is EC', 'RSA-HSM', wrapped(outsideEc('P-256').privateKey.export(PKCS8))),
    transfer('EC that is RSA', 'EC-HSM', wrapped(outsideRsa(2048).privateKey.export(PKCS8))),
    transfer('RSA of 1024 bits', 'RSA-HSM', wrapped(outsideRsa(1024).privateKey.export(PKCS8))),
  ];
}

const NEWEST = '?api-version=2026-05-01-preview';
const TOKEN = `${text(Buffer.from('{"alg":"RS256"}'))}.e30.${random(256)}`;

function others(prefix: string, keys: readonly string[], post: Post): readonly Garbage[] {
  return [
    ...[-1, 0, 129, 2 ** 31, 0.5].map((count) => post('RandomBytesGet', '/rng', { count })),
    ...keys.flatMap((key) => {
      const path = `/keys/${prefix}-${key}`;
      const none = `${path}/${'f'.repeat(32)}`;
      const secure = { alg: key === 'rsa' ? 'RSA-OAEP-256' : 'A256KW', target: TOKEN };
      return [
        post('KeyRelease', `${path}/release`, { target: TOKEN, enc: 'CKM_RSA_AES_KEY_WRAP' }),
        post('KeyRelease', `${path}/release`, { target: random(60_000) }),
        post('KeySecureWrap', `${path}/securewrapkey${NEWEST}`, { alg: 'A128KW' }),
        post('KeySecureWrap', `${path}/securewrapkey${NEWEST}`, { alg: random(20) }),
        ...[0, 40, 256, 60_000].map((bytes) =>
          post('KeySecureUnwrap', `${path}/secureunwrapkey${NEWEST}`, {
            ...secure,
            value: random(bytes),
          }),
        ),
        {
          operation: 'KeyAttestation',
          what: none,
          send: (caller: Caller) => caller('GET', `${none}/attestation`),
        },
      ];
    }),
    post('KeyRotate', `/keys/${prefix}-none/rotate`, undefined),
    post('KeyBackup', `/keys/${prefix}-none/backup`, undefined),
  ];
}

/** Backups that were altered in one place, cut off, or never were any. */
async function restorations(
  admin: Caller,
  path: string,
  isThere: boolean,
): Promise<readonly Garbage[]> {
  const values = [0, 1, 16, 600, 60_000].map(random);
  if (isThere) {
    const { value } = (await admin('POST', `${path}/backup`)).json<{ value: string }>();
    const backup = Buffer.from(value, 'base64url');
    for (let at = 0; at < backup.length; at += Math.ceil(backup.length / 20)) {
      const altered = Buffer.from(backup);
      altered[at] = (altered[at] ?? 0) ^ 1;
      values.push(text(altered), text(backup.subarray(0, at)));
    }
  }
  return values.map((value) => ({
    operation: 'KeyRestore',
    what: `a backup of ${String(value.length)} characters`,
    send: (caller) => caller('POST', '/keys/restore', { value }),
  }));
}

export interface Sent {
  /** By operation: how often which status. */
  readonly statuses: Readonly<Record<string, Readonly<Record<number, number>>>>;
  /** Where the answer says that it was the service's fault. */
  readonly faults: readonly string[];
}

/** Sends all of it, so many at a time. */
export async function sendGarbage(
  caller: Caller,
  garbage: readonly Garbage[],
  atOnce: number,
): Promise<Sent> {
  const statuses: Record<string, Record<number, number>> = {};
  const faults: string[] = [];
  const waiting = garbage.values();
  const sendOnes = async () => {
    for (const { operation, what, send } of waiting) {
      const { status, text: body } = await send(caller);
      const counts = (statuses[operation] ??= {});
      counts[status] = (counts[status] ?? 0) + 1;
      if (status >= 500) faults.push(`${operation} ${what}: ${String(status)} ${body}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, sendOnes));
  return { statuses, faults };
}
