import { PRIME } from './prime-field.ts';
import { MOST_SHARES, type Share } from './secret-sharing.ts';

/**
 * A share as Azure's clients read it: for each byte of the secret a word of 16 bits, the lower byte first. A word is the
 * share's number (7 bits) before the value there (9 bits).
 */
const VALUE_BITS = 9;
const VALUE_MASK = 2 ** VALUE_BITS - 1;

export function encodeShare({ number, values }: Share): Uint8Array {
  const bytes = Buffer.alloc(values.length * 2);
  values.forEach((value, place) => {
    bytes.writeUInt16LE((number << VALUE_BITS) | value, place * 2);
  });
  return bytes;
}

/** Undefined for what isn't a share of a secret of this length. */
export function decodeShare(bytes: Uint8Array, secretLength: number): Share | undefined {
  if (bytes.length !== secretLength * 2) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const words = Uint16Array.from({ length: secretLength }, (_, place) =>
    view.getUint16(place * 2, true),
  );
  const number = (words[0] ?? 0) >> VALUE_BITS;
  const values = words.map((word) => word & VALUE_MASK);
  const isShare =
    number >= 1 &&
    number <= MOST_SHARES &&
    words.every((word) => word >> VALUE_BITS === number) &&
    values.every((value) => value < PRIME);
  words.fill(0);
  return isShare ? { number, values } : undefined;
}
