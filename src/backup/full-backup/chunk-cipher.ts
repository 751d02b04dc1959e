import { createCipheriv, createDecipheriv } from 'node:crypto';

const CIPHER = 'aes-256-gcm';
const TAG_BYTES = 16;
const NONCE_BYTES = 12;

/** A chunk's place: which archive, which number from 0 on, and whether any follows. */
export interface ChunkPlace {
  readonly id: Uint8Array;
  readonly number: number;
  readonly isLast: boolean;
}

/** AES-256-GCM (NIST SP 800-38D): the ciphertext with its tag of 16 bytes at the end. */
export function sealChunk(key: Uint8Array, place: ChunkPlace, plaintext: Uint8Array): Buffer {
  const cipher = createCipheriv(CIPHER, key, nonceOf(place), { authTagLength: TAG_BYTES });
  cipher.setAAD(associatedData(place));
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

/** Undefined for what isn't the chunk of that place. */
export function openChunk(
  key: Uint8Array,
  place: ChunkPlace,
  sealed: Uint8Array,
): Buffer | undefined {
  if (sealed.length < TAG_BYTES) return undefined;
  const decipher = createDecipheriv(CIPHER, key, nonceOf(place), { authTagLength: TAG_BYTES });
  decipher.setAAD(associatedData(place));
  decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
  const plaintext = decipher.update(sealed.subarray(0, -TAG_BYTES));
  try {
    return Buffer.concat([plaintext, decipher.final()]);
  } catch {
    return undefined;
  }
}

/** The number, big-endian. The key is the archive's own, so none comes twice. */
function nonceOf({ number }: ChunkPlace): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES);
  nonce.writeBigUInt64BE(BigInt(number), NONCE_BYTES - 8);
  return nonce;
}

function associatedData({ id, number, isLast }: ChunkPlace): Buffer {
  const place = Buffer.alloc(9);
  place.writeBigUInt64BE(BigInt(number));
  place.writeUInt8(isLast ? 1 : 0, 8);
  return Buffer.concat([id, place]);
}
