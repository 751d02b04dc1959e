import { createCipheriv, createDecipheriv, createPrivateKey, createPublicKey } from 'node:crypto';
import graphene from 'graphene-pk11';
import type { KeySpec, PublicKey } from '../../core/keys/key.ts';
import { RELEASE_WRAPS, type ReleaseWrap } from '../../core/release/key-release.ts';
import {
  derLength,
  OAEP_CAPABILITY,
  OAEP_NAME,
  releasedTemplate,
  transportKey,
  wrapForKey,
  wrapTarget,
} from '../keys/key-release.ts';
import { readMlDsaPkcs8 } from '../keys/pkcs8.ts';
import type { RootKeys } from '../keys/root-keys.ts';
import { unwrapBlob } from '../keys/sealed-blob.ts';
import { unwrappedPrivate } from '../keys/templates.ts';
import * as calls from '../module/calls.ts';
import type { Handle, ModuleSession } from '../module/calls.ts';
import { AES_ECB, RSA_RAW, rsaOaep } from '../operations/mechanisms.ts';
import { oaepDecode, type OaepHash } from '../operations/rsa-padding.ts';
import type { Capabilities, Mechanics } from './capabilities.ts';
import { aesObject } from './key-wrap-trials.ts';
import { type Lack, lackOf } from './lack.ts';
import { identityFor } from './trial-identity.ts';

interface Trial {
  readonly session: ModuleSession;
  readonly rootKeys: RootKeys;
  readonly capabilities: Mechanics;
  /** Its keys are in this process's memory anyway, so that what it lacks is made up for. */
  readonly isSoftware: boolean;
}

/** A key that was made for trials, as it is kept and as it is used. */
interface TriedKey {
  readonly spec: KeySpec;
  readonly blob: Buffer;
  readonly publicKey?: PublicKey | undefined;
  readonly private: Handle;
}

const { KeyGenMechanism } = graphene;
const BLOCK = Buffer.alloc(16, 7);

/**
 * Why a key isn't released, by doing it: the key is wrapped by an AES key that is known, opened outside the HSM, and has to be
 * the one that it was. It was made for that and is of no other use.
 */
export function tryRelease(trial: Trial, key: TriedKey): Lack | undefined {
  const { session, capabilities } = trial;
  const { keyWrapPadded } = capabilities;
  if (keyWrapPadded === undefined)
    return { mechanism: 'RFC 5649', answer: 'under no number that is known' };
  const isDer = key.spec.keyType !== 'oct-HSM';
  if (isDer && !keyWrapPadded.keepsLength && !trial.isSoftware) return ROUNDS_UP;
  return lackOf('RFC 5649', () => {
    const value = calls.randomBytes(session, 32);
    const transport = aesObject(session, value, { wrap: true, unwrap: true, encrypt: true });
    const wrapped = calls.withObject(session, transport, () => {
      const template = releasedTemplate(identityFor(key.spec), key.spec, capabilities);
      const attributes = unwrappedPrivate(template, key.publicKey, capabilities);
      const target = unwrapBlob(trial, key.blob, attributes);
      return calls.withObject(session, target, () => wrapTarget(trial, transport, target, isDer));
    });
    return isKey(trial, key, unwrapped(value, wrapped)) || 'another key comes out';
  });
}

/** Now and then a length is a multiple of 8 bytes: a key must not be released or not by chance. */
const ROUNDS_UP: Lack = {
  mechanism: 'RFC 5649',
  answer: 'its own rounds lengths up to 8 bytes, so that nobody could read the key',
};

/** RFC 5649 by OpenSSL. @throws Error where it wasn't wrapped so */
function unwrapped(key: Buffer, wrapped: Buffer): Buffer {
  const decipher = createDecipheriv('id-aes256-wrap-pad', key, Buffer.from('a65959a6', 'hex'));
  return Buffer.concat([decipher.update(wrapped), decipher.final()]);
}

function isKey({ session }: Trial, key: TriedKey, value: Buffer): boolean {
  const { spec, publicKey } = key;
  if (spec.keyType === 'oct-HSM') {
    const block = calls.encrypt(session, AES_ECB, key.private, BLOCK, BLOCK.length);
    return value.length === spec.bits / 8 && enciphered(value).equals(block);
  }
  // A strict reader refuses what seems to follow it.
  if (derLength(value) !== value.length) return false;
  if (spec.keyType === 'AKP-HSM') return Object.keys(readMlDsaPkcs8(value)).length > 0;
  const jwk = createPublicKey(
    createPrivateKey({ key: value, format: 'der', type: 'pkcs8' }),
  ).export({ format: 'jwk' });
  const isSame = (member: string | undefined, bytes: Uint8Array) =>
    member !== undefined && Buffer.from(member, 'base64url').equals(bytes);
  if (publicKey?.keyType === 'RSA-HSM') return isSame(jwk.n, publicKey.n);
  return (
    publicKey?.keyType === 'EC-HSM' && isSame(jwk.x, publicKey.x) && isSame(jwk.y, publicKey.y)
  );
}

function enciphered(key: Buffer): Buffer {
  const cipher = createCipheriv(`aes-${key.length * 8}-ecb`, key, null).setAutoPadding(false);
  return Buffer.concat([cipher.update(BLOCK), cipher.final()]);
}

/** For whom keys are wrapped in these trials: an RSA-2048 key whose private half is in the HSM. */
interface Recipient {
  readonly publicKey: PublicKey;
  readonly private: Handle;
}

/** Why the one-time key of a release isn't wrapped for a recipient, by each way to do it. */
export function tryReleaseWraps(
  trial: Trial,
  recipient: Recipient,
): Capabilities['releaseWrapLacks'] {
  const lacks: Partial<Record<ReleaseWrap, Lack>> = {};
  for (const [wrap, hash] of Object.entries(RELEASE_WRAPS) as [ReleaseWrap, OaepHash][]) {
    const lack = tryTransport(trial, recipient, hash);
    if (lack !== undefined) lacks[wrap] = lack;
  }
  return lacks;
}

function tryTransport(trial: Trial, recipient: Recipient, hash: OaepHash): Lack | undefined {
  const { session, capabilities, isSoftware } = trial;
  const isNative = OAEP_CAPABILITY[hash](capabilities) === 'native';
  if (!isNative && !isSoftware)
    return { mechanism: OAEP_NAME[hash], answer: 'what it enciphers does not come back' };
  return lackOf(OAEP_NAME[hash], () => {
    const { publicKey } = recipient;
    if (publicKey.keyType !== 'RSA-HSM') throw new TypeError('OAEP is for RSA keys');
    const transport = calls.generateKey(session, KeyGenMechanism.AES, transportKey(isNative));
    return calls.withObject(session, transport, () => {
      const wrapped = wrapForKey(trial, transport, publicKey, hash);
      const mechanism = isNative ? rsaOaep(hash) : RSA_RAW;
      const opened = calls.decrypt(session, mechanism, recipient.private, wrapped, wrapped.length);
      const value = isNative ? opened : oaepDecode(opened, hash);
      const block = calls.encrypt(session, AES_ECB, transport, BLOCK, BLOCK.length);
      return value?.length === 32 && enciphered(value).equals(block);
    });
  });
}
