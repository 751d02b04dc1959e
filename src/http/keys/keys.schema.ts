import { z } from 'zod';
import type {
  DeletedKey,
  KeyMaterial,
  KeyVersion,
  VerifiedKey,
  VerifiedMaterial,
} from '../../core/keys/key.ts';
import { FIRST_DATE, LAST_DATE } from '../../core/keys/key-date.ts';
import { JWK_MEMBERS } from '../../core/keys/import/key-import.ts';
import type { PoolRules } from '../../core/keys/new-version.ts';
import { withoutUndefined } from '../../core/without-undefined.ts';
import { base64urlBytes, base64urlText, toBase64url } from '../values/bytes.ts';
import { apiVersionOf, type RequestContext } from '../context.ts';
import { optional } from '../values/optional.ts';
import { text } from '../values/text.ts';

const DATE_RANGE =
  'it must be a date between 0001-01-01 and 9999-12-31, in whole seconds since 1970-01-01 UTC';
/** Negative ones come from clients that cut dates to 32 bits. */
const seconds = z.int(DATE_RANGE).min(FIRST_DATE, DATE_RANGE).max(LAST_DATE, DATE_RANGE);

const NO_EXTERNAL_KEYS =
  'external keys are not available: the keys of this pool are in its own HSM';

const Attributes = z.object({
  enabled: optional(z.boolean()),
  nbf: optional(seconds),
  exp: optional(seconds),
  exportable: optional(z.boolean()),
  external_key: z
    .unknown()
    .refine((value) => value === undefined || value === null, { message: NO_EXTERNAL_KEYS })
    .optional(),
});

const attributes = optional(
  Attributes.transform(({ enabled, nbf, exp, exportable }) => ({
    enabled,
    notBefore: nbf,
    expires: exp,
    exportable,
  })),
);
/** Not z.record, which leaves out a member of the name `__proto__`. */
const tags = optional(
  z.custom<Readonly<Record<string, string>>>(
    isTexts,
    'it must be an object whose members are texts',
  ),
);
const operations = optional(z.array(text(64)).max(16));
const ReleasePolicy = z
  .object({
    contentType: optional(text(256)),
    data: base64urlBytes,
    immutable: optional(z.boolean()),
  })
  .transform(({ contentType, data, immutable }) => ({ contentType, data, immutable }));
const releasePolicy = optional(ReleasePolicy);

/** Fields that we don't know are passed over: SDKs send more with each version. */
export const CreateKeyRequest = z
  .object({
    // First: who asks for an external key names no type, and is told of the former.
    attributes,
    kty: optional(text(64)),
    alg: optional(text(64)),
    key_size: optional(z.int()),
    public_exponent: optional(z.number()),
    crv: optional(text(64)),
    key_ops: operations,
    tags,
    release_policy: releasePolicy,
  })
  .transform((body) => ({
    keyType: body.kty,
    algorithm: body.alg,
    keySize: body.key_size,
    publicExponent: body.public_exponent,
    curve: body.crv,
    operations: body.key_ops,
    attributes: body.attributes,
    tags: body.tags,
    releasePolicy: body.release_policy,
  }));

const bytes = optional(base64urlBytes);

/** `Hsm` is passed over: every key here is an HSM key. */
export const ImportKeyRequest = z
  .object({
    attributes,
    key: z.object({
      kty: text(16),
      crv: optional(text(16)),
      alg: optional(text(64)),
      key_ops: operations,
      key_hsm: bytes,
      ...(Object.fromEntries(JWK_MEMBERS.map((name) => [name, bytes])) as Record<
        (typeof JWK_MEMBERS)[number],
        typeof bytes
      >),
    }),
    tags,
    release_policy: releasePolicy,
  })
  .transform((body) => {
    const { kty, crv, alg, key_ops, key_hsm, ...rest } = body.key;
    return {
      key:
        key_hsm === undefined
          ? { kty, crv, alg, members: withoutUndefined(rest) }
          : { kty, crv, alg, transferBlob: key_hsm },
      operations: key_ops,
      attributes: body.attributes,
      tags: body.tags,
      releasePolicy: body.release_policy,
    };
  });

function isTexts(value: unknown): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((text) => typeof text === 'string')
  );
}

/** What a backup gave, in ASCII. It may have megabytes: what is in it is looked at elsewhere. */
export const RestoreKeyRequest = z.object({
  value: z.union([
    z.instanceof(Uint8Array),
    base64urlText.min(1).transform((text): Uint8Array => Buffer.from(text, 'latin1')),
  ]),
});

export const UpdateKeyRequest = z
  .object({ key_ops: operations, attributes, tags, release_policy: releasePolicy })
  .transform((body) => ({
    operations: body.key_ops,
    attributes: body.attributes,
    tags: body.tags,
    releasePolicy: body.release_policy,
  }));

/** How responses name things: `origin` is https://host[:port] as the client wrote it. */
export interface KeyFormat {
  readonly origin: string;
  readonly softDeleteDays: number;
  readonly recoveryLevel: string;
  /** Whether `attributes.key_size` is among what the client's version knows. */
  readonly showsKeySize: boolean;
}

export type KeyFormatOf = (context: RequestContext) => KeyFormat;

/** How a pool's responses name keys and their recovery. */
export function createKeyFormat(pool: PoolRules): KeyFormatOf {
  return (context) => ({
    origin: `https://${context.host.authority}`,
    softDeleteDays: pool.softDeleteDays,
    recoveryLevel: recoveryLevel(pool),
    showsKeySize: apiVersionOf(context).has('symmetricKeySize'),
  });
}

/** https://learn.microsoft.com/azure/key-vault/managed-hsm/soft-delete-overview, in Azure's own strings. */
function recoveryLevel({ softDeleteDays, purgeProtection }: PoolRules): string {
  return `${softDeleteDays < 90 ? 'CustomizedRecoverable' : 'Recoverable'}${purgeProtection ? '' : '+Purgeable'}`;
}

/** A version's identifier: https://host/keys/{name}/{version}. */
export function keyId(origin: string, { identity }: KeyMaterial): string {
  return `${origin}/keys/${identity.name}/${identity.version}`;
}

/** KeyBundle. Members in alphabetical order, as the live service sends them. */
export function serializeKey(version: VerifiedKey, format: KeyFormat) {
  return {
    attributes: serializeAttributes(version, format),
    key: serializeJsonWebKey(version.material, format.origin),
    ...serializeReleasePolicy(version.material),
    ...serializeTags(version),
  };
}

/** KeyItem: without the key itself. `/keys` names the key, `/keys/{name}/versions` each version. */
export function serializeKeyItem(version: KeyVersion, format: KeyFormat, names: 'key' | 'version') {
  return {
    attributes: serializeAttributes(version, format),
    kid:
      names === 'version'
        ? keyId(format.origin, version.material)
        : `${format.origin}/keys/${version.material.identity.name}`,
    ...serializeTags(version),
  };
}

/** DeletedKeyBundle. */
export function serializeDeletedKey(deleted: DeletedKey<VerifiedKey>, format: KeyFormat) {
  return { ...serializeKey(deleted.current, format), ...serializeDeletion(deleted, format) };
}

/** DeletedKeyItem. */
export function serializeDeletedKeyItem(deleted: DeletedKey, format: KeyFormat) {
  return {
    ...serializeKeyItem(deleted.current, format, 'key'),
    ...serializeDeletion(deleted, format),
  };
}

function serializeDeletion({ current, deletedAt, purgeAt }: DeletedKey, { origin }: KeyFormat) {
  return {
    deletedDate: deletedAt,
    recoveryId: `${origin}/deletedkeys/${current.material.identity.name}`,
    scheduledPurgeDate: purgeAt,
  };
}

export function serializeAttributes(
  { attributes, material }: KeyVersion,
  { softDeleteDays, recoveryLevel, showsKeySize }: KeyFormat,
) {
  const { created, enabled, expires, notBefore, updated } = attributes;
  return {
    created,
    enabled,
    exp: expires,
    exportable: material.identity.exportable,
    ...(showsKeySize && material.spec.keyType === 'oct-HSM' && { key_size: material.spec.bits }),
    nbf: notBefore,
    recoverableDays: softDeleteDays,
    recoveryLevel,
    updated,
  };
}

export function serializeReleasePolicy({ identity: { releasePolicy } }: KeyMaterial) {
  if (releasePolicy === undefined) return {};
  const { contentType, data, immutable } = releasePolicy;
  return {
    release_policy: { contentType, data: toBase64url(Buffer.from(data)), immutable },
  };
}

function serializeTags({ tags }: KeyVersion) {
  return Object.keys(tags).length === 0 ? {} : { tags };
}

export function serializeJsonWebKey(material: VerifiedMaterial, origin: string) {
  const { publicKey, spec, identity } = material;
  return {
    ...(spec.keyType === 'AKP-HSM' && { alg: spec.parameterSet }),
    ...(spec.keyType === 'EC-HSM' && { crv: spec.curve }),
    ...(publicKey?.keyType === 'RSA-HSM' && { e: toBase64url(publicKey.e) }),
    key_ops: identity.operations,
    kid: keyId(origin, material),
    kty: spec.keyType,
    ...(publicKey?.keyType === 'RSA-HSM' && { n: toBase64url(publicKey.n) }),
    ...(publicKey?.keyType === 'AKP-HSM' && { pub: toBase64url(publicKey.pub) }),
    ...(publicKey?.keyType === 'EC-HSM' && {
      x: toBase64url(publicKey.x),
      y: toBase64url(publicKey.y),
    }),
  };
}
