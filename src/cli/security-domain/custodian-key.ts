import { createPrivateKey, type KeyObject } from 'node:crypto';
import { OperatorError } from '../../core/operator-error.ts';
import { readNamedFile } from './named-file.ts';

/** PKCS#8 (RFC 7468 §11), and OpenSSL's older form (RFC 1421 §4.6.1.1). */
const ENCRYPTED = ['-----BEGIN ENCRYPTED PRIVATE KEY-----', 'Proc-Type: 4,ENCRYPTED'];

export interface CustodianKey {
  readonly path: string;
  readonly privateKey: KeyObject;
}

/**
 * @param paths PEM files
 * @param passphrasePaths for those of them that are encrypted, in the same order
 * @throws OperatorError that names the file, and nothing of what is in it
 */
export async function readCustodianKeys(
  paths: readonly string[],
  passphrasePaths: readonly string[],
): Promise<readonly CustodianKey[]> {
  const passphrases = passphrasePaths.values();
  const keys: CustodianKey[] = [];
  for (const path of paths)
    keys.push({
      path,
      privateKey: await readNamedFile(path, (pem) => readKey(path, pem, passphrases)),
    });
  const [left] = passphrases;
  if (left !== undefined)
    throw new OperatorError(
      `${left}: There are more passphrase files than keys that are encrypted.`,
    );
  return keys;
}

async function readKey(
  path: string,
  pem: Buffer,
  passphrasePaths: Iterator<string>,
): Promise<KeyObject> {
  const isEncrypted = ENCRYPTED.some((words) => pem.includes(words));
  const passphrase = isEncrypted ? await readPassphrase(path, passphrasePaths) : undefined;
  try {
    return createPrivateKey({ key: pem, ...(passphrase !== undefined && { passphrase }) });
  } catch {
    // OpenSSL's own words are left out: they may quote what it has read.
    throw new OperatorError(
      isEncrypted
        ? `${path}: The passphrase does not open this private key.`
        : `${path}: It holds no private key in PEM.`,
    );
  } finally {
    pem.fill(0);
    passphrase?.fill(0);
  }
}

async function readPassphrase(path: string, paths: Iterator<string>): Promise<Buffer> {
  const { value } = paths.next() as { readonly value?: string };
  if (value === undefined)
    throw new OperatorError(
      `${path}: This private key is encrypted: give the file with its passphrase (--passphrase-file).`,
    );
  return readNamedFile(value, (bytes) => {
    const end = bytes.at(-1) === 0x0a ? (bytes.at(-2) === 0x0d ? 2 : 1) : 0;
    const passphrase = Buffer.from(bytes.subarray(0, bytes.length - end));
    bytes.fill(0);
    return passphrase;
  });
}
