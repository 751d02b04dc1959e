import graphene, { type IAlgorithm, type ITemplate } from 'graphene-pk11';
import type { RecipientKey } from '../../core/release/key-release.ts';
import type { KeyMaterial, KeySpec } from '../../core/keys/key.ts';
import { SECURE_WRAPS, type SecureWrapAlgorithm } from '../../core/release/secure-wrap.ts';
import type { Mechanics } from '../capabilities/capabilities.ts';
import { requireKeyWrapPadded } from '../capabilities/refusals.ts';
import * as calls from '../module/calls.ts';
import type { Handle } from '../module/calls.ts';
import { CIPHERS } from './ciphers.ts';
import { decryptionFailed, fromDecryption } from '../module/errors.ts';
import {
  type ReleaseContext,
  OAEP_NAME,
  requireSoftware,
  withLoaded,
  wrapForKey,
  wrapForRecipient,
} from '../keys/key-release.ts';
import { AES_KEY_WRAP, rsaOaep } from './mechanisms.ts';
import { loadedPrivate } from '../keys/templates.ts';

const { KeyGenMechanism, KeyType, ObjectClass } = graphene;

/** Of an AES-256 key under RFC 3394 or RFC 5649. */
const WRAPPED_BYTES = 40;

function aesWrap(form: 'kw' | 'kwp', capabilities: Mechanics): IAlgorithm {
  return form === 'kw' ? AES_KEY_WRAP : requireKeyWrapPadded(capabilities).mechanism;
}
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
export function wrapFreshKey(
  context: ReleaseContext,
  material: KeyMaterial,
  algorithm: SecureWrapAlgorithm,
): Buffer {
  const { session, capabilities } = context;
  const { form } = SECURE_WRAPS[algorithm];
  const isNative = form !== 'oaep' || capabilities.oaepSha256 === 'native';
  if (!isNative) requireSoftware(context, OAEP_NAME.sha256);
  const template = { ...passingKey(isNative), valueLen: 32 };
  const fresh = calls.generateKey(session, KeyGenMechanism.AES, template);
  return calls.withObject(session, fresh, () => {
    if (form === 'oaep') {
      const { publicKey } = material;
      if (publicKey?.keyType !== 'RSA-HSM') throw new TypeError('OAEP is for RSA keys');
      return wrapForKey(context, fresh, publicKey, 'sha256');
    }
    return withLoaded(context, material, keyTemplate(material), (key) =>
      calls.wrapKey(session, aesWrap(form, capabilities), key, fresh),
    );
  });
}

/** What wrapFreshKey gave, wrapped for a recipient who has been admitted. @throws ServiceError DecryptionFailed */
export function rewrapForRecipient(
  context: ReleaseContext,
  material: KeyMaterial,
  algorithm: SecureWrapAlgorithm,
  wrapped: Buffer,
  recipient: RecipientKey,
): Buffer {
  const opened = withLoaded(context, material, keyTemplate(material), (key) =>
    open(context, material, key, algorithm, wrapped),
  );
  return calls.withObject(context.session, opened, () => {
    const rewrapped = wrapForRecipient(context, opened, recipient, 'CKM_RSA_AES_KEY_WRAP', false);
    // Another length than what is made here isn't what this is for.
    if (rewrapped.length - recipient.n.length !== WRAPPED_BYTES) throw decryptionFailed();
    return rewrapped;
  });
}

function open(
  context: ReleaseContext,
  { spec }: KeyMaterial,
  key: Handle,
  algorithm: SecureWrapAlgorithm,
  wrapped: Buffer,
): Handle {
  const { session, capabilities } = context;
  const { form } = SECURE_WRAPS[algorithm];
  if (form === 'oaep' && capabilities.oaepSha256 !== 'native')
    return decryptHere(context, spec, key, wrapped);
  const length = spec.keyType === 'RSA-HSM' ? spec.bits / 8 : WRAPPED_BYTES;
  if (wrapped.length !== length) throw decryptionFailed();
  const mechanism = form === 'oaep' ? OAEP : aesWrap(form, capabilities);
  const attributes = calls.toAttributes(passingKey(true));
  try {
    return calls.unwrapKey(session, mechanism, key, wrapped, attributes);
  } catch (error) {
    throw fromDecryption(error);
  }
}

/** OAEP with SHA-256 where the module lacks it: decrypted as a message, and made an object again. */
function decryptHere(context: ReleaseContext, spec: KeySpec, key: Handle, wrapped: Buffer): Handle {
  requireSoftware(context, OAEP_NAME.sha256);
  const { session, capabilities } = context;
  const cipher = CIPHERS['RSA-OAEP-256'];
  const value = cipher.decrypt({ session, key, spec, capabilities }, { value: wrapped }, {});
  try {
    if (value.length !== 32) throw decryptionFailed();
    return calls.createObject(session, calls.toAttributes({ ...passingKey(true), value }));
  } finally {
    value.fill(0);
  }
}

/** C_UnwrapKey asks for its own right, which RSA keys don't have otherwise. */
function keyTemplate({ identity, spec }: KeyMaterial): ITemplate {
  return { ...loadedPrivate(identity, spec), unwrap: true };
}
