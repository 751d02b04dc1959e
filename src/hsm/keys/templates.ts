import graphene from 'graphene-pk11';
import { CURVE, type Curve, CURVES, type KeyType } from '../../core/operations/algorithms.ts';
import type { KeyIdentity, KeySpec, PublicKey } from '../../core/keys/key.ts';
import type { PlainKey } from '../../core/keys/import/plain-key.ts';
import { type Attributes, type Template, toAttributes, VALUE } from '../module/calls.ts';
import { ML_DSA_KEY_TYPE, PARAMETER_SET_NUMBER } from '../operations/ml-dsa.ts';
import type { Capabilities } from '../capabilities/capabilities.ts';

const { KeyType: KeyTypes, ObjectClass } = graphene;

/** The secret of HS256, HS384 and HS512 beside an AES key; at least as long as SHA-512's digest, as SoftHSM demands. */
const MAC_KEY_BYTES = 64;

function named(identity: KeyIdentity): Template {
  return {
    label: `${identity.name}/${identity.version}`,
    id: Buffer.from(identity.version, 'hex'),
  };
}

/** A session object that is private and sensitive. */
function secret(identity: KeyIdentity, extractable: boolean): Template {
  return { ...named(identity), token: false, private: true, sensitive: true, extractable };
}

/** A new key's object. @param made where it is and whether it may leave, as the pool keeps its keys */
function madeSecret(identity: KeyIdentity, made: Template): Template {
  return { ...secret(identity, false), ...made };
}

const SECRET_KEY = { class: ObjectClass.SECRET_KEY };
const PRIVATE_KEY = { class: ObjectClass.PRIVATE_KEY };

/** What a private or secret key is allowed in the HSM: what its type can do, and no more. */
function usage(keyType: KeyType, { operations }: KeyIdentity): Template {
  switch (keyType) {
    case 'RSA-HSM':
      // A key exchange key unwraps other keys inside the HSM: what it opens must not come out by way of a decryption.
      if (operations.includes('import'))
        return { ...PRIVATE_KEY, keyType: KeyTypes.RSA, unwrap: true, decrypt: false, sign: false };
      return { ...PRIVATE_KEY, keyType: KeyTypes.RSA, decrypt: true, sign: true };
    case 'EC-HSM':
      return { ...PRIVATE_KEY, keyType: KeyTypes.EC, sign: true };
    case 'AKP-HSM':
      return { ...PRIVATE_KEY, keyType: ML_DSA_KEY_TYPE, sign: true };
    case 'oct-HSM':
      return {
        ...SECRET_KEY,
        keyType: KeyTypes.AES,
        encrypt: true,
        decrypt: true,
        wrap: true,
        unwrap: true,
      };
  }
}

const MAC_USAGE: Template = {
  ...SECRET_KEY,
  keyType: KeyTypes.GENERIC_SECRET,
  sign: true,
  verify: true,
};

export function generatedPrivate(identity: KeyIdentity, spec: KeySpec, made: Template): Template {
  const size = spec.keyType === 'oct-HSM' ? { valueLen: spec.bits / 8 } : {};
  return { ...usage(spec.keyType, identity), ...size, ...madeSecret(identity, made) };
}

export function generatedMac(identity: KeyIdentity, made: Template): Template {
  return { ...MAC_USAGE, valueLen: MAC_KEY_BYTES, ...madeSecret(identity, made) };
}

/** A key from outside, from its numbers. */
export function importedPrivate(
  identity: KeyIdentity,
  spec: KeySpec,
  key: PlainKey,
  made: Template,
): Template {
  const common = { ...usage(spec.keyType, identity), ...madeSecret(identity, made) };
  switch (key.keyType) {
    case 'RSA-HSM':
      return {
        ...common,
        modulus: Buffer.from(key.n),
        publicExponent: Buffer.from(key.e),
        privateExponent: Buffer.from(key.d),
        prime1: Buffer.from(key.p),
        prime2: Buffer.from(key.q),
        exp1: Buffer.from(key.dp),
        exp2: Buffer.from(key.dq),
        coefficient: Buffer.from(key.qi),
      };
    case 'EC-HSM':
      return { ...common, paramsEC: CURVE[key.curve].oid, value: Buffer.from(key.d) };
    case 'oct-HSM':
      return { ...common, value: Buffer.from(key.k) };
    case 'AKP-HSM':
      return {
        ...common,
        parameterSet: PARAMETER_SET_NUMBER[key.parameterSet],
        seed: Buffer.from(key.seed),
      };
  }
}

/** The halves of a key from outside are tried on each other before it is taken. */
export const TRIED: Template = { sign: true };

/** The secret of HS256, HS384 and HS512 of an imported AES key: that key. Without a value: for C_UnwrapKey. */
export function importedMac(identity: KeyIdentity, made: Template, value?: Uint8Array): Template {
  const padded = Buffer.alloc(MAC_KEY_BYTES);
  padded.set(value ?? []);
  return {
    ...MAC_USAGE,
    ...madeSecret(identity, made),
    ...(value !== undefined && { value: padded }),
  };
}

/** The AES key between the two steps of CKM_RSA_AES_KEY_WRAP. */
export function transferKey(): Template {
  return {
    ...SECRET_KEY,
    keyType: KeyTypes.AES,
    token: false,
    private: true,
    sensitive: true,
    extractable: false,
    encrypt: false,
    decrypt: false,
    wrap: false,
    unwrap: true,
  };
}

/** A key that comes out of a transfer blob. */
export function transferredPrivate(
  identity: KeyIdentity,
  keyType: KeyType,
  made: Template,
): Template {
  return { ...usage(keyType, identity), ...madeSecret(identity, made) };
}

/** The same while it is tried; an EC key's public half is derived from it. */
export function triedPrivate(identity: KeyIdentity, keyType: KeyType, made: Template): Template {
  return {
    ...transferredPrivate(identity, keyType, made),
    ...TRIED,
    ...(keyType === 'EC-HSM' && { derive: true }),
  };
}

/** A coordinate of a public key, which is no secret. */
export function derivedCoordinate(
  bytes: number,
  capabilities: Pick<Capabilities, 'saysPublic'>,
): Template {
  const coordinate = { ...dataKey(), valueLen: bytes };
  if (!capabilities.saysPublic) delete coordinate.private;
  return coordinate;
}

/** The curve of CKA_EC_PARAMS; undefined for one that keys here don't have. */
export function curveOf(parameters: Buffer): Curve | undefined {
  return CURVES.find((curve) => CURVE[curve].oid.equals(parameters));
}

/** Of public keys. Some modules refuse CKA_PRIVATE false, for public keys too. */
function open({ saysPublic }: Pick<Capabilities, 'saysPublic'>): Template {
  return { token: false, ...(saysPublic && { private: false }) };
}

export function generatedPublic(
  identity: KeyIdentity,
  spec: KeySpec,
  capabilities: Pick<Capabilities, 'saysPublic'>,
): Template {
  const common = { ...named(identity), ...open(capabilities), verify: true };
  if (spec.keyType === 'EC-HSM')
    return { ...common, keyType: KeyTypes.EC, paramsECDSA: CURVE[spec.curve].oid };
  if (spec.keyType === 'AKP-HSM')
    return {
      ...common,
      keyType: ML_DSA_KEY_TYPE,
      parameterSet: PARAMETER_SET_NUMBER[spec.parameterSet],
    };
  if (spec.keyType === 'oct-HSM') throw new TypeError('an AES key has no public half');
  return {
    ...common,
    keyType: KeyTypes.RSA,
    encrypt: true,
    modulusBits: spec.bits,
    publicExponent: unsignedBytes(spec.publicExponent),
  };
}

export function loadedPrivate(identity: KeyIdentity, spec: KeySpec): Template {
  return { ...usage(spec.keyType, identity), ...secret(identity, false) };
}

/** CKA_NSS_DB of NSS, which opens no EC key without it, and puts it into what it wraps: the point, 04 || x || y. */
const NSS_PUBLIC_POINT = 0xd5a0_db00;

/** Of a key that is opened for the first time. */
export const UNKNOWN_POINT: PublicKey = {
  keyType: 'EC-HSM',
  x: Buffer.alloc(1),
  y: Buffer.alloc(1),
};

/** A private key's template as C_UnwrapKey takes it. */
export function unwrappedPrivate(
  template: Template,
  publicKey: PublicKey | undefined,
  capabilities: Pick<Capabilities, 'wantsPoint'>,
): Attributes {
  return [...toAttributes(template), ...publicPoint(publicKey, capabilities)];
}

/** What such a template says besides of an EC key, where the module wants it. */
export function publicPoint(
  publicKey: PublicKey | undefined,
  { wantsPoint }: Pick<Capabilities, 'wantsPoint'>,
): Attributes {
  if (!wantsPoint || publicKey?.keyType !== 'EC-HSM') return [];
  return [{ type: NSS_PUBLIC_POINT, value: uncompressed(publicKey) }];
}

/** Extractable: of a key that may be released, or moves to other root keys, while it is wrapped for that. Good for nothing else. */
export function releasedPrivate(identity: KeyIdentity, spec: KeySpec): Template {
  const nothing = Object.entries(usage(spec.keyType, identity)).map(([name, value]) => [
    name,
    value === true ? false : (value as unknown),
  ]);
  return { ...(Object.fromEntries(nothing) as Template), ...secret(identity, true) };
}

export function loadedMac(identity: KeyIdentity): Template {
  return { ...MAC_USAGE, ...secret(identity, false) };
}

/** Extractable: a secret that isn't an AES key, while it is wrapped by other root keys. Good for nothing else. */
export function movedSecret(identity: KeyIdentity): Template {
  return { ...MAC_USAGE, sign: false, verify: false, ...secret(identity, true) };
}

/** An AES key that wraps and unwraps, and nothing else. */
export function loadedWrapping(identity: KeyIdentity): Template {
  return {
    ...SECRET_KEY,
    keyType: KeyTypes.AES,
    encrypt: false,
    decrypt: false,
    wrap: true,
    unwrap: true,
    ...secret(identity, false),
  };
}

/** A public key as a session object: encrypting and verifying go through the HSM too. */
export function loadedPublic(
  spec: KeySpec,
  publicKey: PublicKey,
  capabilities: Pick<Capabilities, 'saysPublic'>,
): Template {
  const common = { class: ObjectClass.PUBLIC_KEY, ...open(capabilities), verify: true };
  if (publicKey.keyType === 'RSA-HSM')
    return {
      ...common,
      keyType: KeyTypes.RSA,
      encrypt: true,
      modulus: Buffer.from(publicKey.n),
      publicExponent: Buffer.from(publicKey.e),
    };
  if (publicKey.keyType === 'AKP-HSM' && spec.keyType === 'AKP-HSM')
    return {
      ...common,
      keyType: ML_DSA_KEY_TYPE,
      parameterSet: PARAMETER_SET_NUMBER[spec.parameterSet],
      value: Buffer.from(publicKey.pub),
    };
  if (spec.keyType !== 'EC-HSM' || publicKey.keyType !== 'EC-HSM')
    throw new TypeError('the public half is of another type');
  return {
    ...common,
    keyType: KeyTypes.EC,
    paramsECDSA: CURVE[spec.curve].oid,
    pointEC: octetString(uncompressed(publicKey)),
  };
}

/** An RSA key of somebody else's, for whom something is wrapped. */
export function recipientPublic(
  { n, e }: { readonly n: Uint8Array; readonly e: Uint8Array },
  capabilities: Pick<Capabilities, 'saysPublic'>,
): Template {
  return {
    class: ObjectClass.PUBLIC_KEY,
    keyType: KeyTypes.RSA,
    ...open(capabilities),
    wrap: true,
    encrypt: true,
    modulus: Buffer.from(n),
    publicExponent: Buffer.from(e),
  };
}

/** A caller's data key on its way through C_WrapKey or C_UnwrapKey; it belongs to the caller, so it comes out again. */
export function dataKey(value?: Uint8Array): Template {
  return {
    ...SECRET_KEY,
    keyType: KeyTypes.GENERIC_SECRET,
    token: false,
    private: false,
    sensitive: false,
    extractable: true,
    ...(value !== undefined && { value: Buffer.from(value) }),
  };
}

/** The same as the binding takes it. */
const DATA_KEY_ATTRIBUTES = toAttributes(dataKey());
/** For modules that let no template of C_UnwrapKey say that a key is readable; theirs are if it says nothing. */
const UNWRAPPED = toAttributes({ ...SECRET_KEY, keyType: KeyTypes.GENERIC_SECRET, token: false });

export function dataKeyAttributes(value: Buffer) {
  return [...DATA_KEY_ATTRIBUTES, { type: VALUE, value }];
}

/** A caller's data key that comes out of C_UnwrapKey, to be read. */
export function unwrappedDataKey({ unwrapsReadable }: Pick<Capabilities, 'unwrapsReadable'>) {
  return unwrapsReadable ? DATA_KEY_ATTRIBUTES : UNWRAPPED;
}

/** SEC 1 §2.3.3. */
function uncompressed({ x, y }: Pick<Extract<PublicKey, { keyType: 'EC-HSM' }>, 'x' | 'y'>) {
  return Buffer.concat([Buffer.of(4), x, y]);
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
