import { createHash } from 'node:crypto';
import type { UserIdentity } from './directory.ts';
import { isGuid } from '../guid.ts';

/**
 * The object id of an external principal or group: a UUIDv8 (RFC 9562 §5.8, appendix B.2) of the first 16 bytes of
 * SHA-256 over `strongroom`, kind, issuer and claim, with a zero byte after each but the last.
 */
export function deriveObjectId(issuer: string, kind: 'principal' | 'group', claim: string): string {
  const bytes = createHash('sha256')
    .update(['strongroom', kind, issuer, claim].join('\0'))
    .digest()
    .subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** The object ids that whoever has this identity has without a user of the directory: what its issuer is isn't known here. */
export function objectIdsOf({ issuer, subject }: UserIdentity): readonly string[] {
  const derived = deriveObjectId(issuer, 'principal', subject);
  return isGuid(subject) ? [derived, subject.toLowerCase()] : [derived];
}
