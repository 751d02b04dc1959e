import { randomBytes } from 'node:crypto';
import { type KeyVersionId, parseKeyVersionId } from './key.ts';

/** 128 random bits, as 32 hex digits. */
export function newVersionId(): KeyVersionId {
  return parseKeyVersionId(randomBytes(16).toString('hex'));
}
