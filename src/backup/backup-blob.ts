import { CompactEncrypt, compactDecrypt, errors } from 'jose';
import { decodeContents, encodeContents } from '../core/recovery/backup-contents.ts';
import type { BackupContents, OpenedBackup } from '../core/recovery/ports.ts';
import { trimEnd } from '../core/trim-end.ts';

/**
 * Compact JWE with a key that both sides have (RFC 7516, RFC 7518 §4.5 and §5.2.5), in base64url once more: the form of
 * Managed HSM's own backups.
 */
const HEADER = { alg: 'dir', enc: 'A256CBC-HS512', kid: 'backup-protection-key' };
/** Header, and no encrypted key: the same for every blob. */
const BEGINNING = `${base64url(JSON.stringify(HEADER))}..`;
/** Initialisation vector, ciphertext and tag. */
const PARTS = /^[\w-]{22}\.[\w-]+\.[\w-]{43}$/;
/** As every blob begins. Three characters of a JWE are four here; those that are left over depend on what follows. */
export const BLOB_BEGINNING = Buffer.from(
  base64url(BEGINNING.slice(0, BEGINNING.length - (BEGINNING.length % 3))),
);

/** @param key 64 bytes */
export async function protectContents(key: Uint8Array, contents: BackupContents): Promise<string> {
  const jwe = new CompactEncrypt(Buffer.from(encodeContents(contents)));
  return base64url(await jwe.setProtectedHeader(HEADER).encrypt(key));
}

/** Undefined for what was made with none of these keys, or was altered since, be it in one bit that stands for nothing. */
export async function openContents(
  keys: readonly Uint8Array[],
  blob: Uint8Array,
): Promise<OpenedBackup | undefined> {
  const text = trimEnd(Buffer.from(blob).toString('latin1'), '=');
  const jwe = Buffer.from(text, 'base64url').toString('latin1');
  // The very text that a backup gave: no other text that stands for the same bytes.
  if (base64url(jwe) !== text) return undefined;
  if (!jwe.startsWith(BEGINNING)) return undefined;
  const rest = jwe.slice(BEGINNING.length);
  if (!PARTS.test(rest) || !rest.split('.').every(isCanonical)) return undefined;
  for (const [openedBy, key] of keys.entries()) {
    const contents = await decryptContents(key, jwe);
    if (contents !== undefined) return { openedBy, contents };
  }
  return undefined;
}

async function decryptContents(key: Uint8Array, jwe: string): Promise<BackupContents | undefined> {
  try {
    const { plaintext } = await compactDecrypt(jwe, key, {
      keyManagementAlgorithms: [HEADER.alg],
      contentEncryptionAlgorithms: [HEADER.enc],
    });
    return decodeContents(Buffer.from(plaintext).toString());
  } catch (error) {
    if (error instanceof errors.JOSEError) return undefined;
    throw error;
  }
}

/** The last character may have bits that no byte takes: another one there would be an altered blob that opens. */
function isCanonical(part: string): boolean {
  return Buffer.from(part, 'base64url').toString('base64url') === part;
}

function base64url(text: string): string {
  return Buffer.from(text, 'latin1').toString('base64url');
}
