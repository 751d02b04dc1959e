import graphene, { type IAlgorithm, type ITemplate, type Key } from 'graphene-pk11';
import { type RecipientKey } from '../../core/release/key-release.ts';
import { type KeyMaterial } from '../../core/keys/key.ts';
import { SECURE_WRAPS, type SecureWrapAlgorithm } from '../../core/release/secure-wrap.ts';
import { CIPHERS } from './ciphers.ts';
import { decryptionFailed, fromDecryption } from '../module/errors.ts';
import {
  type ReleaseContext,
  requireSoftware,
  withLoaded,
  wrapForKey,
  wrapForRecipient,
} from '../keys/key-release.ts';
import { KEY_WRAP_PADDED, rsaOaep } from './mechanisms.ts';
import { loadedPrivate } from '../keys/templates.ts';

const { KeyGenMechanism, KeyType, MechanismEnum, ObjectClass } = graphene;

/** Of an AES-256 key under RFC 3394 or RFC 5649. */
const WRAPPED_BYTES = 40;

const AES_WRAP: Readonly<Record<'kw' | 'kwp', IAlgorithm>> = {
  kw: { name: MechanismEnum.AES_KEY_WRAP, params: null },
  kwp: KEY_WRAP_PADDED,
};
const OAEP = rsaOaep('sha256');

/** A data key on its way: good for nothing but to be wrapped. */
function passingKey(sensitive: boolean): ITemplate {
  return {
    class: ObjectClass.SECRET_KEY,
    keyType: KeyType.AES,
    token: false,
    private: true,
    sensitive,
    extractable: true,
    encrypt: false,
    decrypt: false,
    wrap: false,
    unwrap: false,
  };
}

/** An AES-256 key that is made for it, wrapped. The seal has been verified. */
export async function wrapFreshKey(
  context: ReleaseContext,
  material: KeyMaterial,
  algorithm: SecureWrapAlgorithm,
): Promise<Buffer> {
  const { session, capabilities, calls } = context;
  const { form } = SECURE_WRAPS[algorithm];
  const isNative = form !== 'oaep' || capabilities.oaepSha256 === 'native';
  if (!isNative) requireSoftware(context);
  const template = { ...passingKey(isNative), valueLen: 32 };
  const fresh = session.generateKey(KeyGenMechanism.AES, template);
  try {
    if (form === 'oaep') {
      const { publicKey } = material;
      if (publicKey?.keyType !== 'RSA-HSM') throw new TypeError('OAEP is for RSA keys');
      return await wrapForKey(context, fresh, publicKey, 'sha256');
    }
    return await withLoaded(context, material, keyTemplate(material), (key) =>
      calls.run('wrap AES_KEY_WRAP', 'fast', {
        inline: () => session.wrapKey(AES_WRAP[form], key, fresh),
        offLoop: (done) => {
          session.wrapKey(AES_WRAP[form], key, fresh, done);
        },
      }),
    );
  } finally {
    fresh.destroy();
  }
}

/** What wrapFreshKey gave, wrapped for a recipient who has been admitted. @throws ServiceError DecryptionFailed */
export async function rewrapForRecipient(
  context: ReleaseContext,
  material: KeyMaterial,
  algorithm: SecureWrapAlgorithm,
  wrapped: Buffer,
  recipient: RecipientKey,
): Promise<Buffer> {
  const opened = await withLoaded(context, material, keyTemplate(material), (key) =>
    open(context, material, key, algorithm, wrapped),
  );
  try {
    const rewrapped = await wrapForRecipient(context, opened, recipient, 'CKM_RSA_AES_KEY_WRAP');
    // Another length than what is made here isn't what this is for.
    if (rewrapped.length - recipient.n.length !== WRAPPED_BYTES) throw decryptionFailed();
    return rewrapped;
  } finally {
    opened.destroy();
  }
}

function open(
  context: ReleaseContext,
  { spec }: KeyMaterial,
  key: Key,
  algorithm: SecureWrapAlgorithm,
  wrapped: Buffer,
): Promise<Key> {
  const { session, calls, capabilities } = context;
  const { form } = SECURE_WRAPS[algorithm];
  const decryptHere = async () => {
    requireSoftware(context);
    const cipher = CIPHERS['RSA-OAEP-256'];
    const value = await cipher.decrypt(
      { session, key, spec, calls, capabilities },
      { value: wrapped },
      {},
    );
    try {
      if (value.length !== 32) throw decryptionFailed();
      return session.create({ ...passingKey(true), value }).toType<Key>();
    } finally {
      value.fill(0);
    }
  };
  if (form === 'oaep' && capabilities.oaepSha256 !== 'native') return decryptHere();
  const length = spec.keyType === 'RSA-HSM' ? spec.bits / 8 : WRAPPED_BYTES;
  if (wrapped.length !== length) throw decryptionFailed();
  const mechanism = form === 'oaep' ? OAEP : AES_WRAP[form];
  return calls
    .run<Key>(`unwrap ${form}`, 'brief', {
      inline: () => session.unwrapKey(mechanism, key, wrapped, passingKey(true)),
      offLoop: (done) => {
        session.unwrapKey(mechanism, key, wrapped, passingKey(true), done);
      },
    })
    .catch((error: unknown) => {
      throw fromDecryption(error);
    });
}

/** C_UnwrapKey asks for its own right, which RSA keys don't have otherwise. */
function keyTemplate({ identity, spec }: KeyMaterial): ITemplate {
  return { ...loadedPrivate(identity, spec), unwrap: true };
}
