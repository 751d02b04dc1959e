import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { rootCertificates } from 'node:tls';

/** Where systems keep the certificate authorities that they trust: Debian and Alpine, Fedora, SUSE, macOS and the BSDs. */
const SYSTEM_FILES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** The authorities that this system trusts; where it has no file of them, those that Node.js brings along. */
export async function readSystemAuthorities(
  files: readonly string[] = SYSTEM_FILES,
): Promise<readonly X509Certificate[]> {
  for (const file of files) {
    const found = certificatesIn(await readFile(file, 'utf8').catch(() => ''));
    if (found.length > 0) return found;
  }
  return certificatesIn(rootCertificates.join('\n'));
}

/** The certificates of a PEM text, each once. One that can't be read is left out: a client would stumble over it too. */
export function certificatesIn(text: string): readonly X509Certificate[] {
  const found = new Map<string, X509Certificate>();
  for (const [pem] of text.matchAll(CERTIFICATE)) {
    const certificate = parse(pem);
    if (certificate !== undefined) found.set(certificate.fingerprint256, certificate);
  }
  return [...found.values()];
}

function parse(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}
