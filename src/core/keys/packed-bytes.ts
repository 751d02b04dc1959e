declare const brand: unique symbol;
/**
 * Bytes that are kept for long and seldom looked at, as a string of one character each (ISO 8859-1). On V8's heap that is
 * one object without pointers, where a typed array is three and a piece outside: of the records of a hundred thousand keys
 * the garbage collector has half the work.
 */
export type PackedBytes = string & { readonly [brand]: 'PackedBytes' };

export function packBytes(bytes: Uint8Array): PackedBytes {
  const { buffer, byteOffset, byteLength } = bytes;
  return Buffer.from(buffer, byteOffset, byteLength).toString('latin1') as PackedBytes;
}

/** A copy. */
export function unpackBytes(packed: PackedBytes): Buffer {
  return Buffer.from(packed, 'latin1');
}
