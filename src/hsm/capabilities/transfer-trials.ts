import {
  createCipheriv,
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  publicEncrypt,
} from 'node:crypto';
import graphene, { type IAlgorithm } from 'graphene-pk11';
import type { PublicKey } from '../../core/keys/key.ts';
import { deriveEcPublicKey } from '../keys/ec-public-key.ts';
import { keepingForTrials } from '../keys/keeping/keepings.ts';
import {
  importedMac,
  transferKey,
  transferredPrivate,
  triedPrivate,
  UNKNOWN_POINT,
  unwrappedPrivate,
} from '../keys/templates.ts';
import * as calls from '../module/calls.ts';
import type { Handle, ModuleSession, Template } from '../module/calls.ts';
import { AES_ECB, HMAC_SHA256, rsaOaep } from '../operations/mechanisms.ts';
import type { Capabilities, Mechanics } from './capabilities.ts';
import { aesObject } from './key-wrap-trials.ts';
import { type Lack, lackOf } from './lack.ts';
import { identityFor } from './trial-identity.ts';

const { KeyType } = graphene;

interface Trial {
  readonly session: ModuleSession;
  readonly capabilities: Mechanics;
}

/** A key exchange key, which unwraps: an RSA key. */
export interface ExchangeKey {
  readonly publicKey: PublicKey;
  /** Its private half as an object; to be destroyed. */
  readonly open: () => Handle;
}

const OAEP_SHA1 = rsaOaep('sha1');
const EC_P256 = { keyType: 'EC-HSM', curve: 'P-256' } as const;
const AES_256 = { keyType: 'oct-HSM', bits: 256 } as const;
const BLOCK = Buffer.alloc(16, 7);

/**
 * Why keys of a type aren't taken in wrapped (BYOK), by taking in keys that are known. RSA keys take long to make: what
 * opens an EC key is taken to open them.
 * @param exchange absent where no trial has one: then what it would unwrap is put into the HSM as it is
 */
export function tryTransfers(
  trial: Trial,
  exchange: ExchangeKey | undefined,
): Capabilities['transferLacks'] {
  const { session, capabilities } = trial;
  const { keyWrapPadded } = capabilities;
  if (keyWrapPadded === undefined) return all(NO_NUMBER);
  const value = calls.randomBytes(session, 32);
  const opened: { aes?: Handle } = {};
  const noAes = lackOf('CKM_RSA_PKCS_OAEP by C_UnwrapKey', () => {
    opened.aes = openAes(session, value, exchange);
    return true;
  });
  const { aes } = opened;
  if (aes === undefined) return noAes === undefined ? {} : all(noAes);
  return calls.withObject(session, aes, () => {
    const transfer = { ...trial, aes, value, mechanism: keyWrapPadded.mechanism };
    const { opening, deriving } = tryPair(transfer);
    const secret = trySecret(transfer);
    const ec = opening ?? deriving;
    return {
      ...(opening !== undefined && { 'RSA-HSM': opening }),
      ...(ec !== undefined && { 'EC-HSM': ec }),
      ...(secret !== undefined && { 'oct-HSM': secret }),
    };
  });
}

const NO_NUMBER: Lack = { mechanism: 'RFC 5649', answer: 'under no number that is known' };

function all(lack: Lack): Capabilities['transferLacks'] {
  return { 'RSA-HSM': lack, 'EC-HSM': lack, 'oct-HSM': lack };
}

/** The AES key between the two steps. */
function openAes(session: ModuleSession, value: Buffer, exchange: ExchangeKey | undefined): Handle {
  if (exchange === undefined) return aesObject(session, value, { unwrap: true });
  const wrapped = enciphered(exchange.publicKey, value);
  const key = exchange.open();
  return calls.withObject(session, key, () =>
    calls.unwrapKey(session, OAEP_SHA1, key, wrapped, calls.toAttributes(transferKey())),
  );
}

function enciphered(publicKey: PublicKey, value: Buffer): Buffer {
  if (publicKey.keyType !== 'RSA-HSM') throw new TypeError('a key exchange key is an RSA key');
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url');
  const jwk = { kty: 'RSA', n: text(publicKey.n), e: text(publicKey.e) };
  const key = createPublicKey({ key: jwk, format: 'jwk' });
  return publicEncrypt({ key, oaepHash: 'sha1' }, value);
}

interface Transfer extends Trial {
  readonly aes: Handle;
  /** Of that key. */
  readonly value: Buffer;
  readonly mechanism: IAlgorithm;
}

/** Runs `use` with what has been unwrapped. */
function withOpened<T>(
  { session, capabilities, aes, value, mechanism }: Transfer,
  key: Buffer,
  template: Template,
  use: (object: Handle) => T,
): T {
  const isPair = template.keyType === KeyType.EC;
  const attributes = unwrappedPrivate(template, isPair ? UNKNOWN_POINT : undefined, capabilities);
  const object = calls.unwrapKey(session, mechanism, aes, wrapped(value, key), attributes);
  return calls.withObject(session, object, () => use(object));
}

/** RFC 5649 by OpenSSL. */
function wrapped(key: Buffer, value: Buffer): Buffer {
  const cipher = createCipheriv('id-aes256-wrap-pad', key, Buffer.from('a65959a6', 'hex'));
  return Buffer.concat([cipher.update(value), cipher.final()]);
}

/** Why a private key isn't opened, and why its public half, which no PKCS #8 has to have, isn't derived from it. */
function tryPair(transfer: Transfer): { readonly opening?: Lack; readonly deriving?: Lack } {
  const { session, capabilities } = transfer;
  const identity = identityFor(EC_P256);
  const { trial } = keepingForTrials(capabilities.keeping).making(identity, undefined);
  const template = triedPrivate(identity, 'EC-HSM', trial);
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = pair.privateKey.export({ format: 'der', type: 'pkcs8' });
  const opening = lackOf(UNWRAPPED, () => withOpened(transfer, key, template, () => true));
  if (opening !== undefined) return { opening };
  const { x } = pair.publicKey.export({ format: 'jwk' });
  const deriving = lackOf('CKM_ECDH1_DERIVE', () =>
    withOpened(transfer, key, template, (object) => {
      const isOurs = (candidate: PublicKey) =>
        candidate.keyType === 'EC-HSM' && Buffer.from(candidate.x).toString('base64url') === x;
      deriveEcPublicKey(session, object, 'P-256', capabilities, isOurs);
      return true;
    }),
  );
  return deriving === undefined ? {} : { deriving };
}

const UNWRAPPED = 'RFC 5649 by C_UnwrapKey';

function trySecret(transfer: Transfer): Lack | undefined {
  const { session, capabilities } = transfer;
  const identity = identityFor(AES_256);
  const making = keepingForTrials(capabilities.keeping).making(identity, undefined);
  const key = calls.randomBytes(session, 32);
  return lackOf(UNWRAPPED, () => {
    const template = transferredPrivate(identity, 'oct-HSM', making.attributes('private'));
    const block = withOpened(transfer, key, template, (object) =>
      calls.encrypt(session, AES_ECB, object, BLOCK, BLOCK.length),
    );
    const cipher = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false);
    if (!cipher.update(BLOCK).equals(block)) return false;
    if (!capabilities.keepsMacKeys) return true;
    const ofMac = importedMac(identity, making.attributes('mac'));
    const mac = withOpened(transfer, key, ofMac, (object) =>
      calls.sign(session, HMAC_SHA256, object, BLOCK, 32),
    );
    return createHmac('sha256', key).update(BLOCK).digest().equals(mac);
  });
}
