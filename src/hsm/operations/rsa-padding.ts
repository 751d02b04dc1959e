import { createHash, timingSafeEqual } from 'node:crypto';

export type OaepHash = 'sha1' | 'sha256' | 'sha384';

/**
 * RSAES-OAEP and RSAES-PKCS1-v1_5 around a raw RSA operation (RFC 8017 §7.1.1, §7.1.2, §7.2.2), for modules that lack the
 * padding: SoftHSM 2.6.1 has OAEP with SHA-1 only. Decoding looks at every byte whatever it finds, keeps what it learns in
 * masks, and decides once at the end: which check failed, and where, shows neither in the result nor in the time
 * (Bleichenbacher 1998, Manger 2001).
 */

/** EM for OAEP with an empty label; `k` is the length of the modulus in bytes, `seed` is random and as long as the hash. */
export function oaepEncode(
  plaintext: Uint8Array,
  k: number,
  hash: OaepHash,
  seed: Uint8Array,
): Buffer {
  const labelHash = createHash(hash).digest();
  const h = labelHash.length;
  const encoded = Buffer.alloc(k);
  const maskedSeed = encoded.subarray(1, 1 + h);
  const dataBlock = encoded.subarray(1 + h);
  labelHash.copy(dataBlock);
  dataBlock[dataBlock.length - plaintext.length - 1] = 1;
  dataBlock.set(plaintext, dataBlock.length - plaintext.length);
  xorInto(dataBlock, mgf1(seed, dataBlock.length, hash));
  maskedSeed.set(seed);
  xorInto(maskedSeed, mgf1(dataBlock, h, hash));
  return encoded;
}

/** The plaintext in an encoded message of k bytes, or undefined. */
export function oaepDecode(encoded: Uint8Array, hash: OaepHash): Buffer | undefined {
  const labelHash = createHash(hash).digest();
  const h = labelHash.length;
  const seed = Buffer.from(encoded.subarray(1, 1 + h));
  const dataBlock = Buffer.from(encoded.subarray(1 + h));
  xorInto(seed, mgf1(dataBlock, h, hash));
  xorInto(dataBlock, mgf1(seed, dataBlock.length, hash));

  const leading = isZero(encoded[0] ?? 1);
  const label = Number(timingSafeEqual(dataBlock.subarray(0, h), labelHash));
  let searching = 1;
  let separatorAt = 0;
  let isWrong = 0;
  for (let index = h; index < dataBlock.length; index += 1) {
    const byte = dataBlock[index] ?? 0;
    const zero = isZero(byte);
    const one = isZero(byte ^ 1);
    separatorAt |= index & -(searching & one);
    isWrong |= searching & (zero ^ 1) & (one ^ 1);
    searching &= one ^ 1;
  }
  const isGood = leading & label & (searching ^ 1) & (isWrong ^ 1);
  return conclude(dataBlock, separatorAt, isGood, seed);
}

/** The shortest padding string of RFC 8017 §7.2.1. */
const MIN_PADDING = 8;

/** The plaintext in an encoded message (0x00 0x02 PS 0x00 M) of k bytes, or undefined. */
export function pkcs1Decode(encoded: Uint8Array): Buffer | undefined {
  const block = Buffer.from(encoded);
  const leading = isZero(block[0] ?? 1) & isZero((block[1] ?? 0) ^ 2);
  let searching = 1;
  let separatorAt = 0;
  for (let index = 2; index < block.length; index += 1) {
    const zero = isZero(block[index] ?? 0);
    separatorAt |= index & -(searching & zero);
    searching &= zero ^ 1;
  }
  // 1 where separatorAt >= 2 + MIN_PADDING: the sign bit of the difference, inverted.
  const isLongEnough = ((separatorAt - (2 + MIN_PADDING)) >>> 31) ^ 1;
  const isGood = leading & (searching ^ 1) & isLongEnough;
  return conclude(block, separatorAt, isGood);
}

/** The one place where anything depends on what was found. */
function conclude(block: Buffer, separatorAt: number, isGood: number, ...wipe: Buffer[]) {
  const plaintext = isGood === 1 ? Buffer.from(block.subarray(separatorAt + 1)) : undefined;
  for (const buffer of [block, ...wipe]) buffer.fill(0);
  return plaintext;
}

/** 1 for a byte that is 0, else 0, without a branch. */
function isZero(byte: number): number {
  return ((byte - 1) >>> 31) & 1;
}

/** RFC 8017 §B.2.1. */
function mgf1(seed: Uint8Array, length: number, hash: OaepHash): Buffer {
  const blocks: Buffer[] = [];
  for (let total = 0, counter = 0; total < length; counter += 1) {
    const index = Buffer.alloc(4);
    index.writeUInt32BE(counter);
    const block = createHash(hash).update(seed).update(index).digest();
    blocks.push(block);
    total += block.length;
  }
  return Buffer.concat(blocks, length);
}

function xorInto(target: Buffer, mask: Buffer): void {
  for (let index = 0; index < target.length; index += 1)
    target[index] = (target[index] ?? 0) ^ (mask[index] ?? 0);
}
