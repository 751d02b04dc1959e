import graphene, { type IAlgorithm } from 'graphene-pk11';
import type { CipherAlgorithm } from '../../core/operations/algorithms.ts';
import { ServiceError } from '../../core/errors.ts';
import type { Ciphertext, CipherParameters } from '../../core/keys/hsm.ts';
import type { KeySpec } from '../../core/keys/key.ts';
import type { Mechanics } from '../capabilities/capabilities.ts';
import * as calls from '../module/calls.ts';
import type { Handle, ModuleSession } from '../module/calls.ts';
import { decryptionFailed, faultOf, fromDecryption } from '../module/errors.ts';
import * as blocks from './key-wrap-blocks.ts';
import type { KeyPart } from '../keys/loaded-keys.ts';
import { AES_KEY_WRAP, gcmMechanism, RSA_RAW, rsaOaep } from './mechanisms.ts';
import { oaepDecode, oaepEncode, type OaepHash, pkcs1Decode } from './rsa-padding.ts';
import { dataKeyAttributes, unwrappedDataKey } from '../keys/templates.ts';

const { MechanismEnum } = graphene;

/** What a cipher works with: a leased session, and the handle of the key's part that it names. */
export interface CipherContext {
  readonly session: ModuleSession;
  readonly key: Handle;
  readonly spec: KeySpec;
  readonly capabilities: Mechanics;
}

export interface Cipher {
  /** As PKCS#11 names it, for sentences. */
  readonly mechanism: string;
  /** The half of the key that encrypts; the other direction always takes `private`. */
  readonly encryptsWith: KeyPart;
  encrypt(context: CipherContext, plaintext: Buffer, parameters: CipherParameters): Ciphertext;
  decrypt(context: CipherContext, ciphertext: Ciphertext, parameters: CipherParameters): Buffer;
}

const IV_BYTES = 12;
const TAG_BYTES = 16;
const BLOCK_BYTES = 16;

function encipher(
  { session, key }: CipherContext,
  mechanism: IAlgorithm,
  data: Buffer,
  size: number,
): Buffer {
  return calls.encrypt(session, mechanism, key, data, size);
}

/** Only the last call can fail for the ciphertext's fault. */
function decipher(
  { session, key }: CipherContext,
  mechanism: IAlgorithm,
  data: Buffer,
  size: number,
): Buffer {
  const progress = { hasBegun: false };
  try {
    return calls.decrypt(session, mechanism, key, data, size, () => {
      progress.hasBegun = true;
    });
  } catch (error) {
    throw progress.hasBegun ? fromDecryption(error) : error;
  }
}

/**
 * SP 800-38D with a 96-bit IV from the HSM for each message, never from the caller, and a 128-bit tag. Where the HSM puts in
 * an IV of its own, that one is given out: what callers store is deciphered by any other HSM.
 */
const gcm: Cipher = {
  mechanism: 'CKM_AES_GCM',
  encryptsWith: 'private',
  encrypt(context, plaintext, { aad }) {
    const { gcmIv } = context.capabilities;
    if (gcmIv === undefined) throw new Error('the HSM does not say whose IV AES-GCM is made with');
    const iv =
      gcmIv === 'ours' ? calls.randomBytes(context.session, IV_BYTES) : Buffer.alloc(IV_BYTES);
    const end = plaintext.length + TAG_BYTES;
    const sealed = encipher(context, gcmMechanism(iv, aad), plaintext, end + IV_BYTES);
    // Twice the same IV gives the key stream away, and the means to forge (SP 800-38D §8): one that wasn't made is never used.
    if (iv.every((byte) => byte === 0) && gcmIv !== 'appended')
      throw new Error('the HSM made no IV for AES-GCM');
    return {
      value: sealed.subarray(0, plaintext.length),
      iv: gcmIv === 'appended' ? sealed.subarray(end) : iv,
      tag: sealed.subarray(plaintext.length, end),
    };
  },
  decrypt(context, { value, iv, tag }, { aad }) {
    const sealed = Buffer.concat([value, tag ?? Buffer.alloc(0)]);
    const mechanism = gcmMechanism(Buffer.from(iv ?? []), aad);
    return decipher(context, mechanism, sealed, sealed.length);
  },
};

function cbc(mechanism: number, isPadded: boolean): Cipher {
  const algorithm = (iv: Uint8Array | undefined) => ({
    name: mechanism,
    params: Buffer.from(iv ?? []),
  });
  return {
    mechanism: isPadded ? 'CKM_AES_CBC_PAD' : 'CKM_AES_CBC',
    encryptsWith: 'private',
    encrypt(context, plaintext, { iv }) {
      if (!isPadded) requireBlocks(plaintext);
      const size = plaintext.length + BLOCK_BYTES;
      const value = encipher(context, algorithm(iv), plaintext, size);
      return { value, ...(iv !== undefined && { iv }) };
    },
    decrypt(context, { value, iv }) {
      if (value.length === 0 || value.length % BLOCK_BYTES !== 0) throw decryptionFailed();
      const data = Buffer.from(value);
      return decipher(context, algorithm(iv), data, data.length);
    },
  };
}

function requireBlocks(plaintext: Buffer): void {
  if (plaintext.length === 0 || plaintext.length % BLOCK_BYTES !== 0)
    throw new ServiceError(
      'BadParameter',
      `Property value has an invalid length: it must be a multiple of ${BLOCK_BYTES} bytes.`,
    );
}

/**
 * RFC 3394 or RFC 5649 over the caller's bytes. PKCS#11 wraps objects, so the data key becomes one for the length of the
 * call; it is the caller's, and goes back to the caller by design.
 */
function keyWrap(isPadded: boolean): Cipher {
  return {
    mechanism: isPadded ? 'AES key wrap with padding (RFC 5649)' : 'CKM_AES_KEY_WRAP',
    encryptsWith: 'private',
    encrypt({ session, key, capabilities }, plaintext) {
      requireWrappable(plaintext, isPadded);
      const algorithm = wrapOf(capabilities, isPadded, plaintext.length);
      if (algorithm === undefined) {
        requireFewBlocks(plaintext.length);
        return {
          value: (isPadded ? blocks.wrapPaddedInBlocks : blocks.wrapInBlocks)(
            session,
            key,
            plaintext,
          ),
        };
      }
      const size = BLOCK_BYTES + plaintext.length;
      return refusingLong(plaintext.length, () => {
        const object = calls.createObject(session, dataKeyAttributes(plaintext));
        return calls.withObject(session, object, () => ({
          value: calls.wrapKey(session, algorithm, key, object, size),
        }));
      });
    },
    decrypt({ session, key, capabilities }, { value }) {
      const least = isPadded ? 16 : 24;
      if (value.length < least || value.length % 8 !== 0) throw decryptionFailed();
      const algorithm = wrapOf(capabilities, isPadded, 0);
      if (algorithm === undefined) {
        requireFewBlocks(value.length);
        const unwrap = isPadded ? blocks.unwrapPaddedInBlocks : blocks.unwrapInBlocks;
        const opened = unwrap(session, key, value);
        if (opened === undefined) throw decryptionFailed();
        return opened;
      }
      const object = unwrapDataKey(session, algorithm, key, Buffer.from(value), capabilities);
      return calls.withObject(session, object, () => calls.readValue(session, object));
    },
  };
}

/** The mechanism that wraps so many bytes; undefined where the module has none, and it is built from blocks. */
function wrapOf(
  { dataKeyWrap, keyWrapPadded }: Mechanics,
  isPadded: boolean,
  bytes: number,
): IAlgorithm | undefined {
  if (dataKeyWrap === 'blocks') return undefined;
  if (!isPadded) return AES_KEY_WRAP;
  return bytes % 8 === 0 || keyWrapPadded?.keepsLength === true
    ? keyWrapPadded?.mechanism
    : undefined;
}

function unwrapDataKey(
  session: ModuleSession,
  algorithm: IAlgorithm,
  key: Handle,
  wrapped: Buffer,
  capabilities: Mechanics,
): Handle {
  try {
    return calls.unwrapKey(session, algorithm, key, wrapped, unwrappedDataKey(capabilities));
  } catch (error) {
    throw fromDecryption(error);
  }
}

/** Built from six blocks for each 8 bytes, a value takes its time: so long as nothing else is held up. */
const BLOCKWISE_LIMIT_BYTES = 4096;

function requireFewBlocks(bytes: number): void {
  if (bytes > BLOCKWISE_LIMIT_BYTES)
    throw new ServiceError(
      'BadParameter',
      `Property value has an invalid length: the HSM of this pool wraps at most ${BLOCKWISE_LIMIT_BYTES} bytes in this way.`,
    );
}

/**
 * A secret of more bytes than keys have is an object that many modules don't take, each with an answer of its own. A token
 * that is lost is told by the cause.
 */
function refusingLong<T>(bytes: number, wrap: () => T): T {
  try {
    return wrap();
  } catch (error) {
    if (bytes <= BLOCKWISE_LIMIT_BYTES || faultOf(error) === undefined) throw error;
    throw new ServiceError(
      'BadParameter',
      'Property value has an invalid length: the HSM of this pool does not wrap so many bytes.',
      { cause: error },
    );
  }
}

function requireWrappable(plaintext: Buffer, isPadded: boolean): void {
  if (isPadded ? plaintext.length > 0 : plaintext.length >= 16 && plaintext.length % 8 === 0)
    return;
  throw new ServiceError(
    'BadParameter',
    isPadded
      ? 'Property value has an invalid length: it must have at least one byte.'
      : 'Property value has an invalid length: it must be a multiple of 8 bytes, and at least 16.',
  );
}

/** What an RSA padding needs besides the plaintext, and how it is taken off again. */
interface RsaPadding {
  readonly mechanism: string;
  /** Bytes of the modulus that the padding takes for itself. */
  readonly overhead: number;
  isNative(capabilities: Mechanics): boolean;
  readonly native: IAlgorithm;
  encode(context: CipherContext, plaintext: Buffer, k: number): Buffer;
  decode(encoded: Buffer): Buffer | undefined;
}

function rsa(padding: RsaPadding): Cipher {
  return {
    mechanism: padding.mechanism,
    encryptsWith: 'public',
    encrypt(context, plaintext) {
      const k = modulusBytes(context.spec);
      if (plaintext.length > k - padding.overhead)
        throw new ServiceError(
          'BadParameter',
          `Property value has an invalid length: this key and algorithm take at most ${k - padding.overhead} bytes.`,
        );
      // RSA has no messages in parts, by which an empty one could be given.
      if (plaintext.length > 0 && padding.isNative(context.capabilities))
        return { value: encipher(context, padding.native, plaintext, k) };
      const encoded = padding.encode(context, plaintext, k);
      const value = encipher(context, RSA_RAW, encoded, k);
      encoded.fill(0);
      return { value };
    },
    decrypt(context, { value }) {
      const k = modulusBytes(context.spec);
      if (value.length !== k) throw decryptionFailed();
      const data = Buffer.from(value);
      if (padding.isNative(context.capabilities)) return decipher(context, padding.native, data, k);
      const encoded = decipher(context, RSA_RAW, data, k);
      const plaintext = padding.decode(leftPad(encoded, k));
      encoded.fill(0);
      if (plaintext === undefined) throw decryptionFailed();
      return plaintext;
    },
  };
}

function oaep(hash: Exclude<OaepHash, 'sha384'>): RsaPadding {
  const hashBytes = hash === 'sha1' ? 20 : 32;
  return {
    mechanism: `CKM_RSA_PKCS_OAEP with ${hash === 'sha1' ? 'SHA-1' : 'SHA-256'}`,
    overhead: 2 * hashBytes + 2,
    isNative: ({ oaepSha1, oaepSha256 }) => (hash === 'sha1' ? oaepSha1 : oaepSha256) === 'native',
    native: rsaOaep(hash),
    encode: ({ session }, plaintext, k) =>
      oaepEncode(plaintext, k, hash, calls.randomBytes(session, hashBytes)),
    decode: (encoded) => oaepDecode(encoded, hash),
  };
}

const pkcs1: RsaPadding = {
  mechanism: 'CKM_RSA_PKCS',
  overhead: 11,
  isNative: ({ pkcs1: padding }) => padding === 'native',
  native: { name: MechanismEnum.RSA_PKCS, params: null },
  encode: ({ session }, plaintext, k) => pkcs1Encode(session, plaintext, k),
  decode: pkcs1Decode,
};

/** RFC 8017 §7.2.1: 0x00 0x02, non-zero random bytes, 0x00, the plaintext. */
function pkcs1Encode(session: ModuleSession, plaintext: Buffer, k: number): Buffer {
  const padding: number[] = [];
  const wanted = k - plaintext.length - 3;
  while (padding.length < wanted)
    padding.push(...calls.randomBytes(session, wanted).filter((byte) => byte !== 0));
  return Buffer.concat([Buffer.from([0, 2, ...padding.slice(0, wanted), 0]), plaintext]);
}

function modulusBytes(spec: KeySpec): number {
  if (spec.keyType !== 'RSA-HSM') throw new TypeError('an RSA operation on another key');
  return spec.bits / 8;
}

/** Some modules give a raw result without its leading zeros. */
function leftPad(bytes: Buffer, length: number): Buffer {
  return bytes.length === length
    ? bytes
    : Buffer.concat([Buffer.alloc(length - bytes.length), bytes]);
}

const KW = keyWrap(false);
const CBC = cbc(MechanismEnum.AES_CBC, false);
const CBC_PAD = cbc(MechanismEnum.AES_CBC_PAD, true);

/** A Record, so that an algorithm without a mechanism does not compile. */
export const CIPHERS: Readonly<Record<CipherAlgorithm, Cipher>> = {
  RSA1_5: rsa(pkcs1),
  'RSA-OAEP': rsa(oaep('sha1')),
  'RSA-OAEP-256': rsa(oaep('sha256')),
  A128GCM: gcm,
  A192GCM: gcm,
  A256GCM: gcm,
  A128CBC: CBC,
  A192CBC: CBC,
  A256CBC: CBC,
  A128CBCPAD: CBC_PAD,
  A192CBCPAD: CBC_PAD,
  A256CBCPAD: CBC_PAD,
  A128KW: KW,
  A192KW: KW,
  A256KW: KW,
  CKM_AES_KEY_WRAP: KW,
  CKM_AES_KEY_WRAP_PAD: keyWrap(true),
};

/** The part of a key version that an algorithm needs in a direction. */
export function partFor(algorithm: CipherAlgorithm, direction: 'encrypt' | 'decrypt'): KeyPart {
  return direction === 'encrypt' ? CIPHERS[algorithm].encryptsWith : 'private';
}
