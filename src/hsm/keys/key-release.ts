import graphene, { type ITemplate, type Key, type Session } from 'graphene-pk11';
import { ServiceError } from '../../core/errors.ts';
import {
  type RecipientKey,
  RELEASE_WRAPS,
  type ReleaseWrap,
} from '../../core/release/key-release.ts';
import { type KeyMaterial } from '../../core/keys/key.ts';
import { unpackBytes } from '../../core/keys/packed-bytes.ts';
import { type Capabilities } from '../module/capabilities.ts';
import { wrapPadded } from '../operations/key-wrap-padded.ts';
import { KEY_WRAP_PADDED, rsaOaep } from '../operations/mechanisms.ts';
import { type NativeCalls } from '../module/native-calls.ts';
import { readBytes } from './read-bytes.ts';
import { type RootKeys } from './root-keys.ts';
import { oaepEncode, type OaepHash } from '../operations/rsa-padding.ts';
import { dataKey, releasedPrivate } from './templates.ts';

const { KeyGenMechanism, KeyType, MechanismEnum, ObjectClass } = graphene;

export interface ReleaseContext {
  readonly session: Session;
  readonly rootKeys: RootKeys;
  readonly calls: NativeCalls;
  readonly capabilities: Capabilities;
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
  context: ReleaseContext,
  material: KeyMaterial,
  recipient: RecipientKey,
  wrap: ReleaseWrap,
): Promise<Buffer> {
  const { identity, spec } = material;
  return withLoaded(context, material, releasedPrivate(identity, spec), (target) =>
    wrapForRecipient(context, target, recipient, wrap),
  );
}

/** A sealed key as an object of its own, for the length of `use`. */
export async function withLoaded<T>(
  { session, rootKeys, calls }: ReleaseContext,
  { spec, sealed }: KeyMaterial,
  template: ITemplate,
  use: (key: Key) => Promise<T>,
): Promise<T> {
  const key = await calls.run(`load ${spec.keyType}`, 'brief', {
    inline: () =>
      session.unwrapKey(KEY_WRAP_PADDED, rootKeys.wrap, unpackBytes(sealed.blob), template),
    offLoop: (done) => {
      session.unwrapKey(KEY_WRAP_PADDED, rootKeys.wrap, unpackBytes(sealed.blob), template, done);
    },
  });
  try {
    return await use(key);
  } finally {
    key.destroy();
  }
}

/** An extractable object, wrapped for a recipient in the two steps. */
export async function wrapForRecipient(
  context: ReleaseContext,
  target: Key,
  recipient: RecipientKey,
  wrap: ReleaseWrap,
): Promise<Buffer> {
  const hash = RELEASE_WRAPS[wrap];
  const isNative = OAEP_CAPABILITY[hash](context.capabilities) === 'native';
  if (!isNative) requireSoftware(context);
  const transport = context.session.generateKey(KeyGenMechanism.AES, transportKey(isNative));
  try {
    const forRecipient = await wrapForKey(context, transport, recipient, hash);
    return Buffer.concat([forRecipient, await wrapTarget(context, transport, target)]);
  } finally {
    transport.destroy();
  }
}

/** RSA-OAEP of an extractable AES key; one that can be read, where the module lacks the hash. */
export function wrapForKey(
  context: ReleaseContext,
  key: Key,
  recipient: RecipientKey,
  hash: OaepHash,
): Promise<Buffer> {
  return OAEP_CAPABILITY[hash](context.capabilities) === 'native'
    ? wrapTransport(context, key, recipient, hash)
    : encryptTransport(context.session, key, recipient, hash);
}

const OAEP_CAPABILITY: Readonly<Record<OaepHash, (of: Capabilities) => 'native' | 'raw'>> = {
  sha1: ({ oaepSha1 }) => oaepSha1,
  sha256: ({ oaepSha256 }) => oaepSha256,
  sha384: ({ oaepSha384 }) => oaepSha384,
};

export function requireSoftware({ isSoftware }: ReleaseContext): void {
  if (!isSoftware)
    throw new ServiceError('BadParameter', 'The HSM of this pool does not wrap keys in this way.');
}

function transportKey(sensitive: boolean): ITemplate {
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

async function withRecipient<T>(
  session: Session,
  { n, e }: RecipientKey,
  use: (publicKey: Key) => T | Promise<T>,
): Promise<T> {
  const publicKey = session
    .create({
      class: ObjectClass.PUBLIC_KEY,
      keyType: KeyType.RSA,
      token: false,
      private: false,
      wrap: true,
      encrypt: true,
      modulus: Buffer.from(n),
      publicExponent: Buffer.from(e),
    })
    .toType<Key>();
  try {
    return await use(publicKey);
  } finally {
    publicKey.destroy();
  }
}

function wrapTransport(
  { session, calls }: ReleaseContext,
  transport: Key,
  recipient: RecipientKey,
  hash: OaepHash,
): Promise<Buffer> {
  const mechanism = rsaOaep(hash);
  return withRecipient(session, recipient, (publicKey) =>
    calls.run('wrap RSA_PKCS_OAEP', 'fast', {
      inline: () => session.wrapKey(mechanism, publicKey, transport),
      offLoop: (done) => {
        session.wrapKey(mechanism, publicKey, transport, done);
      },
    }),
  );
}

/** OAEP with a hash that the module doesn't have: encoded here, encrypted there. */
async function encryptTransport(
  session: Session,
  transport: Key,
  recipient: RecipientKey,
  hash: OaepHash,
): Promise<Buffer> {
  const value = readBytes(transport, 'value');
  const k = recipient.n.length;
  const encoded = oaepEncode(value, k, hash, session.generateRandom(HASH_BYTES[hash]));
  try {
    return await withRecipient(session, recipient, (publicKey) =>
      session
        .createCipher({ name: MechanismEnum.RSA_X_509, params: null }, publicKey)
        .once(encoded, Buffer.alloc(k)),
    );
  } finally {
    value.fill(0);
    encoded.fill(0);
  }
}

const HASH_BYTES: Readonly<Record<OaepHash, number>> = { sha1: 20, sha256: 32, sha384: 48 };

async function wrapTarget(context: ReleaseContext, transport: Key, target: Key): Promise<Buffer> {
  const { session, capabilities, calls } = context;
  const wrapped = await calls.run('wrap sealed', 'brief', {
    inline: () => session.wrapKey(KEY_WRAP_PADDED, transport, target),
    offLoop: (done) => {
      session.wrapKey(KEY_WRAP_PADDED, transport, target, done);
    },
  });
  if (capabilities.keyWrapPadded === 'native') return wrapped;
  // Such a module writes a length that is rounded up to 8 bytes. AES keys are such a length; DER rarely is, and those who
  // read it strictly refuse the zeros that seem to follow it.
  const padded = session.unwrapKey(KEY_WRAP_PADDED, transport, wrapped, dataKey());
  let value: Buffer;
  try {
    value = readBytes(padded, 'value');
  } finally {
    padded.destroy();
  }
  try {
    const length = isDer(target) ? derLength(value) : value.length;
    if (length === value.length) return wrapped;
    requireSoftware(context);
    return wrapPadded(session, transport, value.subarray(0, length));
  } finally {
    value.fill(0);
  }
}

function isDer(target: Key): boolean {
  return target.getAttribute({ class: null }).class === ObjectClass.PRIVATE_KEY;
}

/** Bytes of the one DER value at the beginning of some bytes (X.690 §8.1.3). */
function derLength(bytes: Buffer): number {
  const first = bytes.readUInt8(1);
  if (first < 0x80) return 2 + first;
  const lengthBytes = first & 0x7f;
  return 2 + lengthBytes + bytes.readUIntBE(2, lengthBytes);
}
