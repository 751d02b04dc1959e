import { createDecipheriv, createHmac, timingSafeEqual } from 'node:crypto';
import { decodeProtectedHeader } from 'jose';
import type { UnwrapContentKey } from '../../core/recovery/security-domain/envelopes.ts';

const KEY_BYTES = 64;
const HALF = 32;

/**
 * What is in a JWE whose private key isn't in this process: `jose` takes keys, and no function that uses one. The content is
 * A256CBC-HS512 (RFC 7518 §5.2.5). Undefined for what doesn't open, whatever the reason.
 */
export async function openContent(
  unwrap: UnwrapContentKey,
  envelope: string,
): Promise<Uint8Array | undefined> {
  const parts = envelope.split('.');
  if (parts.length !== 5 || !isOurs(envelope)) return undefined;
  const [header = '', ...rest] = parts;
  const [wrapped, iv, ciphertext, tag] = rest.map((part) => Buffer.from(part, 'base64url'));
  if (wrapped === undefined || iv?.length !== 16 || tag?.length !== HALF) return undefined;
  const key = await unwrap(wrapped);
  if (key?.length !== KEY_BYTES || ciphertext === undefined) return undefined;
  try {
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(header.length) * 8n);
    const expected = createHmac('sha512', key.subarray(0, HALF))
      .update(header, 'ascii')
      .update(iv)
      .update(ciphertext)
      .update(length)
      .digest()
      .subarray(0, HALF);
    if (!timingSafeEqual(expected, tag)) return undefined;
    const decipher = createDecipheriv('aes-256-cbc', key.subarray(HALF), iv);
    return Buffer.concat([decipher.update(ciphertext), decipher.final()]);
  } finally {
    key.fill(0);
  }
}

function isOurs(envelope: string): boolean {
  try {
    const { alg, enc, crit } = decodeProtectedHeader(envelope);
    return alg === 'RSA-OAEP-256' && enc === 'A256CBC-HS512' && crit === undefined;
  } catch {
    return false;
  }
}
