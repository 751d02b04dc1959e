import { CompactEncrypt, compactDecrypt, errors } from 'jose';
import type { Envelopes } from '../../core/recovery/security-domain/envelopes.ts';
import { openContent } from './content.ts';

const CONTENT = 'A256CBC-HS512';
/** As Azure's own have it; nobody reads it. */
const NO_NAME = 'not used';

/** Compact JWE (RFC 7516), as Azure's clients make and read them. */
export function createEnvelopes(): Envelopes {
  return {
    sealTo: (publicKey, plaintext) =>
      new CompactEncrypt(plaintext)
        .setProtectedHeader({ alg: 'RSA-OAEP-256', enc: CONTENT, kid: NO_NAME })
        .encrypt(publicKey),
    // Azure's clients open RSA-OAEP too, which has SHA-1.
    openWith: (privateKey, envelope) => open(privateKey, envelope, ['RSA-OAEP-256', 'RSA-OAEP']),
    openBy: openContent,
    seal: (key, name, plaintext) =>
      new CompactEncrypt(plaintext)
        .setProtectedHeader({ alg: 'dir', enc: CONTENT, kid: name })
        .encrypt(key),
    open: (key, envelope) => open(key, envelope, ['dir']),
  };
}

async function open(
  key: Parameters<typeof compactDecrypt>[1],
  envelope: string,
  algorithms: string[],
): Promise<Uint8Array | undefined> {
  try {
    const { plaintext } = await compactDecrypt(envelope, key, {
      keyManagementAlgorithms: algorithms,
      contentEncryptionAlgorithms: [CONTENT],
    });
    return plaintext;
  } catch (error) {
    if (error instanceof errors.JOSEError) return undefined;
    throw error;
  }
}
