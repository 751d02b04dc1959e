import graphene, { type Session } from 'graphene-pk11';
import { KEY_WRAP_PADDED, rsaOaep } from '../operations/mechanisms.ts';
import type { OaepHash } from '../operations/rsa-padding.ts';
import { DATA_KEY_ATTRIBUTES, dataKeyAttributes } from '../keys/templates.ts';
import {
  createObject,
  decrypt,
  destroyObject,
  encrypt,
  generateKey,
  generateKeyPair,
  readValue,
  unwrapKey,
  withObject,
  wrapKey,
} from './calls.ts';

const { KeyGenMechanism, KeyType, MechanismEnum } = graphene;

/** Whether the module does a padding itself, or does the bare RSA operation while the padding is done around it. */
type Padding = 'native' | 'raw';

/** What had to be found out by trying. Mechanisms that are plainly absent say so when they are used. */
export interface Capabilities {
  readonly oaepSha1: Padding;
  /** SoftHSM 2.6.1 answers CKR_ARGUMENTS_BAD to OAEP with SHA-256. */
  readonly oaepSha256: Padding;
  readonly oaepSha384: Padding;
  /**
   * OpenSSL 3.2 and newer below SoftHSM answer a wrong PKCS #1 v1.5 padding with random bytes instead of an error
   * (implicit rejection): right for TLS, but here a wrong ciphertext has to be refused.
   */
  readonly pkcs1: Padding;
  /**
   * SoftHSM 2.6.1 pads to 8 bytes first and then writes that length into the length indicator of RFC 5649: what isn't a
   * multiple of 8 bytes comes back with zeros behind it. `blocks`: then it is built from single blocks.
   */
  readonly keyWrapPadded: 'native' | 'blocks';
  /** ML-DSA (FIPS 204), by the mechanisms of PKCS#11 3.2. */
  readonly mlDsa: boolean;
}

/**
 * Tries with throw-away session keys.
 * @throws Error when the module lacks what sealing needs
 */
export function probeCapabilities(session: Session): Capabilities {
  requireSealing(session);
  const mechanisms = mechanismsOf(session);
  const keyWrapPadded = keepsLength(session) ? 'native' : 'blocks';
  const pair = generateKeyPair(
    session,
    KeyGenMechanism.RSA,
    {
      token: false,
      keyType: KeyType.RSA,
      modulusBits: 2048,
      publicExponent: Buffer.from([1, 0, 1]),
      encrypt: true,
      verify: true,
    },
    { token: false, private: true, sensitive: true, extractable: false, decrypt: true, sign: true },
  );
  try {
    return {
      oaepSha1: triesOaep(session, pair, 'sha1'),
      oaepSha256: triesOaep(session, pair, 'sha256'),
      oaepSha384: triesOaep(session, pair, 'sha384'),
      pkcs1: refusesBadPadding(session, pair) ? 'native' : 'raw',
      keyWrapPadded,
      mlDsa: ML_DSA.every((mechanism) => mechanisms.includes(mechanism)),
    };
  } finally {
    destroyObject(session, pair.publicKey);
    destroyObject(session, pair.privateKey);
  }
}

type Pair = ReturnType<typeof generateKeyPair>;
/** Of RSA-2048. */
const BLOCK_BYTES = 256;

function triesOaep(session: Session, { publicKey, privateKey }: Pair, hash: OaepHash): Padding {
  const mechanism = rsaOaep(hash);
  const plaintext = Buffer.from('probe');
  try {
    const ciphertext = encrypt(session, mechanism, publicKey, plaintext, BLOCK_BYTES);
    const decrypted = decrypt(session, mechanism, privateKey, ciphertext, BLOCK_BYTES);
    return decrypted.equals(plaintext) ? 'native' : 'raw';
  } catch {
    return 'raw';
  }
}

function refusesBadPadding(session: Session, { publicKey, privateKey }: Pair): boolean {
  // A block that begins with neither 00 02 nor anything like it.
  const block = Buffer.alloc(BLOCK_BYTES, 0x11);
  block[0] = 0;
  const raw = { name: MechanismEnum.RSA_X_509, params: null };
  const ciphertext = encrypt(session, raw, publicKey, block, BLOCK_BYTES);
  const padded = { name: MechanismEnum.RSA_PKCS, params: null };
  try {
    decrypt(session, padded, privateKey, ciphertext, BLOCK_BYTES);
    return false;
  } catch {
    return true;
  }
}

/** CKM_ML_DSA_KEY_PAIR_GEN and CKM_ML_DSA (PKCS#11 v3.2 §6.67), which the binding has no names for. */
const ML_DSA = [0x1c, 0x1d];

function mechanismsOf({ slot }: Session): readonly number[] {
  const mechanisms = slot.getMechanisms();
  return Array.from({ length: mechanisms.length }, (_, index) => mechanisms.items(index).type);
}

/** Whether 3 bytes that are wrapped and unwrapped again are still 3. */
function keepsLength(session: Session): boolean {
  const secret = Buffer.from('odd');
  const wrapping = generateKey(session, KeyGenMechanism.AES, {
    token: false,
    valueLen: 32,
    wrap: true,
    unwrap: true,
  });
  return withObject(session, wrapping, () => {
    const object = createObject(session, dataKeyAttributes(secret));
    const wrapped = withObject(session, object, () =>
      wrapKey(session, KEY_WRAP_PADDED, wrapping, object),
    );
    const again = unwrapKey(session, KEY_WRAP_PADDED, wrapping, wrapped, DATA_KEY_ATTRIBUTES);
    return withObject(session, again, () => readValue(session, again).equals(secret));
  });
}

function requireSealing(session: Session): void {
  const common = { token: false, private: true, sensitive: true };
  const wrapping = generateKey(session, KeyGenMechanism.AES, {
    ...common,
    valueLen: 32,
    wrap: true,
    unwrap: true,
  });
  const wrapped = generateKey(session, KeyGenMechanism.AES, {
    ...common,
    valueLen: 32,
    extractable: true,
  });
  try {
    wrapKey(session, KEY_WRAP_PADDED, wrapping, wrapped);
  } catch (error) {
    throw new Error(
      'The PKCS#11 module lacks CKM_AES_KEY_WRAP_PAD (RFC 5649), with which keys are sealed.',
      { cause: error },
    );
  } finally {
    destroyObject(session, wrapping);
    destroyObject(session, wrapped);
  }
}
