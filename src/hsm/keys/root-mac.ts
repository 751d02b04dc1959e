import * as calls from '../module/calls.ts';
import type { ModuleSession } from '../module/calls.ts';
import { returnValue } from '../module/return-values.ts';
import { HMAC_SHA256 } from '../operations/mechanisms.ts';
import type { RootKeys } from './root-keys.ts';

/** Of HMAC-SHA256. */
export const MAC_BYTES = 32;

/** HMAC-SHA256 by `root-seal`. */
export function makeMac(session: ModuleSession, { seal }: RootKeys, data: Buffer): Buffer {
  return calls.sign(session, HMAC_SHA256, seal, data, MAC_BYTES);
}

export function verifyMac(
  session: ModuleSession,
  { seal }: RootKeys,
  data: Buffer,
  mac: Buffer,
): boolean {
  try {
    return calls.verify(session, HMAC_SHA256, seal, data, mac);
  } catch (error) {
    if (returnValue(error) === 'CKR_SIGNATURE_INVALID') return false;
    throw error;
  }
}
