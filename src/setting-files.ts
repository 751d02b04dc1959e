import { readFile } from 'node:fs/promises';
import { type Config, ConfigError, type Secrets } from './config.ts';
import { IssuersFileError, parseIssuers } from './identity/issuers-file.ts';
import { type WorkerSettings } from './worker-protocol.ts';

/** What stands in the files that settings name. A file that can't be used stops the start. */

/** @throws ConfigError without a PIN */
export async function readPin(secrets: Secrets): Promise<string> {
  if (secrets.pin !== undefined) return secrets.pin;
  if (secrets.pinFile === undefined) throw new ConfigError('PKCS11_PIN is missing.');
  return (await readText('PKCS11_PIN_FILE', secrets.pinFile)).trim();
}

/** The server's certificate and key, as PEM. */
export async function readCertificate({ tls }: Config): Promise<WorkerSettings['tls']> {
  if (tls === undefined) throw new TypeError('no certificate is configured');
  const [certificate, privateKey] = await Promise.all([
    readText('STRONGROOM_TLS_CERT_FILE', tls.certificateFile),
    readText('STRONGROOM_TLS_KEY_FILE', tls.keyFile),
  ]);
  return { certificate, privateKey };
}

/** What the settings say of attestation authorities. @throws ConfigError */
export async function readAttestation({
  attestation: { authorities, caFile },
}: Config): Promise<WorkerSettings['attestation']> {
  const extraCa =
    caFile === undefined ? undefined : await readCa('STRONGROOM_ATTESTATION_CA_FILE', caFile);
  return {
    ...(authorities !== undefined && { authorities }),
    ...(extraCa !== undefined && { extraCa }),
  };
}

/** The issuers that are trusted besides the directory. @throws ConfigError that names the line */
export async function readIssuers({
  issuers: { file, caFile },
}: Config): Promise<Pick<WorkerSettings, 'issuers' | 'issuersCa'>> {
  const issuersCa =
    caFile === undefined ? undefined : await readCa('STRONGROOM_ISSUERS_CA_FILE', caFile);
  return {
    issuers: file === undefined ? [] : await readIssuersFile(file),
    ...(issuersCa !== undefined && { issuersCa }),
  };
}

async function readIssuersFile(file: string): Promise<WorkerSettings['issuers']> {
  const content = await readText('STRONGROOM_ISSUERS_FILE', file);
  try {
    return parseIssuers(content);
  } catch (error) {
    if (!(error instanceof IssuersFileError)) throw error;
    throw new ConfigError(`STRONGROOM_ISSUERS_FILE: ${file}: ${error.message}`);
  }
}

/** What it lacks would make everything that needs it fail, one by one and much later. */
async function readCa(setting: string, file: string): Promise<string> {
  const pem = await readText(setting, file);
  if (!pem.includes('-----BEGIN CERTIFICATE-----'))
    throw new ConfigError(`${setting}: must hold certificates as PEM`);
  return pem;
}

async function readText(setting: string, file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError(`${setting}: ${file} cannot be read (${code ?? 'unknown error'})`);
  }
}
