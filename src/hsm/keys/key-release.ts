import graphene from 'graphene-pk11';
import { ServiceError } from '../../core/errors.ts';
import {
  type RecipientKey,
  RELEASE_WRAPS,
  type ReleaseWrap,
} from '../../core/release/key-release.ts';
import type { KeyIdentity, KeyMaterial, KeySpec } from '../../core/keys/key.ts';
import { unpackBytes } from '../../core/keys/packed-bytes.ts';
import { requireKeyWrapPadded, requireRelease } from '../capabilities/refusals.ts';
import * as calls from '../module/calls.ts';
import type { Handle, ModuleSession, Template } from '../module/calls.ts';
import type { Capabilities, Mechanics, Padding } from '../capabilities/capabilities.ts';
import { wrapPaddedInBlocks } from '../operations/key-wrap-blocks.ts';
import { RSA_RAW, rsaOaep } from '../operations/mechanisms.ts';
import { keepsSeeds } from './keeping/keepings.ts';
import { unwrapSealed } from './sealed-blob.ts';
import type { RootKeys } from './root-keys.ts';
import { oaepEncode, type OaepHash } from '../operations/rsa-padding.ts';
import {
  dataKey,
  recipientPublic,
  releasedPrivate,
  unwrappedDataKey,
  unwrappedPrivate,
} from './templates.ts';

const { KeyGenMechanism, KeyType, ObjectClass } = graphene;

/** What wrapping a key for a recipient takes. */
export interface ReleaseContext {
  readonly session: ModuleSession;
  readonly rootKeys: RootKeys;
  readonly capabilities: Mechanics;
  /**
   * The module keeps its keys in this process's own memory. Only then is it made up for here what the module can't wrap:
   * nothing comes nearer to us than it is already.
   */
  readonly isSoftware: boolean;
}

/**
 * The target's key wrapped for a recipient: RSA-OAEP of a one-time AES-256 key, and after it the target by that key. PKCS#11
 * has it as one mechanism, CKM_RSA_AES_KEY_WRAP, whose parameters the binding can't give, so its two steps are taken here:
 * both keys stay objects of the HSM, extractable ones, from one call to the next and no longer.
 * The seal has been verified, and says that the key may leave.
 */
export function releaseKey(
  context: ReleaseContext & { readonly capabilities: Capabilities },
  material: KeyMaterial,
  recipient: RecipientKey,
  wrap: ReleaseWrap,
): Buffer {
  const { identity, spec } = material;
  requireRelease(context.capabilities, spec, wrap);
  const template = releasedTemplate(identity, spec, context.capabilities);
  return withLoaded(context, material, template, (target) =>
    wrapForRecipient(context, target, recipient, wrap, spec.keyType !== 'oct-HSM'),
  );
}

/** Of what is unwrapped to be released: of some keys of ML-DSA that is a secret to the module. */
export function releasedTemplate(
  identity: KeyIdentity,
  spec: KeySpec,
  capabilities: Pick<Capabilities, 'keeping' | 'mlDsaKeys'>,
): Template {
  const isSecret = spec.keyType === 'AKP-HSM' && keepsSeeds(capabilities);
  return isSecret ? dataKey() : releasedPrivate(identity, spec);
}

/** A sealed key as an object of its own, for the length of `use`. */
export function withLoaded<T>(
  context: ReleaseContext,
  { sealed, publicKey }: KeyMaterial,
  template: Template,
  use: (key: Handle) => T,
): T {
  const blob = unpackBytes(sealed.blob);
  const attributes = unwrappedPrivate(template, publicKey, context.capabilities);
  const key = unwrapSealed(context, blob, attributes);
  return calls.withObject(context.session, key, use);
}

/** An extractable object, wrapped for a recipient in the two steps. @param isDer whether it is wrapped as PKCS #8 */
export function wrapForRecipient(
  context: ReleaseContext,
  target: Handle,
  recipient: RecipientKey,
  wrap: ReleaseWrap,
  isDer: boolean,
): Buffer {
  const { session, capabilities } = context;
  const hash = RELEASE_WRAPS[wrap];
  const isNative = OAEP_CAPABILITY[hash](capabilities) === 'native';
  if (!isNative) requireSoftware(context, OAEP_NAME[hash]);
  const transport = calls.generateKey(session, KeyGenMechanism.AES, transportKey(isNative));
  return calls.withObject(session, transport, () =>
    Buffer.concat([
      wrapForKey(context, transport, recipient, hash),
      wrapTarget(context, transport, target, isDer),
    ]),
  );
}

/** RSA-OAEP of an extractable AES key; one that can be read, where the module lacks the hash. */
export function wrapForKey(
  context: ReleaseContext,
  key: Handle,
  recipient: RecipientKey,
  hash: OaepHash,
): Buffer {
  const { session, capabilities } = context;
  return OAEP_CAPABILITY[hash](capabilities) === 'native'
    ? withRecipient(context, recipient, (publicKey) =>
        calls.wrapKey(session, rsaOaep(hash), publicKey, key),
      )
    : encryptTransport(context, key, recipient, hash);
}

export const OAEP_CAPABILITY: Readonly<Record<OaepHash, (of: Mechanics) => Padding>> = {
  sha1: ({ oaepSha1 }) => oaepSha1,
  sha256: ({ oaepSha256 }) => oaepSha256,
  sha384: ({ oaepSha384 }) => oaepSha384,
};

/** @param lack what would be made up for @throws ServiceError BadParameter */
export function requireSoftware({ isSoftware, capabilities }: ReleaseContext, lack: string): void {
  if (!isSoftware)
    throw new ServiceError(
      'BadParameter',
      `The HSM of this pool, ${capabilities.module}, does not wrap this key so: it lacks ${lack}.`,
    );
}

export const OAEP_NAME: Readonly<Record<OaepHash, string>> = {
  sha1: 'CKM_RSA_PKCS_OAEP with SHA-1',
  sha256: 'CKM_RSA_PKCS_OAEP with SHA-256',
  sha384: 'CKM_RSA_PKCS_OAEP with SHA-384',
};
const EXACT_KEY_WRAP = 'RFC 5649 that keeps lengths, since its own rounds them up to 8 bytes';

export function transportKey(sensitive: boolean): Template {
  return {
    class: ObjectClass.SECRET_KEY,
    keyType: KeyType.AES,
    valueLen: 32,
    token: false,
    private: true,
    sensitive,
    extractable: true,
    wrap: true,
    unwrap: true,
    encrypt: true,
    decrypt: false,
  };
}

function withRecipient<T>(
  { session, capabilities }: ReleaseContext,
  recipient: RecipientKey,
  use: (publicKey: Handle) => T,
): T {
  const template = recipientPublic(recipient, capabilities);
  const publicKey = calls.createObject(session, calls.toAttributes(template));
  return calls.withObject(session, publicKey, () => use(publicKey));
}

/** OAEP with a hash that the module doesn't have: encoded here, encrypted there. */
function encryptTransport(
  context: ReleaseContext,
  transport: Handle,
  recipient: RecipientKey,
  hash: OaepHash,
): Buffer {
  const { session } = context;
  const value = calls.readValue(session, transport);
  const k = recipient.n.length;
  const encoded = oaepEncode(value, k, hash, calls.randomBytes(session, HASH_BYTES[hash]));
  try {
    return withRecipient(context, recipient, (publicKey) =>
      calls.encrypt(session, RSA_RAW, publicKey, encoded, k),
    );
  } finally {
    value.fill(0);
    encoded.fill(0);
  }
}

const HASH_BYTES: Readonly<Record<OaepHash, number>> = { sha1: 20, sha256: 32, sha384: 48 };

/** The second step. @param isDer whether what is wrapped is a PKCS #8, whose length may be any */
export function wrapTarget(
  context: ReleaseContext,
  transport: Handle,
  target: Handle,
  isDer: boolean,
): Buffer {
  const { session, capabilities } = context;
  const { mechanism, keepsLength } = requireKeyWrapPadded(capabilities);
  // Now and then a length is a multiple of 8 bytes: a key must not be released or not by chance.
  if (isDer && !keepsLength) requireSoftware(context, EXACT_KEY_WRAP);
  const wrapped = calls.wrapKey(session, mechanism, transport, target);
  // Such a module writes a length that is rounded up to 8 bytes. AES keys are of such a length; DER rarely is, and those who
  // read it strictly refuse the zeros that seem to follow it.
  if (keepsLength || !isDer) return wrapped;
  const padded = calls.unwrapKey(
    session,
    mechanism,
    transport,
    wrapped,
    unwrappedDataKey(capabilities),
  );
  const value = calls.withObject(session, padded, () => calls.readValue(session, padded));
  try {
    const length = derLength(value);
    if (length === value.length) return wrapped;
    return wrapPaddedInBlocks(session, transport, value.subarray(0, length));
  } finally {
    value.fill(0);
  }
}

/** Bytes of the one DER value at the beginning of some bytes (X.690 §8.1.3). */
export function derLength(bytes: Buffer): number {
  const first = bytes.readUInt8(1);
  if (first < 0x80) return 2 + first;
  const lengthBytes = first & 0x7f;
  return 2 + lengthBytes + bytes.readUIntBE(2, lengthBytes);
}
