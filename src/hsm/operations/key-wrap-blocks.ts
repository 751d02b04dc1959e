import { decryptParts, encryptParts, type Handle, type ModuleSession } from '../module/calls.ts';
import { AES_ECB } from './mechanisms.ts';

/**
 * AES key wrap (RFC 3394) and AES key wrap with padding (RFC 5649) from single blocks that the HSM enciphers, for modules
 * that don't wrap such bytes themselves. The block cipher's key stays in the HSM. Six blocks are enciphered for each 8 bytes.
 */

/** Initial values: RFC 3394 §2.2.3.1, and the constant of RFC 5649 §3, after which the length stands. */
const IV = Buffer.from('a6a6a6a6a6a6a6a6', 'hex');
const AIV_CONSTANT = Buffer.from('a65959a6', 'hex');
const SEMIBLOCK = 8;
const ROUNDS = 6;

type Block = (block: Buffer) => Buffer;

/** @param plaintext a multiple of 8 bytes, and at least 16 (RFC 3394 §2.2.1) */
export function wrapInBlocks(session: ModuleSession, key: Handle, plaintext: Uint8Array): Buffer {
  const wrapped = Buffer.concat([IV, plaintext]);
  return encryptParts(session, AES_ECB, key, (encrypt) => wrapSemiblocks(wrapped, encrypt));
}

/** @param plaintext at least one byte (RFC 5649 §4.1) */
export function wrapPaddedInBlocks(
  session: ModuleSession,
  key: Handle,
  plaintext: Uint8Array,
): Buffer {
  const semiblocks = Math.ceil(plaintext.length / SEMIBLOCK);
  const wrapped = Buffer.alloc((semiblocks + 1) * SEMIBLOCK);
  AIV_CONSTANT.copy(wrapped);
  wrapped.writeUInt32BE(plaintext.length, AIV_CONSTANT.length);
  wrapped.set(plaintext, SEMIBLOCK);
  return encryptParts(session, AES_ECB, key, (encrypt) =>
    semiblocks === 1 ? encrypt(wrapped) : wrapSemiblocks(wrapped, encrypt),
  );
}

/** RFC 3394 §2.2.2. @param wrapped a multiple of 8 bytes, and at least 24. Undefined where it wasn't wrapped by this key. */
export function unwrapInBlocks(
  session: ModuleSession,
  key: Handle,
  wrapped: Uint8Array,
): Buffer | undefined {
  const opened = open(session, key, wrapped);
  return opened.subarray(0, SEMIBLOCK).equals(IV) ? opened.subarray(SEMIBLOCK) : undefined;
}

/** RFC 5649 §4.2. @param wrapped a multiple of 8 bytes, and at least 16. Undefined where it wasn't wrapped by this key. */
export function unwrapPaddedInBlocks(
  session: ModuleSession,
  key: Handle,
  wrapped: Uint8Array,
): Buffer | undefined {
  const opened = open(session, key, wrapped);
  const padded = opened.subarray(SEMIBLOCK);
  const length = opened.readUInt32BE(AIV_CONSTANT.length);
  const padding = padded.length - length;
  const isRight =
    opened.subarray(0, AIV_CONSTANT.length).equals(AIV_CONSTANT) &&
    padding >= 0 &&
    padding < SEMIBLOCK &&
    padded.subarray(length).every((byte) => byte === 0);
  return isRight ? padded.subarray(0, length) : undefined;
}

function open(session: ModuleSession, key: Handle, wrapped: Uint8Array): Buffer {
  const opened = Buffer.from(wrapped);
  return decryptParts(session, AES_ECB, key, (decrypt) =>
    opened.length === 2 * SEMIBLOCK ? decrypt(opened) : unwrapSemiblocks(opened, decrypt),
  );
}

/** RFC 3394 §2.2.1, in place. */
function wrapSemiblocks(wrapped: Buffer, encrypt: Block): Buffer {
  const semiblocks = wrapped.length / SEMIBLOCK - 1;
  const block = Buffer.alloc(2 * SEMIBLOCK);
  wrapped.copy(block, 0, 0, SEMIBLOCK);
  for (let step = 1; step <= ROUNDS * semiblocks; step += 1) {
    const at = (((step - 1) % semiblocks) + 1) * SEMIBLOCK;
    wrapped.copy(block, SEMIBLOCK, at, at + SEMIBLOCK);
    const encrypted = encrypt(block);
    encrypted.copy(block, 0, 0, SEMIBLOCK);
    addStep(block, step);
    encrypted.copy(wrapped, at, SEMIBLOCK);
  }
  block.copy(wrapped, 0, 0, SEMIBLOCK);
  return wrapped;
}

/** RFC 3394 §2.2.2, in place. */
function unwrapSemiblocks(opened: Buffer, decrypt: Block): Buffer {
  const semiblocks = opened.length / SEMIBLOCK - 1;
  const block = Buffer.alloc(2 * SEMIBLOCK);
  opened.copy(block, 0, 0, SEMIBLOCK);
  for (let step = ROUNDS * semiblocks; step >= 1; step -= 1) {
    const at = (((step - 1) % semiblocks) + 1) * SEMIBLOCK;
    addStep(block, step);
    opened.copy(block, SEMIBLOCK, at, at + SEMIBLOCK);
    const decrypted = decrypt(block);
    decrypted.copy(block, 0, 0, SEMIBLOCK);
    decrypted.copy(opened, at, SEMIBLOCK);
  }
  block.copy(opened, 0, 0, SEMIBLOCK);
  return opened;
}

/** The step's number, from 1, is added into the first half. It fits in the last four bytes. */
function addStep(block: Buffer, step: number): void {
  block.writeUInt32BE((block.readUInt32BE(4) ^ step) >>> 0, 4);
}
