import { hkdfSync } from 'node:crypto';

/** The keys of one archive, 32 bytes each: of its chunks (AES-256-GCM), and of its manifest (HMAC-SHA256). */
export interface ArchiveKeys {
  readonly chunks: Uint8Array;
  readonly manifest: Uint8Array;
}

const KEY_BYTES = 32;

/**
 * HKDF-SHA256 (RFC 5869) over what the pair of backup keys gives, salted with the archive's id. So each key is used for one
 * archive alone, and the numbers of its chunks can be the nonces.
 */
export function deriveArchiveKeys(secret: Uint8Array, id: Uint8Array): ArchiveKeys {
  const derived = (use: string) =>
    new Uint8Array(hkdfSync('sha256', secret, id, `strongroom-full-backup/1 ${use}`, KEY_BYTES));
  return { chunks: derived('chunks'), manifest: derived('manifest') };
}
