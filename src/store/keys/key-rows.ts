import type { Insertable, Updateable } from 'kysely';
import type { AesSize, Curve, ParameterSet, RsaSize } from '../../core/operations/algorithms.ts';
import {
  type DeletedKey,
  type KeyMaterial,
  type KeyName,
  type KeyOperation,
  type KeySpec,
  type KeyVersion,
  type KeyVersionId,
  type PublicKey,
  publicMembers,
} from '../../core/keys/key.ts';
import { nearestDate } from '../../core/keys/key-date.ts';
import { packBytes, unpackBytes } from '../../core/keys/packed-bytes.ts';
import type { ReleasePolicy } from '../../core/release/release-policy.ts';
import type { KeyVersionRow, Tables } from '../tables.ts';

/** A version together with its key's name as written. */
export type NamedVersionRow = KeyVersionRow & { name: string };
export type DeletedRow = NamedVersionRow & { deleted_at: string | null; purge_at: string | null };

export function toKeyVersion(row: NamedVersionRow): KeyVersion {
  return Object.freeze({
    material: Object.freeze(toMaterial(row)),
    attributes: Object.freeze({
      enabled: row.enabled,
      ...(row.not_before !== null && { notBefore: nearestDate(Number(row.not_before)) }),
      ...(row.expires !== null && { expires: nearestDate(Number(row.expires)) }),
      created: Number(row.created),
      updated: Number(row.updated),
    }),
    tags: toTags(row.tags as Record<string, string>),
  });
}

const NO_TAGS = Object.freeze({});

function toTags(tags: Record<string, string>): KeyVersion['tags'] {
  return Object.keys(tags).length === 0 ? NO_TAGS : Object.freeze(tags);
}

export function toDeletedKey(row: DeletedRow): DeletedKey {
  return {
    current: toKeyVersion(row),
    deletedAt: Number(row.deleted_at),
    purgeAt: Number(row.purge_at),
  };
}

/** What is in a row is believed only as far as its seal, which the HSM verifies when the key is loaded. */
function toMaterial(row: NamedVersionRow): KeyMaterial {
  const publicKey = toPublicKey(row);
  const releasePolicy = toReleasePolicy(row);
  return {
    identity: {
      pool: row.pool_id,
      name: row.name as KeyName,
      version: row.version as KeyVersionId,
      operations: toOperations(row.operations),
      exportable: row.exportable,
      origin: row.origin,
      ...(releasePolicy !== undefined && { releasePolicy }),
    },
    spec: toSpec(row),
    ...(publicKey !== undefined && { publicKey }),
    sealed: {
      rootGeneration: row.root_generation,
      blob: packBytes(row.blob),
      ...(row.mac_blob !== null && { macBlob: packBytes(row.mac_blob) }),
      seal: packBytes(row.seal),
    },
  };
}

const OPERATIONS_LIMIT = 1_000;
const sameOperations = new Map<string, readonly KeyOperation[]>();

/** Tens of thousands of keys that are remembered allow the same few sets of operations: one array of each is kept. */
function toOperations(row: readonly string[]): readonly KeyOperation[] {
  const text = JSON.stringify(row);
  const known = sameOperations.get(text);
  if (known !== undefined) return known;
  const operations = Object.freeze(row as readonly KeyOperation[]);
  if (sameOperations.size < OPERATIONS_LIMIT) sameOperations.set(text, operations);
  return operations;
}

function toReleasePolicy(row: KeyVersionRow): ReleasePolicy | undefined {
  const { release_policy, release_content_type, release_immutable } = row;
  if (release_policy === null || release_content_type === null || release_immutable === null)
    return undefined;
  return {
    contentType: release_content_type,
    data: release_policy,
    immutable: release_immutable,
  };
}

function toSpec(row: KeyVersionRow): KeySpec {
  switch (row.key_type) {
    case 'RSA-HSM':
      return {
        keyType: 'RSA-HSM',
        bits: row.bits as RsaSize,
        publicExponent: Number(row.public_exponent),
      };
    case 'EC-HSM':
      return { keyType: 'EC-HSM', curve: row.curve as Curve };
    case 'AKP-HSM':
      return { keyType: 'AKP-HSM', parameterSet: row.parameter_set as ParameterSet };
    default:
      return { keyType: 'oct-HSM', bits: row.bits as AesSize };
  }
}

function toPublicKey(row: KeyVersionRow): PublicKey | undefined {
  if (row.public_1 === null) return undefined;
  if (row.key_type === 'AKP-HSM') return { keyType: 'AKP-HSM', pub: own(row.public_1) };
  if (row.public_2 === null) return undefined;
  return row.key_type === 'RSA-HSM'
    ? { keyType: 'RSA-HSM', n: own(row.public_1), e: own(row.public_2) }
    : { keyType: 'EC-HSM', x: own(row.public_1), y: own(row.public_2) };
}

/** A copy. What the driver gives is a piece of 8 KiB that other pieces share: of thousands of keys each would keep one. */
function own(bytes: Buffer): Uint8Array {
  return Uint8Array.from(bytes);
}

/** What a public key consists of, in the order of its columns; none of a key that has no public half. */
export function halvesOf(key: PublicKey | undefined): readonly (Uint8Array | undefined)[] {
  return key === undefined ? [] : publicMembers(key);
}

export function fromKeyVersion(version: KeyVersion): Insertable<Tables['key_version']> {
  const { identity, spec, publicKey, sealed } = version.material;
  const halves = halvesOf(publicKey);
  return {
    pool_id: identity.pool,
    name_key: identity.name.toLowerCase(),
    version: identity.version,
    key_type: spec.keyType,
    bits: 'bits' in spec ? spec.bits : null,
    curve: spec.keyType === 'EC-HSM' ? spec.curve : null,
    parameter_set: spec.keyType === 'AKP-HSM' ? spec.parameterSet : null,
    public_exponent: spec.keyType === 'RSA-HSM' ? spec.publicExponent : null,
    exportable: identity.exportable,
    origin: identity.origin,
    created: version.attributes.created,
    public_1: halves[0] === undefined ? null : Buffer.from(halves[0]),
    public_2: halves[1] === undefined ? null : Buffer.from(halves[1]),
    blob: unpackBytes(sealed.blob),
    mac_blob: sealed.macBlob === undefined ? null : unpackBytes(sealed.macBlob),
    ...changeableOf(version),
  };
}

/** What PATCH can change, with the seal that covers the operations and the release policy. */
export function changeableOf({ material, attributes, tags }: KeyVersion) {
  const { releasePolicy } = material.identity;
  return {
    operations: [...material.identity.operations],
    release_policy: releasePolicy?.data ?? null,
    release_content_type: releasePolicy?.contentType ?? null,
    release_immutable: releasePolicy?.immutable ?? null,
    enabled: attributes.enabled,
    not_before: attributes.notBefore ?? null,
    expires: attributes.expires ?? null,
    updated: attributes.updated,
    tags: JSON.stringify(tags),
    root_generation: material.sealed.rootGeneration,
    seal: unpackBytes(material.sealed.seal),
  } satisfies Updateable<Tables['key_version']>;
}
