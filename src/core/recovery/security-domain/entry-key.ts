import { createHmac } from 'node:crypto';

/** Of a key for A256CBC-HS512, and of a block of HMAC-SHA-512. */
const LENGTH_BYTES = 64;

/**
 * The key of one of the domain's entries: NIST SP 800-108 rev. 1 §4.1 (counter mode) with HMAC-SHA-512, one block, the
 * entry's tag as label and no context.
 * @returns 64 bytes
 */
export function deriveEntryKey(master: Uint8Array, tag: string): Uint8Array {
  return createHmac('sha512', master)
    .update(bigEndian(1))
    .update(tag, 'utf8')
    .update(new Uint8Array(1))
    .update(bigEndian(LENGTH_BYTES * 8))
    .digest();
}

/** In four bytes. */
function bigEndian(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
