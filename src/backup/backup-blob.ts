import { base64url, CompactEncrypt, compactDecrypt, errors } from 'jose';
import { type BlobProtector } from '../core/ports.ts';

const HEADER = { alg: 'dir', enc: 'A256CBC-HS512', kid: 'backup-protection-key' };

/** Compact JWE with a key that both sides have (RFC 7516, RFC 7518 §4.5 and §5.2.5): the form of Managed HSM's own backups. */
export const backupBlobs: BlobProtector = {
  protect: (key, content) => new CompactEncrypt(content).setProtectedHeader(HEADER).encrypt(key),

  async open(key, blob) {
    if (!isCanonical(blob)) return undefined;
    try {
      const { plaintext } = await compactDecrypt(blob, key, {
        keyManagementAlgorithms: [HEADER.alg],
        contentEncryptionAlgorithms: [HEADER.enc],
      });
      return plaintext;
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined;
      throw error;
    }
  },
};

/** The last character of a part may have bits that no byte takes: another one there would be an altered blob that opens. */
function isCanonical(blob: string): boolean {
  return blob.split('.').every((part) => {
    try {
      return base64url.encode(base64url.decode(part)) === part;
    } catch {
      return false;
    }
  });
}
