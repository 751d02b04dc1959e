import { deriveEntryKey } from './entry-key.ts';
import type { Envelopes } from './envelopes.ts';

/** What a security domain holds: bytes under a name. */
export interface DomainEntry {
  /** Stands readable in the file, and is bound to the bytes. */
  readonly tag: string;
  readonly plaintext: Uint8Array;
}

export interface SealedEntry {
  readonly tag: string;
  readonly envelope: string;
}

/** Of the secret that all entries are sealed under, and that the custodians share. */
export const MASTER_BYTES = 32;

export async function sealEntries(
  envelopes: Envelopes,
  master: Uint8Array,
  entries: readonly DomainEntry[],
): Promise<readonly SealedEntry[]> {
  const sealed: SealedEntry[] = [];
  for (const { tag, plaintext } of entries) {
    const key = deriveEntryKey(master, tag);
    sealed.push({ tag, envelope: await envelopes.seal(key, tag, plaintext) });
    key.fill(0);
  }
  return sealed;
}

/** Undefined where one of them doesn't open. The caller has to call `eraseEntries` for the rest. */
export async function openEntries(
  envelopes: Envelopes,
  master: Uint8Array,
  sealed: readonly SealedEntry[],
): Promise<readonly DomainEntry[] | undefined> {
  const entries: DomainEntry[] = [];
  for (const { tag, envelope } of sealed) {
    const key = deriveEntryKey(master, tag);
    const plaintext = await envelopes.open(key, envelope);
    key.fill(0);
    if (plaintext === undefined) {
      eraseEntries(entries);
      return undefined;
    }
    entries.push({ tag, plaintext });
  }
  return entries;
}

export function eraseEntries(entries: readonly DomainEntry[]): void {
  for (const { plaintext } of entries) plaintext.fill(0);
}
