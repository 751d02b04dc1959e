import { ServiceError } from '../../errors.ts';
import { type KeyName, type KeyVersionId, parseKeyName, parseKeyVersionId } from '../key.ts';

/** A key on its way from another HSM: wrapped by its exporter for a key exchange key of this pool. */
export interface TransferBlob {
  readonly exchangeKey: { readonly name: KeyName; readonly version: KeyVersionId };
  /** CKM_RSA_AES_KEY_WRAP: RSA-OAEP (SHA-1) of an AES key, then RFC 5649 of the key under that one. */
  readonly wrapped: Uint8Array;
}

const SCHEMA_VERSIONS = ['1.0.0', '1.0'];
const BASE64 = /^[A-Za-z0-9+/_-]+={0,2}$/;
const KID = /^https:\/\/[^/?#]+\/keys\/([^/?#]+)\/([^/?#]+)\/?$/;

/**
 * Reads the text of a .byok file, as Azure's "bring your own key" specification has it: JSON with schema_version,
 * header {kid, alg: "dir", enc: "CKM_RSA_AES_KEY_WRAP"}, ciphertext and generator.
 * @throws ServiceError BadParameter
 */
export function parseTransferBlob(bytes: Uint8Array): TransferBlob {
  const file = parseObject(Buffer.from(bytes).toString('utf8'));
  if (!SCHEMA_VERSIONS.includes(textOf(file['schema_version'])))
    throw wrong('its schema_version must be 1.0.0');
  const header = asObject(file['header']);
  if (textOf(header['alg']) !== 'dir' || textOf(header['enc']) !== 'CKM_RSA_AES_KEY_WRAP')
    throw wrong('its header must have alg "dir" and enc "CKM_RSA_AES_KEY_WRAP"');
  const kid = KID.exec(textOf(header['kid']));
  if (kid === null)
    throw wrong('its header must have the kid of a key exchange key, with its version');
  const ciphertext = textOf(file['ciphertext']);
  if (!BASE64.test(ciphertext)) throw wrong('its ciphertext must be base64url');
  return {
    exchangeKey: { name: parseKeyName(kid[1] ?? ''), version: parseKeyVersionId(kid[2] ?? '') },
    wrapped: Buffer.from(ciphertext, 'base64url'),
  };
}

function parseObject(text: string): Record<string, unknown> {
  try {
    return asObject(JSON.parse(text));
  } catch (error) {
    if (error instanceof ServiceError) throw error;
    throw wrong('it is not JSON');
  }
}

function asObject(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) throw wrong('it lacks an object');
  return value as Record<string, unknown>;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function wrong(why: string): ServiceError {
  return new ServiceError(
    'BadParameter',
    `Property key.key_hsm has an invalid value: it must hold a key transfer blob; ${why}.`,
  );
}
