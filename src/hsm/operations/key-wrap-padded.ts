import { encryptParts, type Handle, type ModuleSession } from '../module/calls.ts';
import { AES_ECB } from './mechanisms.ts';

/** Constant of the alternative initial value, RFC 5649 §3. */
const AIV_CONSTANT = Buffer.from('a65959a6', 'hex');
const SEMIBLOCK = 8;
const ROUNDS = 6;

/**
 * AES key wrap with padding (RFC 5649 §4.1) from single blocks that the HSM encrypts, for modules whose own
 * CKM_AES_KEY_WRAP_PAD gets the length indicator wrong. The block cipher's key stays in the HSM.
 * @param plaintext at least one byte; six blocks are encrypted for each 8 bytes of it
 */
export function wrapPadded(session: ModuleSession, key: Handle, plaintext: Uint8Array): Buffer {
  const semiblocks = Math.ceil(plaintext.length / SEMIBLOCK);
  const lengthIndicator = Buffer.alloc(4);
  lengthIndicator.writeUInt32BE(plaintext.length);
  const wrapped = Buffer.alloc((semiblocks + 1) * SEMIBLOCK);
  Buffer.concat([AIV_CONSTANT, lengthIndicator]).copy(wrapped);
  wrapped.set(plaintext, SEMIBLOCK);
  return encryptParts(session, AES_ECB, key, (encrypt) =>
    semiblocks === 1 ? encrypt(wrapped) : wrapSemiblocks(wrapped, semiblocks, encrypt),
  );
}

/** RFC 3394 §2.2.1, in place. */
function wrapSemiblocks(
  wrapped: Buffer,
  semiblocks: number,
  encrypt: (block: Buffer) => Buffer,
): Buffer {
  const block = Buffer.alloc(2 * SEMIBLOCK);
  wrapped.copy(block, 0, 0, SEMIBLOCK);
  for (let step = 0; step < ROUNDS * semiblocks; step += 1) {
    const at = ((step % semiblocks) + 1) * SEMIBLOCK;
    wrapped.copy(block, SEMIBLOCK, at, at + SEMIBLOCK);
    const encrypted = encrypt(block);
    encrypted.copy(block, 0, 0, SEMIBLOCK);
    // The step's number, from 1, is added into the first half. It fits in the last four bytes.
    block.writeUInt32BE((block.readUInt32BE(4) ^ (step + 1)) >>> 0, 4);
    encrypted.copy(wrapped, at, SEMIBLOCK);
  }
  block.copy(wrapped, 0, 0, SEMIBLOCK);
  return wrapped;
}
