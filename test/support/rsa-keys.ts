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

const known = new Map<string, RsaKeyPair>();
const taken = new Map<number, number>();

/** An RSA key pair that this suite hasn't had yet. Other suites of the run may have had it, since one takes long to make. */
export function rsaKeyPair(bits: number): RsaKeyPair {
  const count = taken.get(bits) ?? 0;
  taken.set(bits, count + 1);
  return nthRsaKeyPair('suite', bits, count);
}

/** The same one each time in a suite; no two of different owners, sizes or numbers are the same. */
export function nthRsaKeyPair(owner: string, bits: number, index: number): RsaKeyPair {
  const name = `rsa-${owner}-${String(bits)}-${String(index)}`;
  const pair = known.get(name) ?? readOrMake(name, bits);
  known.set(name, pair);
  return pair;
}

function readOrMake(name: string, bits: number): RsaKeyPair {
  const folder = process.env['STRONGROOM_TEST_FOLDER'];
  const file = folder === undefined ? undefined : join(folder, `${name}.pem`);
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

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
