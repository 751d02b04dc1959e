import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomUUID,
} from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface RsaKeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

const OWNERS = ['suite', 'hsm'] as const;
type Owner = (typeof OWNERS)[number];
const PRIMES = JSON.parse(
  readFileSync(new URL('./rsa-primes.json', import.meta.url), 'utf8'),
) as Readonly<Record<number, readonly (readonly [p: string, q: string])[]>>;
const EXPONENT = 65_537n;

const known = new Map<string, RsaKeyPair>();
const taken = new Map<number, number>();

/** An RSA key pair that this suite hasn't had yet. Other suites have it too, since one takes long to make. */
export function rsaKeyPair(bits: number): RsaKeyPair {
  const count = taken.get(bits) ?? 0;
  taken.set(bits, count + 1);
  return nthRsaKeyPair('suite', bits, count);
}

/** The same one each time in a suite; no two of different owners, sizes or numbers are the same. */
export function nthRsaKeyPair(owner: Owner, bits: number, index: number): RsaKeyPair {
  const name = `${owner} ${String(bits)} ${String(index)}`;
  const pair = known.get(name) ?? readOrMake(owner, bits, index);
  known.set(name, pair);
  return pair;
}

/** Of primes that are known, where there are some left: to find them is what takes long. */
function readOrMake(owner: Owner, bits: number, index: number): RsaKeyPair {
  const folder = process.env['STRONGROOM_TEST_FOLDER'];
  const primes = PRIMES[bits]?.[2 * index + OWNERS.indexOf(owner)];
  if (primes !== undefined) return fromPrimes(primes);
  const file = folder === undefined ? undefined : join(folder, `rsa-${owner}-${bits}-${index}.pem`);
  const pem = file === undefined ? undefined : readIfThere(file);
  if (pem !== undefined) {
    const privateKey = createPrivateKey(pem);
    return { privateKey, publicKey: createPublicKey(privateKey) };
  }
  const pair = generateKeyPairSync('rsa', { modulusLength: bits });
  if (file !== undefined) {
    // Moved into its place: another suite may read it at any moment.
    const temporary = `${file}.${randomUUID()}`;
    writeFileSync(temporary, pair.privateKey.export({ format: 'pem', type: 'pkcs8' }));
    renameSync(temporary, file);
  }
  return pair;
}

function fromPrimes(primes: readonly [p: string, q: string]): RsaKeyPair {
  const [p, q] = primes.map((prime) =>
    BigInt(`0x${Buffer.from(prime, 'base64url').toString('hex')}`),
  ) as [bigint, bigint];
  const d = inverse(EXPONENT, (p - 1n) * (q - 1n));
  const key = Object.entries({
    ...{ n: p * q, e: EXPONENT, d, p, q },
    ...{ dp: d % (p - 1n), dq: d % (q - 1n), qi: inverse(q, p) },
  }).map(([name, number]) => [name, text(number)]);
  const privateKey = createPrivateKey({
    key: { kty: 'RSA', ...(Object.fromEntries(key) as Record<string, string>) },
    format: 'jwk',
  });
  return { privateKey, publicKey: createPublicKey(privateKey) };
}

/** By the extended Euclidean algorithm. */
function inverse(number: bigint, modulus: bigint): bigint {
  let [rest, next] = [modulus, number % modulus];
  let [factor, nextFactor] = [0n, 1n];
  while (next !== 0n) {
    const quotient = rest / next;
    [rest, next] = [next, rest - quotient * next];
    [factor, nextFactor] = [nextFactor, factor - quotient * nextFactor];
  }
  return factor < 0n ? factor + modulus : factor;
}

function text(number: bigint): string {
  const hex = number.toString(16);
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex').toString('base64url');
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
