import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  type JsonWebKey,
  publicEncrypt,
  randomBytes,
  verify,
} from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { ml_dsa44, ml_dsa65, ml_dsa87 } from '@noble/post-quantum/ml-dsa.js';
import {
  ALGORITHMS,
  CURVE,
  type Curve,
  CURVES,
  PARAMETER_SETS,
  type ParameterSet,
} from '../../src/core/operations/algorithms.ts';
import { muOf } from '../../src/hsm/capabilities/ml-dsa-trial.ts';
import { readMlDsaPkcs8 } from '../../src/hsm/keys/pkcs8.ts';
import type { Answer, Caller } from '../support/client.ts';
import { outsideEc, outsideRsa, wrapForTransfer } from '../support/plain-keys.ts';
import type { Recipient } from './recipient.ts';

/** Node.js 20 has no ML-DSA. */
const NOBLE = { 'ML-DSA-44': ml_dsa44, 'ML-DSA-65': ml_dsa65, 'ML-DSA-87': ml_dsa87 };
const MESSAGE = Buffer.from('a message of any length');

/** What a pool is asked to do, over REST, and whether the result holds outside it. Each has keys of its own. */
export const OPERATIONS = {
  'RSA: RS256, PS256': async (admin) => {
    const key = await create(admin, { kty: 'RSA-HSM', key_size: 2048 });
    for (const [alg, padding] of [
      ['RS256', { padding: constants.RSA_PKCS1_PADDING }],
      ['PS256', { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }],
    ] as const)
      await signAndVerify(admin, key, alg, 'sha256', padding);
  },
  'RSA: RSA-OAEP, RSA-OAEP-256': async (admin) => {
    const key = await create(admin, { kty: 'RSA-HSM', key_size: 2048 });
    for (const [alg, oaepHash] of [
      ['RSA-OAEP', 'sha1'],
      ['RSA-OAEP-256', 'sha256'],
    ] as const) {
      const value = randomBytes(32);
      const wrapped = publicEncrypt({ key: key.publicKey, oaepHash }, value);
      await opens(admin, `${key.path}/unwrapkey`, { alg, value: text(wrapped) }, value);
      const { value: ours } = await post(admin, `${key.path}/wrapkey`, { alg, value: text(value) });
      await opens(admin, `${key.path}/unwrapkey`, { alg, value: ours }, value);
    }
  },
  'RSA: imported': async (admin) => {
    const path = await importKey(admin, outsideRsa(2048).jwk);
    const key = publicOf(path, await get(admin, path));
    await signAndVerify(admin, key, 'RS256', 'sha256', {});
  },
  ...eachCurve(),
  'EC: imported': async (admin) => {
    const path = await importKey(admin, outsideEc('P-256').jwk);
    const key = publicOf(path, await get(admin, path));
    await signAndVerify(admin, key, 'ES256', 'sha256', { dsaEncoding: 'ieee-p1363' });
  },
  'RSA: transferred': async (admin) => {
    const { privateKey } = outsideRsa(2048);
    const path = await transfer(admin, 'RSA-HSM', privateKey.export(PKCS8));
    const key = publicOf(path, await get(admin, path));
    await signAndVerify(admin, key, 'RS256', 'sha256', {});
  },
  'EC: transferred': async (admin) => {
    const { privateKey } = outsideEc('P-256');
    const path = await transfer(admin, 'EC-HSM', privateKey.export(PKCS8));
    const key = publicOf(path, await get(admin, path));
    await signAndVerify(admin, key, 'ES256', 'sha256', { dsaEncoding: 'ieee-p1363' });
  },
  'oct: A256KW': async (admin) => {
    const { path, secret } = await octKey(admin);
    const value = randomBytes(32);
    const { value: wrapped } = await post(admin, `${path}/wrapkey`, {
      alg: 'A256KW',
      value: text(value),
    });
    const cipher = createDecipheriv('id-aes256-wrap', secret, Buffer.alloc(8, 0xa6));
    const opened = Buffer.concat([cipher.update(bytes(wrapped)), cipher.final()]);
    same(opened, value);
    await opens(admin, `${path}/unwrapkey`, { alg: 'A256KW', value: wrapped }, value);
  },
  'oct: CKM_AES_KEY_WRAP_PAD': async (admin) => {
    const { path, secret } = await octKey(admin);
    const value = randomBytes(21);
    const alg = 'CKM_AES_KEY_WRAP_PAD';
    const { value: wrapped } = await post(admin, `${path}/wrapkey`, { alg, value: text(value) });
    const cipher = createCipheriv('id-aes256-wrap-pad', secret, Buffer.from('a65959a6', 'hex'));
    same(Buffer.concat([cipher.update(value), cipher.final()]), bytes(wrapped));
    await opens(admin, `${path}/unwrapkey`, { alg, value: wrapped }, value);
  },
  'oct: A256GCM': async (admin) => {
    const { path, secret } = await octKey(admin);
    const value = randomBytes(40);
    const alg = 'A256GCM';
    const sealed = await post(admin, `${path}/encrypt`, { alg, value: text(value), aad: 'AAAA' });
    const cipher = createDecipheriv('aes-256-gcm', secret, bytes(sealed.iv));
    cipher.setAAD(Buffer.from('AAAA', 'base64url')).setAuthTag(bytes(sealed.tag));
    same(Buffer.concat([cipher.update(bytes(sealed.value)), cipher.final()]), value);
    const { iv, tag } = sealed;
    const opening = { alg, value: sealed.value, iv, tag, aad: 'AAAA' };
    await opens(admin, `${path}/decrypt`, opening, value);
    await isRefused(admin, `${path}/decrypt`, { ...opening, aad: 'BBBB' });
  },
  'oct: A256CBCPAD': async (admin) => {
    const { path } = await octKey(admin);
    const value = randomBytes(21);
    const alg = 'A256CBCPAD';
    const sealed = await post(admin, `${path}/encrypt`, {
      ...{ alg, value: text(value), iv: text(randomBytes(16)) },
    });
    const opening = { alg, value: sealed.value, iv: sealed.iv };
    await opens(admin, `${path}/decrypt`, opening, value);
    await isRefused(admin, `${path}/decrypt`, { ...opening, value: text(randomBytes(31)) });
  },
  'oct: HS256': async (admin) => {
    const { path, secret } = await octKey(admin);
    const digest = randomBytes(32);
    const alg = 'HS256';
    const { value } = await post(admin, `${path}/sign`, { alg, value: text(digest) });
    same(createHmac('sha256', secret).update(digest).digest(), bytes(value));
    await post(admin, `${path}/verify`, { alg, digest: text(digest), value });
  },
  'oct: made': async (admin) => {
    const name = newName();
    await post(admin, `/keys/${name}/create`, { kty: 'oct-HSM', key_size: 256 });
    const value = randomBytes(32);
    const alg = 'A256KW';
    const path = `/keys/${name}`;
    const { value: wrapped } = await post(admin, `${path}/wrapkey`, { alg, value: text(value) });
    await opens(admin, `${path}/unwrapkey`, { alg, value: wrapped }, value);
  },
  'RSA: released': (admin, recipient) =>
    releasesPair(admin, recipient, { kty: 'RSA-HSM', key_size: 2048 }),
  'EC: released': (admin, recipient) =>
    releasesPair(admin, recipient, { kty: 'EC-HSM', crv: 'P-256' }),
  'oct: released': async (admin, recipient) => {
    const path = `/keys/${newName()}`;
    await post(admin, `${path}/create`, { kty: 'oct-HSM', key_size: 256, ...recipient.exportable });
    const value = randomBytes(32);
    const wrapped = await post(admin, `${path}/wrapkey`, { alg: 'A256KW', value: text(value) });
    const decipher = createDecipheriv(
      'id-aes256-wrap',
      await released(admin, recipient, path),
      Buffer.alloc(8, 0xa6),
    );
    same(Buffer.concat([decipher.update(bytes(wrapped.value)), decipher.final()]), value);
  },
  'ML-DSA: released': async (admin, recipient) => {
    for (const alg of PARAMETER_SETS) {
      const { path, jwk } = await newMlDsaKey(admin, alg, recipient.exportable);
      const key = readMlDsaPkcs8(await released(admin, recipient, path));
      const secret = 'seed' in key ? NOBLE[alg].keygen(key.seed).secretKey : key.value;
      const value = text(NOBLE[alg].sign(MESSAGE, secret));
      await verifies(admin, path, { digest: text(MESSAGE), value }, true);
      same(Buffer.from(NOBLE[alg].getPublicKey(secret)), bytes(jwk['pub'] as string));
    }
  },
  'ML-DSA: made': async (admin) => {
    for (const alg of PARAMETER_SETS) {
      const { path, jwk } = await newMlDsaKey(admin, alg);
      await signsMlDsa(admin, path, jwk);
      const { value } = await post(admin, `${path}/sign`, { value: text(MESSAGE) });
      await sent(admin('POST', `${path}/rotate`));
      const rotated = await get(admin, path);
      await signsMlDsa(admin, path, rotated);
      if (rotated['pub'] === jwk['pub']) throw new Error('the rotated key is the same');
      const old = `/keys/${(jwk['kid'] as string).split('/keys/')[1] ?? ''}`;
      await verifies(admin, old, { digest: text(MESSAGE), value }, true);
      await verifies(admin, path, { digest: text(MESSAGE), value }, false);
    }
  },
  'ML-DSA: imported': async (admin) => {
    for (const alg of PARAMETER_SETS) {
      const seed = randomBytes(32);
      const { publicKey } = NOBLE[alg].keygen(seed);
      const key = { kty: 'AKP', alg, pub: text(publicKey), priv: text(seed) };
      const path = await importKey(admin, key);
      const jwk = await get(admin, path);
      if (jwk['pub'] !== key.pub || jwk['alg'] !== alg) throw new Error('another key came out');
      await signsMlDsa(admin, path, jwk);
      const other = NOBLE[alg].keygen(randomBytes(32)).publicKey;
      const mixed = { kty: 'AKP', alg, pub: text(other), priv: text(seed) };
      const answer = await admin('PUT', `/keys/${newName()}`, { key: mixed });
      if (answer.status !== 400) throw new Error('halves of two keys were taken');
    }
  },
  'ML-DSA: external_mu': async (admin) => {
    for (const alg of PARAMETER_SETS) {
      const { path, jwk } = await newMlDsaKey(admin, alg);
      const pub = bytes(jwk['pub'] as string);
      const mu = muOf(pub, Buffer.from('here'), MESSAGE);
      const { value } = await post(admin, `${path}/sign`, { external_mu: text(mu) });
      if (!NOBLE[alg].verify(bytes(value), MESSAGE, pub, { context: Buffer.from('here') }))
        throw new Error("a signature of mu doesn't hold outside");
      await verifies(admin, path, { external_mu: text(mu), value }, true);
      await verifies(admin, path, { external_mu: text(randomBytes(64)), value }, false);
      await verifies(
        admin,
        path,
        { digest: text(MESSAGE), context: text(Buffer.from('here')), value },
        true,
      );
    }
  },
  'ML-DSA: backup and restore': async (admin) => {
    const { path, jwk } = await newMlDsaKey(admin, 'ML-DSA-65');
    const { value } = await post(admin, `${path}/sign`, { value: text(MESSAGE) });
    const { value: blob } = await post(admin, `${path}/backup`, undefined);
    await sent(admin('DELETE', path));
    await sent(admin('DELETE', path.replace('/keys/', '/deletedkeys/')));
    await post(admin, '/keys/restore', { value: blob });
    const restored = await get(admin, path);
    if (restored['pub'] !== jwk['pub']) throw new Error('another key was restored');
    await signsMlDsa(admin, path, restored);
    await verifies(admin, path, { digest: text(MESSAGE), value }, true);
  },
  'backup and restore': async (admin) => {
    const { path } = await octKey(admin);
    const value = randomBytes(32);
    const alg = 'A256KW';
    const { value: wrapped } = await post(admin, `${path}/wrapkey`, { alg, value: text(value) });
    const { value: blob } = await post(admin, `${path}/backup`, undefined);
    await sent(admin('DELETE', path));
    await sent(admin('DELETE', path.replace('/keys/', '/deletedkeys/')));
    await post(admin, '/keys/restore', { value: blob });
    await opens(admin, `${path}/unwrapkey`, { alg, value: wrapped }, value);
  },
} satisfies Record<string, (admin: Caller, recipient: Recipient) => Promise<void>>;

/** What is refused, and how that reads. */
export interface Refusal {
  readonly what: string;
  readonly words: string;
}

export type OperationName = keyof typeof OPERATIONS;

/** What became of each: `works`, or the status and the code of the answer that it ended with. */
export async function tryOperations(
  admin: Caller,
  recipient: Recipient,
): Promise<{ readonly outcome: Record<string, string>; readonly refused: readonly Refusal[] }> {
  const outcome: Record<string, string> = {};
  const refused: Refusal[] = [];
  const caller = askingAgain(admin);
  const { module } = (await sent(caller('GET', '/capabilities'))).json<{ module: string }>();
  for (const [name, run] of Object.entries(OPERATIONS)) {
    try {
      await run(caller, recipient);
      outcome[name] = 'works';
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      outcome[name] = error.saidOf(module);
      refused.push({ what: name, words: error.message });
    }
  }
  return { outcome, refused };
}

const TRIES = 3;
const PAUSE_MS = 500;

/** As Azure's libraries do where they are told to come back: what is away for longer than that stays refused. */
function askingAgain(call: Caller): Caller {
  return async (...given) => {
    for (let tries = 1; ; tries += 1) {
      const answer = await call(...given);
      const isPassing = answer.status === 503 && answer.headers['retry-after'] !== undefined;
      if (!isPassing || tries === TRIES) return answer;
      await delay(PAUSE_MS);
    }
  };
}

class RefusedError extends Error {
  readonly said: string;

  readonly status: number;

  constructor({ status, text: body }: Answer) {
    const { error } = JSON.parse(body) as { error: { code: string; message: string } };
    super(error.message);
    this.status = status;
    this.said = `${String(status)} ${error.code}`;
  }

  /** What is refused for want of something in the module names it. */
  saidOf(module: string): string {
    return this.status !== 400 || this.message.includes(module)
      ? this.said
      : `${this.said} that does not name the module`;
  }
}

interface MadeKey {
  readonly path: string;
  readonly publicKey: ReturnType<typeof createPublicKey>;
}
type Members = Readonly<Record<string, string>>;
/** Of an operation. */
interface Result {
  readonly value: string;
  readonly iv: string;
  readonly tag: string;
}

const PKCS8 = { format: 'der', type: 'pkcs8' } as const;
const text = (value: Uint8Array) => Buffer.from(value).toString('base64url');
const bytes = (value: string) => Buffer.from(value, 'base64url');
let names = 0;
const newName = () => `tried-${String((names += 1))}`;

function same(ours: Buffer, theirs: Buffer): void {
  if (!ours.equals(theirs)) throw new Error(`${text(ours)} isn't ${text(theirs)}`);
}

async function sent(answer: Promise<Answer>): Promise<Answer> {
  const came = await answer;
  if (came.status >= 300) throw new RefusedError(came);
  return came;
}

async function post(admin: Caller, path: string, body: unknown): Promise<Result> {
  return (await sent(admin('POST', path, body))).json<Result>();
}

async function get(admin: Caller, path: string): Promise<JsonWebKey> {
  return (await sent(admin('GET', path))).json<{ key: JsonWebKey }>().key;
}

async function opens(admin: Caller, path: string, body: object, value: Buffer): Promise<void> {
  const answer = await post(admin, path, body);
  same(bytes(answer.value), value);
}

async function isRefused(admin: Caller, path: string, body: object): Promise<void> {
  const answer = await admin('POST', path, body);
  if (answer.status !== 400) throw new Error(`${path} answered ${String(answer.status)}`);
}

function publicOf(path: string, jwk: JsonWebKey): MadeKey {
  const crv = jwk.crv === undefined ? {} : { crv: CURVE[jwk.crv as Curve].jwk };
  const key = { ...jwk, ...crv, kty: (jwk.kty ?? '').replace('-HSM', '') };
  return { path, publicKey: createPublicKey({ key, format: 'jwk' }) };
}

async function create(admin: Caller, body: object): Promise<MadeKey> {
  const path = `/keys/${newName()}`;
  await post(admin, `${path}/create`, body);
  return publicOf(path, await get(admin, path));
}

async function importKey(admin: Caller, jwk: Members): Promise<string> {
  const path = `/keys/${newName()}`;
  await sent(admin('PUT', path, { key: jwk }));
  return path;
}

async function octKey(admin: Caller): Promise<{ path: string; secret: Buffer }> {
  const secret = randomBytes(32);
  return { secret, path: await importKey(admin, { kty: 'oct-HSM', k: text(secret) }) };
}

/** By CKM_RSA_AES_KEY_WRAP, as another HSM would give it out. */
async function transfer(admin: Caller, kty: string, key: Uint8Array): Promise<string> {
  const exchange = `/keys/${newName()}`;
  await post(admin, `${exchange}/create`, { kty: 'RSA-HSM', key_size: 2048, key_ops: ['import'] });
  const { kid, ...jwk } = (await get(admin, exchange)) as JsonWebKey & { readonly kid: string };
  const blob = {
    schema_version: '1.0.0',
    header: { kid, alg: 'dir', enc: 'CKM_RSA_AES_KEY_WRAP' },
    ciphertext: text(wrapForTransfer(publicOf(exchange, jwk).publicKey, key)),
  };
  const keyHsm = Buffer.from(JSON.stringify(blob)).toString('base64url');
  return importKey(admin, { kty, key_hsm: keyHsm });
}

async function released(admin: Caller, recipient: Recipient, path: string): Promise<Buffer> {
  const body = { target: await recipient.target() };
  return recipient.open((await post(admin, `${path}/release`, body)).value);
}

/** What comes out is the private half of what the pool has. */
async function releasesPair(admin: Caller, recipient: Recipient, body: object): Promise<void> {
  const { path, publicKey } = await create(admin, { ...body, ...recipient.exportable });
  const key = await released(admin, recipient, path);
  const pair = createPublicKey(createPrivateKey({ key, format: 'der', type: 'pkcs8' }));
  if (!pair.equals(publicKey)) throw new Error('another key was released');
}

async function newMlDsaKey(admin: Caller, alg: ParameterSet, more: object = {}) {
  const path = `/keys/${newName()}`;
  await post(admin, `${path}/create`, { kty: 'AKP', alg, ...more });
  const jwk = await get(admin, path);
  if (jwk.kty !== 'AKP-HSM' || jwk['alg'] !== alg) throw new Error('it is another key');
  return { path, jwk };
}

/** With and without a context, with and without alg: what is signed here holds outside, and here there and nowhere else. */
async function signsMlDsa(admin: Caller, path: string, jwk: JsonWebKey): Promise<void> {
  const alg = jwk['alg'] as ParameterSet;
  const pub = bytes(jwk['pub'] as string);
  const contexts = [undefined, Buffer.from('here'), Buffer.alloc(255, 7)];
  for (const message of [MESSAGE, Buffer.alloc(0), randomBytes(100_000)])
    for (const context of contexts) {
      const bound = context === undefined ? {} : { context: text(context) };
      const signed = { alg, value: text(message), ...bound };
      const { value } = await post(admin, `${path}/sign`, signed);
      const options = context === undefined ? {} : { context };
      if (!NOBLE[alg].verify(bytes(value), message, pub, options))
        throw new Error(`a signature by ${alg} doesn't hold outside`);
      const again = await post(admin, `${path}/sign`, { value: text(message), ...bound });
      if (again.value === value) throw new Error(`${alg} signs without random numbers`);
      await verifies(admin, path, { alg, digest: text(message), value, ...bound }, true);
      const another = { ...bound, digest: text(Buffer.from('another')), value };
      await verifies(admin, path, another, false);
      const elsewhere = context === undefined ? { context: 'AAAA' } : {};
      await verifies(admin, path, { digest: text(message), value, ...elsewhere }, false);
      const cut = value.slice(0, -4);
      await verifies(admin, path, { digest: text(message), value: cut, ...bound }, false);
    }
  const outside = text(randomBytes(256));
  await isRefused(admin, `${path}/sign`, { value: 'AAAA', context: outside });
}

async function verifies(admin: Caller, path: string, body: object, expected: boolean) {
  const answer = await post(admin, `${path}/verify`, body);
  if ((answer.value as unknown) !== expected) throw new Error(`verify said ${answer.value}`);
}

/** A key of each curve, made in the pool. */
function eachCurve() {
  const operations = CURVES.map((crv) => [`EC: ${crv}`, (admin: Caller) => ecKey(admin, crv)]);
  return Object.fromEntries(operations) as Record<`EC: ${Curve}`, (admin: Caller) => Promise<void>>;
}

async function ecKey(admin: Caller, crv: Curve): Promise<void> {
  const key = await create(admin, { kty: 'EC-HSM', crv });
  const { algorithm } = CURVE[crv];
  const hash = `sha${ALGORITHMS[algorithm].digestBytes * 8}`;
  await signAndVerify(admin, key, algorithm, hash, { dsaEncoding: 'ieee-p1363' });
}

/** Signs here and verifies outside; verifies here too, a signature that is right and one that isn't. */
async function signAndVerify(
  admin: Caller,
  { path, publicKey }: MadeKey,
  alg: string,
  hash: string,
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const message = randomBytes(50);
  const digest = text(createHash(hash).update(message).digest());
  const { value } = await post(admin, `${path}/sign`, { alg, value: digest });
  const isRight = verify(hash, message, { key: publicKey, ...options }, bytes(value));
  if (!isRight) throw new Error(`a signature by ${alg} doesn't hold outside`);
  const wrong = text(createHash(hash).update('another').digest());
  for (const [given, expected] of [
    [digest, true],
    [wrong, false],
  ] as const) {
    const answer = await post(admin, `${path}/verify`, { alg, digest: given, value });
    if ((answer.value as unknown) !== expected)
      throw new Error(`${alg}: verify said ${answer.value}`);
  }
}
