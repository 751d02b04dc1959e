import { parseDomainOrBlob } from '../../backup/security-domain/domain-text.ts';
import { readRsaCertificate } from '../../core/recovery/security-domain/rsa-certificate.ts';
import type { SealedEntry } from '../../core/recovery/security-domain/domain-entries.ts';
import type { CliContext } from '../cli-context.ts';
import { readNamedFile } from './named-file.ts';

export interface InspectOptions {
  readonly certificate?: readonly string[];
  readonly json?: true;
}

/** `strongroom security-domain inspect`: what stands readable in a file; nothing is opened. */
export async function inspectDomain(
  { print }: CliContext,
  path: string,
  options: InspectOptions,
): Promise<void> {
  const found = await readNamedFile(path, (bytes) => parseDomainOrBlob(bytes.toString('utf8')));
  const files = new Map<string, string>();
  for (const file of options.certificate ?? [])
    files.set((await readNamedFile(file, readRsaCertificate)).thumbprint, file);
  const outline = outlineOf(found, files);
  if (options.json === true) print(JSON.stringify(outline, null, 2));
  else for (const line of describe(outline)) print(line);
}

type Outline = ReturnType<typeof outlineOf>;

function outlineOf(
  found: ReturnType<typeof parseDomainOrBlob>,
  files: ReadonlyMap<string, string>,
) {
  const { required, keys, entries } =
    'domain' in found
      ? { ...found.domain, keys: found.domain.shares }
      : { ...found.blob, keys: [found.blob.wrappedMaster], required: undefined };
  return {
    kind: 'domain' in found ? 'security domain' : 'restore blob',
    ...(required !== undefined && { required }),
    certificates: keys.map(({ thumbprint }) => ({ thumbprint, file: files.get(thumbprint) })),
    entries: entries.map((entry) => ({ tag: entry.tag, bytes: sizeOf(entry) })),
  };
}

/** Of the ciphertext, the fourth part of a compact JWE, which is up to 16 bytes longer than what is in it. */
function sizeOf({ envelope }: SealedEntry): number {
  return Buffer.byteLength(envelope.split('.')[3] ?? '', 'base64url');
}

function describe({ required, certificates, entries }: Outline): string[] {
  return [
    required === undefined
      ? 'A restore blob, for the pool whose transfer key has this certificate (SHA-256 in base64url):'
      : `A security domain: ${required} of ${certificates.length} custodians open it, by the keys of these certificates (SHA-256 in base64url):`,
    ...certificates.map(
      ({ thumbprint, file }) => `  ${thumbprint}${file === undefined ? '' : `  ${file}`}`,
    ),
    'It holds, encrypted:',
    ...entries.map(({ tag, bytes }) => `  ${tag} (${bytes.toLocaleString('en')} bytes)`),
  ];
}
