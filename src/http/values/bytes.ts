import { trimEnd } from '../../core/trim-end.ts';
import { text, textOf } from './text.ts';

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

/** Line ends and blanks. RFC 2045 §6.8 lets a reader pass over more than that, which would hide what was cut off or altered. */
const BLANKS = /[ \t\r\n]/g;
const ALPHABET = /^[A-Za-z0-9+/]*={0,2}$/;

/**
 * Bytes in base64 as Graph's clients write it: az in lines, as they stand in a PEM file without its BEGIN and END. Padding
 * may be left out.
 * @param limit characters, blanks included
 */
export const mimeBase64 = (limit: number) =>
  text(limit).transform((given, context): Uint8Array => {
    const digits = given.replace(BLANKS, '');
    const bare = digits.replace(/={1,2}$/, '');
    const isPadded = bare.length < digits.length;
    if (!ALPHABET.test(digits) || bare.length % 4 === 1 || (isPadded && digits.length % 4 !== 0))
      context.addIssue({
        code: 'custom',
        message: given.includes('-----BEGIN')
          ? 'must be base64 without the lines BEGIN and END'
          : 'must be base64',
      });
    return Buffer.from(bare, 'base64');
  });
