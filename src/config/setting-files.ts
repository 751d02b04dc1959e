import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { z } from 'zod';
import { type Config, ConfigError, type Secrets } from './config.ts';
import { inWords, OperatorError } from '../core/operator-error.ts';
import type { S3Credentials, StorageSettings } from '../core/recovery/jobs/ports.ts';
import { withoutUndefined } from '../core/without-undefined.ts';

/** What stands in the files that settings name. A file that can't be used stops the start. */

export interface AttestationSettings {
  /** The authorities that are believed; none where absent. */
  readonly authorities?: readonly string[];
  /** PEM of certificate authorities that theirs may come from, besides the public ones. */
  readonly extraCa?: string;
}

/** The server's certificate, with those that lead to its authority, and its private key: PEM. */
export interface TlsIdentity {
  readonly certificate: string;
  readonly privateKey: string;
}

/** @throws ConfigError without a PIN */
export async function readPin(secrets: Secrets): Promise<string> {
  if (secrets.pin !== undefined) return secrets.pin;
  if (secrets.pinFile === undefined) throw new ConfigError('PKCS11_PIN is missing.');
  return readPinFile('PKCS11_PIN_FILE', secrets.pinFile);
}

/** @param setting that names the file @throws ConfigError */
export async function readPinFile(setting: string, file: string | undefined): Promise<string> {
  if (file === undefined) throw new ConfigError(`${setting} is missing.`);
  const pin = (await readText(setting, file)).trim();
  if (pin === '') throw new ConfigError(`${setting}: ${file} is empty.`);
  return pin;
}

export async function readCertificate({ tls }: Config): Promise<TlsIdentity> {
  if (tls === undefined) throw new TypeError('no certificate is configured');
  const [certificate, privateKey] = await Promise.all([
    readText('STRONGROOM_TLS_CERT_FILE', tls.certificateFile),
    readText('STRONGROOM_TLS_KEY_FILE', tls.keyFile),
  ]);
  requirePair(tls, certificate, privateKey);
  return { certificate, privateKey };
}

/** What TLS would refuse in every worker, or to every client. @throws ConfigError that names the file */
function requirePair(
  { certificateFile, keyFile }: NonNullable<Config['tls']>,
  certificate: string,
  privateKey: string,
): void {
  const usable = <T>(setting: string, file: string, what: string, read: () => T): T => {
    try {
      return read();
    } catch (error) {
      throw new ConfigError(`${setting}: ${file} holds no ${what} that can be used.`, {
        cause: error,
      });
    }
  };
  const first = usable('STRONGROOM_TLS_CERT_FILE', certificateFile, 'certificate', () => {
    createSecureContext({ cert: certificate });
    return new X509Certificate(certificate);
  });
  const what = 'private key without a passphrase, as PEM,';
  const key = usable('STRONGROOM_TLS_KEY_FILE', keyFile, what, () => createPrivateKey(privateKey));
  if (!first.checkPrivateKey(key))
    throw new ConfigError(
      `STRONGROOM_TLS_KEY_FILE: ${keyFile} is not the key of the first certificate in ${certificateFile} (STRONGROOM_TLS_CERT_FILE).`,
    );
  usable('STRONGROOM_TLS_CERT_FILE', certificateFile, 'certificate', () =>
    createSecureContext({ cert: certificate, key: privateKey }),
  );
}

const TokensFile = z.array(
  z.strictObject({
    label: z.string().min(1).max(32),
    module: z.string().min(1),
    pinFile: z.string().min(1),
    libraryParameters: z.string().min(1).max(4096).optional(),
    keyWrapMechanism: z.number().int().min(0).max(0xffff_ffff).optional(),
    objectLimit: z.number().int().min(1).max(10_000_000).optional(),
  }),
);

/** A PKCS#11 token that a pool may have. */
export type TokenSettings = NonNullable<Config['pkcs11']> & { readonly pin: string };

/** The tokens besides the default pool's. @throws ConfigError that names the file and what is wrong in it */
export async function readTokens({
  tokensFile,
  pkcs11,
}: Config): Promise<readonly TokenSettings[]> {
  if (tokensFile === undefined) return [];
  const setting = 'STRONGROOM_TOKENS_FILE';
  const wrong = (what: string) => new ConfigError(`${setting}: ${tokensFile}: ${what}`);
  const read = TokensFile.safeParse(parseJson(await readText(setting, tokensFile), wrong));
  const issue = read.error?.issues[0];
  if (issue !== undefined) throw wrong(`${issue.path.join('.') || 'it'}: ${issue.message}.`);
  const labels = [pkcs11?.tokenLabel, ...(read.data ?? []).map(({ label }) => label)];
  const twice = labels.find((label, index) => label !== undefined && labels.indexOf(label) < index);
  if (twice !== undefined) throw wrong(`two tokens have the label "${twice}".`);
  return Promise.all(
    (read.data ?? []).map(async ({ label, pinFile, ...token }) => ({
      ...withoutUndefined(token),
      tokenLabel: label,
      pin: await readPinFile(`pinFile of the token "${label}" (${setting})`, pinFile),
    })),
  );
}

function parseJson(text: string, wrong: (what: string) => ConfigError): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw wrong('it is no JSON.');
  }
}

/** What the settings say of attestation authorities. @throws ConfigError */
export async function readAttestation({
  attestation: { authorities, caFile },
}: Config): Promise<AttestationSettings> {
  const extraCa =
    caFile === undefined ? undefined : await readCa('STRONGROOM_ATTESTATION_CA_FILE', caFile);
  return {
    ...(authorities !== undefined && { authorities }),
    ...(extraCa !== undefined && { extraCa }),
  };
}

/**
 * The issuers that are trusted besides the directory.
 * @param parse reads the file's content, and throws an OperatorError that names the line
 * @throws ConfigError that names the file and the line
 */
export async function readIssuers<Issuer>(
  { issuers: { file, caFile } }: Config,
  parse: (content: string) => readonly Issuer[],
): Promise<{ readonly issuers: readonly Issuer[]; readonly issuersCa?: string }> {
  const issuersCa =
    caFile === undefined ? undefined : await readCa('STRONGROOM_ISSUERS_CA_FILE', caFile);
  return {
    issuers: file === undefined ? [] : await readIssuersFile(file, parse),
    ...(issuersCa !== undefined && { issuersCa }),
  };
}

async function readIssuersFile<Issuer>(
  file: string,
  parse: (content: string) => readonly Issuer[],
): Promise<readonly Issuer[]> {
  const content = await readText('STRONGROOM_ISSUERS_FILE', file);
  try {
    return parse(content);
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    throw new ConfigError(`STRONGROOM_ISSUERS_FILE: ${file}: ${error.message}`);
  }
}

/** Where backups may lie, and the credentials for it. @throws ConfigError */
export async function readBackupStorage({
  backups: { hosts, sas, caFile, s3 },
}: Pick<Config, 'backups'>): Promise<StorageSettings> {
  const [token, extraCa, credentials] = await Promise.all([
    sas && readText('STRONGROOM_BACKUP_SAS_FILE', sas.file),
    caFile && readCa('STRONGROOM_BACKUP_CA_FILE', caFile),
    s3?.credentialsFile && readS3Credentials(s3.credentialsFile),
  ]);
  return {
    ...withoutUndefined({ hosts, extraCa }),
    ...(sas !== undefined &&
      token !== undefined && { sas: { container: sas.container, token: token.trim() } }),
    ...(s3 !== undefined && {
      s3: {
        origin: s3.origin,
        region: s3.region,
        bucket: s3.bucket,
        ...(credentials !== undefined && credentials !== '' && { credentials }),
      },
    }),
  };
}

async function readS3Credentials(file: string): Promise<S3Credentials> {
  const setting = 'STRONGROOM_BACKUP_S3_CREDENTIALS_FILE';
  const text = await readText(setting, file);
  const find = (name: string): string => {
    const value = new RegExp(`^[ \\t]*${name}[ \\t]*=[ \\t]*(\\S+)[ \\t]*$`, 'm').exec(text)?.[1];
    if (value === undefined) throw new ConfigError(`${setting}: ${file} has no line ${name} = …`);
    return value;
  };
  return {
    accessKeyId: find('aws_access_key_id'),
    secretAccessKey: find('aws_secret_access_key'),
  };
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** What it lacks would make everything that needs it fail, one by one and much later. */
async function readCa(setting: string, file: string): Promise<string> {
  const pem = await readText(setting, file);
  const certificates = pem.match(CERTIFICATE) ?? [];
  if (certificates.length === 0)
    throw new ConfigError(`${setting}: ${file} must hold certificates as PEM`);
  for (const [index, certificate] of certificates.entries())
    try {
      new X509Certificate(certificate);
    } catch (error) {
      throw new ConfigError(
        `${setting}: certificate ${index + 1} in ${file} can't be read as one.`,
        { cause: error },
      );
    }
  return pem;
}

async function readText(setting: string, file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new ConfigError(
      `${setting}: ${file} cannot be read: ${inWords(error) ?? String(error)}.`,
      { cause: error },
    );
  }
}
