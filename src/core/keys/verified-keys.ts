import type { KeyRelease } from '../release/key-release.ts';
import type { KeyVersion, VerifiedKey } from './key.ts';
import type { KeyReader } from './ports.ts';

type SealVerifier = Pick<KeyRelease, 'requireIntact'>;

/** @throws ServiceError KeyIntegrityViolation */
export async function verifyKey(hsm: SealVerifier, version: KeyVersion): Promise<VerifiedKey> {
  return Object.freeze({ ...version, material: await hsm.requireIntact(version.material) });
}

/** Each key that is found has its seal verified: once for each time that its record is read. Errors as with Hsm. */
export function verifyKeys(reader: KeyReader, hsm: SealVerifier): KeyReader<VerifiedKey> {
  return {
    ...reader,
    async findKey(name, version) {
      const found = await reader.findKey(name, version);
      return found && verifyKey(hsm, found);
    },
    async findDeletedKey(name) {
      const found = await reader.findDeletedKey(name);
      return found && { ...found, current: await verifyKey(hsm, found.current) };
    },
  };
}
