import type { X509Certificate } from 'node:crypto';
import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readIfPresent, writeFileAtomically } from '../private-file.ts';
import { certificatesIn, readSystemAuthorities } from './system-authorities.ts';

/** Files by which clients trust the service beside everything that they trust anyway. */
export interface ClientTrust {
  /** PEM: the system's authorities and ours. */
  readonly bundleFile: string;
  /** The same as a PKCS#12 store, for Java. */
  readonly trustStoreFile: string;
  readonly trustStorePassword: string;
}

/** The one that Java's own trust store has. It keeps nothing secret. */
const PASSWORD = 'changeit';
const PUBLIC = 0o644;
/** Of a subject, whichever there is. */
const NAMES = [/^CN=(?<value>.{1,100})/m, /^OU?=(?<value>.{1,100})/m];

/**
 * Writes the trust files, and writes them anew where what the system trusts has changed: to make a store takes longer than
 * most of a start.
 * @param caFile of our authority, or of the service's certificate, PEM
 */
export async function writeClientTrust(
  folder: string,
  caFile: string,
  systemFiles?: readonly string[],
): Promise<ClientTrust> {
  const ours = certificatesIn(await readFile(caFile, 'utf8'));
  const known = new Set(ours.map(({ fingerprint256 }) => fingerprint256));
  const systems = await readSystemAuthorities(systemFiles);
  const others = systems.filter(({ fingerprint256 }) => !known.has(fingerprint256));
  const bundleFile = join(folder, 'ca-bundle.pem');
  const trustStoreFile = join(folder, 'ca.p12');
  const trust = { bundleFile, trustStoreFile, trustStorePassword: PASSWORD };
  const bundle = [...ours, ...others].map((one) => one.toString()).join('');
  // It is written last: where it is there, the store of the same certificates has been written whole.
  if ((await readIfPresent(bundleFile)) === bundle && (await isThere(trustStoreFile))) return trust;
  const { makeTrustStore } = await import('./trust-store.ts');
  const store = await makeTrustStore(
    new Map([
      ...ours.map((one, at) => [at === 0 ? 'strongroom' : `strongroom-${at + 1}`, one] as const),
      ...others.map((one) => [aliasOf(one), one] as const),
    ]),
    PASSWORD,
  );
  await writeFileAtomically(trustStoreFile, store, PUBLIC);
  await writeFileAtomically(bundleFile, bundle, PUBLIC);
  return trust;
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** A name for people, and a part that no other certificate has: Java keeps one certificate under an alias. */
function aliasOf({ subject, fingerprint256 }: X509Certificate): string {
  const found = NAMES.map((name) => name.exec(subject)?.groups?.['value']);
  const name = found.find((value) => value !== undefined);
  const digest = fingerprint256.replaceAll(':', '').slice(0, 16).toLowerCase();
  return `${name ?? 'authority'} [${digest}]`;
}
