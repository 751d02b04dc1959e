import { createPrivateKey, X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import type { Identity } from './certificates.ts';
import { readIfPresent, writeFileAtomically } from '../private-file.ts';
import { SetupError } from '../setup-error.ts';

export interface DevelopmentCertificate {
  /** For clients to trust. */
  readonly caFile: string;
  /** PEM. */
  readonly certificate: string;
  /** PEM. */
  readonly privateKey: string;
}

export interface DevelopmentCertificateOptions {
  /** The parent domain of the pools; it and its subdomains are named besides the standard names. */
  readonly domain: string;
  readonly now?: Date;
}

const STANDARD_NAMES = [
  'localhost',
  '127.0.0.1',
  '::1',
  'strongroom.localhost',
  '*.strongroom.localhost',
  // The host as containers see it.
  'host.docker.internal',
];
const RENEW_BEFORE_MS = 30 * 24 * 3_600_000;

/**
 * Gives the server certificate of the data folder's own CA, and makes or renews either where needed: in the last 30
 * days, or when the names differ. The CA outlives its server certificates, so clients trust it once.
 */
export async function prepareDevelopmentCertificate(
  folder: string,
  { domain, now = new Date() }: DevelopmentCertificateOptions,
): Promise<DevelopmentCertificate> {
  const caFile = join(folder, 'ca.pem');
  const names = [...new Set([...STANDARD_NAMES, domain, `*.${domain}`])];
  // Key and certificate in one file, so that they can't part.
  const serverFile = join(folder, 'server.pem');
  const server = await readIfPresent(serverFile);
  const known = identityOf(server);
  const ca = await readIfPresent(caFile);
  const begin =
    'remove ca.pem, ca-key.pem and server.pem together, and clients trust the ca.pem of the next start';
  if (ca === undefined && server !== undefined)
    throw new SetupError(
      `The certificate of the development CA is lost: ${caFile} is gone, which clients trust. Put it back; or ${begin}.`,
    );
  if (ca !== undefined && !isCertificate(ca))
    throw new SetupError(
      `${caFile} holds no certificate that can be read. Put it back; or ${begin}.`,
    );
  if (known !== undefined && ca !== undefined && isUsable(known, ca, names, now))
    return { caFile, ...known };

  const { makeAuthority, makeServerIdentity } = await import('./certificates.ts');
  const caKeyFile = join(folder, 'ca-key.pem');
  const caKey = await readIfPresent(caKeyFile);
  if (caKey !== undefined && !isPrivateKey(caKey))
    throw new SetupError(
      `${caKeyFile} holds no private key that can be read. Put it back; or ${begin}.`,
    );
  let authority = pairOf(ca, caKey, now);
  if (authority === undefined) {
    authority = await makeAuthority('Strongroom development CA', now);
    await writeFileAtomically(caKeyFile, authority.privateKey);
    await writeFileAtomically(caFile, authority.certificate, 0o644);
  }
  const made = await makeServerIdentity(authority, names, now);
  await writeFileAtomically(serverFile, made.certificate + made.privateKey);
  return { caFile, ...made };
}

function isCertificate(text: string | undefined): text is string {
  try {
    return text !== undefined && new X509Certificate(text).raw.length > 0;
  } catch {
    return false;
  }
}

function isPrivateKey(text: string | undefined): text is string {
  try {
    return text !== undefined && createPrivateKey(text).type === 'private';
  } catch {
    return false;
  }
}

function isUsable(server: Identity, ca: string, names: readonly string[], now: Date): boolean {
  const certificate = new X509Certificate(server.certificate);
  const issuer = new X509Certificate(ca);
  return (
    certificate.checkIssued(issuer) &&
    certificate.verify(issuer.publicKey) &&
    lastsBeyondRenewal(certificate, now) &&
    sameNames(certificate, names)
  );
}

/** Key and certificate of the CA, where both are there, fit, and last; a start may have been cut off between the two. */
function pairOf(
  certificate: string | undefined,
  privateKey: string | undefined,
  now: Date,
): Identity | undefined {
  if (certificate === undefined || privateKey === undefined) return undefined;
  const parsed = new X509Certificate(certificate);
  const fits = parsed.checkPrivateKey(createPrivateKey(privateKey));
  return fits && lastsBeyondRenewal(parsed, now) ? { certificate, privateKey } : undefined;
}

function lastsBeyondRenewal(certificate: X509Certificate, now: Date): boolean {
  return Date.parse(certificate.validTo) - now.getTime() > RENEW_BEFORE_MS;
}

function sameNames(certificate: X509Certificate, names: readonly string[]): boolean {
  // Node writes ::1 in full.
  const wanted = names.map((name) => (name === '::1' ? '0:0:0:0:0:0:0:1' : name));
  const named = (certificate.subjectAltName ?? '')
    .split(', ')
    .map((entry) => entry.replace(/^(DNS|IP Address):/, ''));
  return [...named].sort().join() === wanted.sort().join();
}

const PARTS =
  /^(?<certificate>-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n)(?<privateKey>-----BEGIN PRIVATE KEY-----.*-----END PRIVATE KEY-----\n)$/s;

function identityOf(text: string | undefined): Identity | undefined {
  const { certificate, privateKey } = PARTS.exec(text ?? '')?.groups ?? {};
  // One that can't be read is made again: clients trust the CA, not it.
  return isCertificate(certificate) && isPrivateKey(privateKey)
    ? { certificate, privateKey }
    : undefined;
}
