import { trimEnd } from '../../core/trim-end.ts';
import { textOf } from './text.ts';

/** Unpadded base64url (RFC 7515 §2), the only form that we send. */
export function toBase64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url');
}

const EITHER_ALPHABET = /^[A-Za-z0-9+/_-]*={0,2}$/;

/** Base64url as it came; plain base64 with or without padding as well, which jsign and older Go clients send. */
export const base64urlText = textOf(
  (text) => EITHER_ALPHABET.test(text) && trimEnd(text, '=').length % 4 !== 1,
  'must be base64url',
);

/** Its bytes. */
export const base64urlBytes = base64urlText.transform((text): Uint8Array =>
  Buffer.from(text, 'base64url'),
);
