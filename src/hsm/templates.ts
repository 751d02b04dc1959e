import graphene, { type ITemplate } from 'graphene-pk11';
import { type Curve } from '../core/algorithms.ts';
import { type KeyIdentity, type KeySpec, type PublicKey } from '../core/key.ts';

const { KeyType, ObjectClass } = graphene;

/** DER of each curve's object identifier (RFC 5480 §2.1.1.1, SEC 2), and the bytes of one coordinate. */
export const CURVE: Readonly<Record<Curve, { oid: Buffer; bytes: number }>> = {
  'P-256': { oid: Buffer.from('06082a8648ce3d030107', 'hex'), bytes: 32 },
  'P-256K': { oid: Buffer.from('06052b8104000a', 'hex'), bytes: 32 },
  'P-384': { oid: Buffer.from('06052b81040022', 'hex'), bytes: 48 },
  'P-521': { oid: Buffer.from('06052b81040023', 'hex'), bytes: 66 },
};

/** The secret of HS256, HS384 and HS512 beside an AES key; at least as long as SHA-512's digest, as SoftHSM demands. */
const MAC_KEY_BYTES = 64;

function named(identity: KeyIdentity): ITemplate {
  return {
    label: `${identity.name}/${identity.version}`,
    id: Buffer.from(identity.version, 'hex'),
  };
}

/** A session object that is private and sensitive; extractable only between its generation and its wrapping. */
function secret(identity: KeyIdentity, extractable: boolean): ITemplate {
  return { ...named(identity), token: false, private: true, sensitive: true, extractable };
}

const SECRET_KEY = { class: ObjectClass.SECRET_KEY };
const PRIVATE_KEY = { class: ObjectClass.PRIVATE_KEY };

/** What a private or secret key is allowed in the HSM: what its type can do, and no more. */
function usage(spec: KeySpec): ITemplate {
  switch (spec.keyType) {
    case 'RSA-HSM':
      return { ...PRIVATE_KEY, keyType: KeyType.RSA, decrypt: true, sign: true };
    case 'EC-HSM':
      return { ...PRIVATE_KEY, keyType: KeyType.EC, sign: true };
    case 'oct-HSM':
      return {
        ...SECRET_KEY,
        keyType: KeyType.AES,
        encrypt: true,
        decrypt: true,
        wrap: true,
        unwrap: true,
      };
  }
}

const MAC_USAGE: ITemplate = {
  ...SECRET_KEY,
  keyType: KeyType.GENERIC_SECRET,
  sign: true,
  verify: true,
};

export function generatedPrivate(identity: KeyIdentity, spec: KeySpec): ITemplate {
  const size = spec.keyType === 'oct-HSM' ? { valueLen: spec.bits / 8 } : {};
  return { ...usage(spec), ...size, ...secret(identity, true) };
}

export function generatedMac(identity: KeyIdentity): ITemplate {
  return { ...MAC_USAGE, valueLen: MAC_KEY_BYTES, ...secret(identity, true) };
}

export function generatedPublic(identity: KeyIdentity, spec: KeySpec): ITemplate {
  const common = { ...named(identity), token: false, private: false, verify: true };
  if (spec.keyType === 'EC-HSM') return { ...common, paramsECDSA: CURVE[spec.curve].oid };
  if (spec.keyType === 'oct-HSM') throw new TypeError('an AES key has no public half');
  return {
    ...common,
    encrypt: true,
    modulusBits: spec.bits,
    publicExponent: unsignedBytes(spec.publicExponent),
  };
}

export function loadedPrivate(identity: KeyIdentity, spec: KeySpec): ITemplate {
  return { ...usage(spec), ...secret(identity, false) };
}

export function loadedMac(identity: KeyIdentity): ITemplate {
  return { ...MAC_USAGE, ...secret(identity, false) };
}

/** A public key as a session object: encrypting and verifying go through the HSM too. */
export function loadedPublic(spec: KeySpec, publicKey: PublicKey): ITemplate {
  const common = { class: ObjectClass.PUBLIC_KEY, token: false, private: false, verify: true };
  if (publicKey.keyType === 'RSA-HSM')
    return {
      ...common,
      keyType: KeyType.RSA,
      encrypt: true,
      modulus: Buffer.from(publicKey.n),
      publicExponent: Buffer.from(publicKey.e),
    };
  if (spec.keyType !== 'EC-HSM') throw new TypeError('the public half is of another type');
  return {
    ...common,
    keyType: KeyType.EC,
    paramsECDSA: CURVE[spec.curve].oid,
    pointEC: octetString(Buffer.concat([Buffer.from([4]), publicKey.x, publicKey.y])),
  };
}

/** A caller's data key on its way through C_WrapKey or C_UnwrapKey; it belongs to the caller, so it comes out again. */
export function dataKey(value?: Uint8Array): ITemplate {
  return {
    ...SECRET_KEY,
    keyType: KeyType.GENERIC_SECRET,
    token: false,
    private: false,
    sensitive: false,
    extractable: true,
    ...(value !== undefined && { value: Buffer.from(value) }),
  };
}

/** DER OCTET STRING (X.690 §8.7), as CKA_EC_POINT wants it. */
function octetString(bytes: Buffer): Buffer {
  const length =
    bytes.length < 0x80 ? Buffer.from([bytes.length]) : Buffer.from([0x81, bytes.length]);
  return Buffer.concat([Buffer.from([4]), length, bytes]);
}

/** Big-endian without leading zero bytes. */
function unsignedBytes(value: number): Buffer {
  const hex = value.toString(16);
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
}
