import { encrypt, type Handle, type ModuleSession, randomBytes } from '../module/calls.ts';
import { AES_ECB, gcmMechanism } from '../operations/mechanisms.ts';
import type { GcmIv } from './capabilities.ts';
import { lackOf } from './lack.ts';

const IV_BYTES = 12;
const TAG_BYTES = 16;
const ROOM_BYTES = 64;

/** Whose IV a GCM encryption is made with; undefined where it can't be found out: GCM isn't to be used then. */
export function tryGcmIv(session: ModuleSession, key: Handle): GcmIv | undefined {
  let found: GcmIv | undefined;
  // A module that makes its own may take none but an empty one.
  for (const given of [randomBytes(session, IV_BYTES), Buffer.alloc(IV_BYTES)])
    lackOf('CKM_AES_GCM', () => {
      found ??= ivOf(session, key, given);
      return true;
    });
  return found;
}

/**
 * By the first block: of zeros, it is the key stream, and that is the cipher of the IV and the counter 2 (SP 800-38D §7.1).
 */
function ivOf(session: ModuleSession, key: Handle, given: Buffer): GcmIv | undefined {
  const iv = Buffer.from(given);
  const plaintext = Buffer.alloc(16);
  const end = plaintext.length + TAG_BYTES;
  // With room to spare: after CKR_BUFFER_TOO_SMALL the session would still be in the middle of it.
  const sealed = encrypt(session, gcmMechanism(iv, undefined), key, plaintext, end + ROOM_BYTES);
  const isMadeWith = (candidate: Buffer) => {
    const counter = Buffer.concat([candidate, Buffer.from([0, 0, 0, 2])]);
    return encrypt(session, AES_ECB, key, counter, 16).equals(sealed.subarray(0, 16));
  };
  if (sealed.length === end + IV_BYTES && isMadeWith(sealed.subarray(end))) return 'appended';
  if (sealed.length !== end) return undefined;
  if (!iv.equals(given)) return isMadeWith(iv) ? 'written' : undefined;
  return isMadeWith(given) ? 'ours' : undefined;
}
