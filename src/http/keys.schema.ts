import { z } from 'zod';
import { type DeletedKey, type KeyMaterial, type KeyVersion } from '../core/key.ts';
import { JWK_MEMBERS } from '../core/key-import.ts';
import { type PoolRules } from '../core/new-version.ts';
import { base64urlBytes, base64urlText, toBase64url } from './base64url.ts';
import { type RequestContext } from './context.ts';
import { optional } from './optional.ts';

/** Seconds since 1970-01-01 UTC; negative ones come from clients that cut dates to 32 bits. */
const seconds = z.int();

const Attributes = z.object({
  enabled: optional(z.boolean()),
  nbf: optional(seconds),
  exp: optional(seconds),
  exportable: optional(z.boolean()),
});

const attributes = optional(
  Attributes.transform(({ enabled, nbf, exp, exportable }) => ({
    enabled,
    notBefore: nbf,
    expires: exp,
    exportable,
  })),
);
const tags = optional(z.record(z.string(), z.string()));
const operations = optional(z.array(z.string()).max(16));
const ReleasePolicy = z
  .object({
    contentType: optional(z.string().max(256)),
    data: base64urlBytes,
    immutable: optional(z.boolean()),
  })
  .transform(({ contentType, data, immutable }) => ({ contentType, data, immutable }));
const releasePolicy = optional(ReleasePolicy);

/** Fields that we don't know are passed over: SDKs send more with each version. */
export const CreateKeyRequest = z
  .object({
    kty: z.string(),
    key_size: optional(z.int()),
    public_exponent: optional(z.int()),
    crv: optional(z.string()),
    key_ops: operations,
    attributes,
    tags,
    release_policy: releasePolicy,
  })
  .transform((body) => ({
    keyType: body.kty,
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
    key: z.object({
      kty: z.string().max(16),
      crv: optional(z.string().max(16)),
      key_ops: operations,
      key_hsm: bytes,
      ...(Object.fromEntries(JWK_MEMBERS.map((name) => [name, bytes])) as Record<
        (typeof JWK_MEMBERS)[number],
        typeof bytes
      >),
    }),
    attributes,
    tags,
    release_policy: releasePolicy,
  })
  .transform((body) => {
    const { kty, crv, key_ops, key_hsm, ...rest } = body.key;
    return {
      key:
        key_hsm === undefined
          ? { kty, crv, members: present(rest) }
          : { kty, crv, transferBlob: key_hsm },
      operations: key_ops,
      attributes: body.attributes,
      tags: body.tags,
      releasePolicy: body.release_policy,
    };
  });

/** exactOptionalPropertyTypes: absent, rather than there and undefined. */
function present<Name extends string>(members: Readonly<Record<Name, Uint8Array | undefined>>) {
  return Object.fromEntries(
    Object.entries(members).filter(([, value]) => value !== undefined),
  ) as Partial<Record<Name, Uint8Array>>;
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

/** How answers name things: `origin` is https://host[:port] as the caller wrote it. */
export interface Presenting {
  readonly origin: string;
  readonly softDeleteDays: number;
  readonly recoveryLevel: string;
}

export type KeyPresenter = (context: RequestContext) => Presenting;

/** How a pool's answers name keys and their recovery. */
export function createKeyPresenter(pool: PoolRules): KeyPresenter {
  return ({ host }) => ({
    origin: `https://${host.authority}`,
    softDeleteDays: pool.softDeleteDays,
    recoveryLevel: recoveryLevel(pool),
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
export function presentKey(version: KeyVersion, presenting: Presenting) {
  return {
    attributes: presentAttributes(version, presenting),
    key: presentJsonWebKey(version.material, presenting.origin),
    ...presentReleasePolicy(version.material),
    ...presentTags(version),
  };
}

/** KeyItem: without the key itself. `/keys` names the key, `/keys/{name}/versions` each version. */
export function presentKeyItem(
  version: KeyVersion,
  presenting: Presenting,
  names: 'key' | 'version',
) {
  return {
    attributes: presentAttributes(version, presenting),
    kid:
      names === 'version'
        ? keyId(presenting.origin, version.material)
        : `${presenting.origin}/keys/${version.material.identity.name}`,
    ...presentTags(version),
  };
}

/** DeletedKeyBundle. */
export function presentDeletedKey(deleted: DeletedKey, presenting: Presenting) {
  return { ...presentKey(deleted.current, presenting), ...presentDeletion(deleted, presenting) };
}

/** DeletedKeyItem. */
export function presentDeletedKeyItem(deleted: DeletedKey, presenting: Presenting) {
  return {
    ...presentKeyItem(deleted.current, presenting, 'key'),
    ...presentDeletion(deleted, presenting),
  };
}

function presentDeletion({ current, deletedAt, purgeAt }: DeletedKey, { origin }: Presenting) {
  return {
    deletedDate: deletedAt,
    recoveryId: `${origin}/deletedkeys/${current.material.identity.name}`,
    scheduledPurgeDate: purgeAt,
  };
}

export function presentAttributes(
  { attributes, material }: KeyVersion,
  { softDeleteDays, recoveryLevel }: Presenting,
) {
  const { created, enabled, expires, notBefore, updated } = attributes;
  return {
    created,
    enabled,
    ...(expires !== undefined && { exp: expires }),
    exportable: material.identity.exportable,
    ...(notBefore !== undefined && { nbf: notBefore }),
    recoverableDays: softDeleteDays,
    recoveryLevel,
    updated,
  };
}

export function presentReleasePolicy({ identity: { releasePolicy } }: KeyMaterial) {
  if (releasePolicy === undefined) return {};
  const { contentType, data, immutable } = releasePolicy;
  return {
    release_policy: { contentType, data: toBase64url(Buffer.from(data)), immutable },
  };
}

function presentTags({ tags }: KeyVersion) {
  return Object.keys(tags).length === 0 ? {} : { tags };
}

export function presentJsonWebKey(material: KeyMaterial, origin: string) {
  const { publicKey, spec, identity } = material;
  return {
    ...(spec.keyType === 'EC-HSM' && { crv: spec.curve }),
    ...(publicKey?.keyType === 'RSA-HSM' && { e: toBase64url(publicKey.e) }),
    key_ops: identity.operations,
    kid: keyId(origin, material),
    kty: spec.keyType,
    ...(publicKey?.keyType === 'RSA-HSM' && { n: toBase64url(publicKey.n) }),
    ...(publicKey?.keyType === 'EC-HSM' && {
      x: toBase64url(publicKey.x),
      y: toBase64url(publicKey.y),
    }),
  };
}
