import { ServiceError } from '../../core/errors.ts';
import {
  type KeyIdentity,
  type KeyMaterial,
  type PublicKey,
  publicMembers,
} from '../../core/keys/key.ts';
import type { ObjectStatement } from '../../core/keys/objects/permit.ts';
import { sizeOf } from '../../core/keys/key-shape.ts';
import { unpackBytes } from '../../core/keys/packed-bytes.ts';

const VERSION = 'strongroom key seal 1';
/** Of the length before each field. */
const LENGTH_BYTES = 4;

/**
 * The bytes that a seal covers: everything that says what the blob is and what it may be used for. Each field stands with
 * its length before it, so that no two different keys give the same bytes.
 */
export function sealedBytes(
  key: Omit<KeyMaterial, 'sealed'>,
  sealed: Omit<KeyMaterial['sealed'], 'seal'>,
): Buffer {
  const { identity, spec, publicKey } = key;
  return encodeFields([
    VERSION,
    identity.pool,
    identity.name.toLowerCase(),
    identity.version,
    spec.keyType,
    sizeOf(spec),
    spec.keyType === 'RSA-HSM' ? String(spec.publicExponent) : '',
    [...identity.operations].sort().join(','),
    identity.exportable ? 'exportable' : 'not exportable',
    String(sealed.rootGeneration),
    ...publicFields(publicKey),
    unpackBytes(sealed.blob),
    sealed.macBlob === undefined ? '' : unpackBytes(sealed.macBlob),
    ...laterFields(identity),
  ]);
}

/** What not every key has: without it, seals stay as they were before there was such. */
function laterFields({ origin, releasePolicy }: KeyIdentity): string[] {
  return [
    ...(origin === 'imported' ? ['imported'] : []),
    ...(releasePolicy === undefined
      ? []
      : [
          'release policy',
          releasePolicy.contentType,
          releasePolicy.data,
          releasePolicy.immutable ? 'immutable' : 'mutable',
        ]),
  ];
}

export function brokenSeal(identity: KeyIdentity, cause?: unknown): ServiceError {
  return new ServiceError(
    'KeyIntegrityViolation',
    `The stored key ${identity.name}/${identity.version} does not match its seal: it has been altered and is not used.`,
    { cause },
  );
}

/** What is kept beside a pool's record, so that a token with other root keys of the same name is noticed at start. */
export function rootCheckBytes(poolId: string): Buffer {
  return encodeFields(['strongroom root check 1', poolId]);
}

/**
 * What `root-seal` makes the key of backups from: SP 800-108 rev. 1 §4.1, counter mode, with HMAC-SHA256 and two blocks.
 * Not to be mistaken for what a seal covers, since that begins with another text.
 */
export const BACKUP_KEY_PARTS: readonly Buffer[] = ['1', '2'].map((counter) =>
  encodeFields(['strongroom backup key 1', counter, '512']),
);

/** The same by the HMAC key of backups, which outlives root keys. */
export const OUTLIVING_BACKUP_KEY_PARTS: readonly Buffer[] = ['1', '2'].map((counter) =>
  encodeFields(['strongroom backup key 2', counter, '512']),
);

/** The same for full backups, whose key is another than that of blobs. */
export const ARCHIVE_KEY_PARTS: readonly Buffer[] = ['1', '2'].map((counter) =>
  encodeFields(['strongroom full backup key 1', counter, '512']),
);

/** What `root-seal` says of a token object that may be destroyed. */
export function objectStatementBytes(poolId: string, statement: ObjectStatement): Buffer {
  const { id, name, version, kind, time } = statement;
  const what = [kind, id, name.toLowerCase(), version, String(time)];
  return encodeFields(['strongroom object permit 1', poolId, ...what]);
}

/** What the current root keys say of a generation that may be destroyed. */
export function retirementBytes(poolId: string, generation: number): Buffer {
  return encodeFields(['strongroom retired root keys 1', poolId, String(generation)]);
}

/** What older root keys say of newer ones, by their check. */
export function voucherBytes(
  poolId: string,
  by: number,
  generation: number,
  rootCheck: Uint8Array,
): Buffer {
  const numbers = [String(by), String(generation)];
  return encodeFields(['strongroom root voucher 1', poolId, ...numbers, Buffer.from(rootCheck)]);
}

/** What root keys say of the older ones that are to go. */
export function retirementListBytes(
  poolId: string,
  generation: number,
  retires: readonly number[],
): Buffer {
  const numbers = [generation, ...retires].map(String);
  return encodeFields(['strongroom root keys to retire 1', poolId, ...numbers]);
}

/** What `root-seal` or the HMAC key of backups makes the key of cursors from, in the same way. */
export const CURSOR_KEY_PART = encodeFields(['strongroom cursor key 1', '1', '256']);
/** The same for the key by which uploaded security domains are proven. */
export const UPLOAD_KEY_PART = encodeFields(['strongroom upload key 1', '1', '256']);

function publicFields(key: PublicKey | undefined): (string | Uint8Array)[] {
  if (key === undefined) return ['', ''];
  const [first, second] = publicMembers(key);
  return [first, second ?? ''];
}

/** Each field after its length, 32 bits big-endian. One piece: a buffer for each field took longer than the HMAC. */
function encodeFields(fields: readonly (string | Uint8Array)[]): Buffer {
  let size = 0;
  for (const field of fields) size += LENGTH_BYTES + lengthOf(field);
  const bytes = Buffer.allocUnsafe(size);
  let at = 0;
  for (const field of fields) {
    at = bytes.writeUInt32BE(lengthOf(field), at);
    if (typeof field === 'string') at += bytes.write(field, at);
    else {
      bytes.set(field, at);
      at += field.length;
    }
  }
  return bytes;
}

function lengthOf(field: string | Uint8Array): number {
  return typeof field === 'string' ? Buffer.byteLength(field) : field.length;
}
