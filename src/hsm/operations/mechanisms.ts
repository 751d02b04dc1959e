import graphene, { type IAlgorithm } from 'graphene-pk11';
import {
  ML_DSA,
  type ParameterSet,
  type SigningAlgorithm,
} from '../../core/operations/algorithms.ts';
import type { SigningParameters } from '../../core/keys/hsm.ts';
import { mlDsaMechanism } from './ml-dsa.ts';
import type { OaepHash } from './rsa-padding.ts';

const { AesGcm240Params, EcdhParams, EcKdf, MechanismEnum, RsaMgf, RsaOaepParams, RsaPssParams } =
  graphene;

/** RFC 3394. */
export const AES_KEY_WRAP: IAlgorithm = { name: MechanismEnum.AES_KEY_WRAP, params: null };
/** How secrets for HMACs are made. */
export const GENERIC_SECRET: IAlgorithm = {
  name: MechanismEnum.GENERIC_SECRET_KEY_GEN,
  params: null,
};
/** Single blocks, for what is built from them. */
export const AES_ECB: IAlgorithm = { name: MechanismEnum.AES_ECB, params: null };

/** RSA without a padding, for those that are done around it. */
export const RSA_RAW: IAlgorithm = { name: MechanismEnum.RSA_X_509, params: null };

const GCM_TAG_BITS = 128;

/** SP 800-38D. `iv`: 12 bytes; a module that makes its own may write it there. */
export function gcmMechanism(iv: Buffer, aad: Uint8Array | undefined): IAlgorithm {
  const params = new AesGcm240Params(iv, Buffer.from(aad ?? []), GCM_TAG_BITS);
  return { name: MechanismEnum.AES_GCM, params };
}

export const HMAC_SHA256: IAlgorithm = { name: MechanismEnum.SHA256_HMAC, params: null };

/** ECDH whose result is the shared x coordinate itself; `publicPoint` is 04 || x || y. */
export function ecdh(publicPoint: Buffer): IAlgorithm {
  return {
    name: MechanismEnum.ECDH1_DERIVE,
    params: new EcdhParams(EcKdf.NULL, null, publicPoint),
  };
}

type Hash = 'SHA256' | 'SHA384' | 'SHA512';

/** DER of DigestInfo up to the digest (RFC 8017 §9.2, note 1): the caller hands in a digest, CKM_RSA_PKCS wants both. */
const DIGEST_INFO: Readonly<Record<Hash, Buffer>> = {
  SHA256: Buffer.from('3031300d060960864801650304020105000420', 'hex'),
  SHA384: Buffer.from('3041300d060960864801650304020205000430', 'hex'),
  SHA512: Buffer.from('3051300d060960864801650304020305000440', 'hex'),
};

const PSS: Readonly<Record<Hash, { hash: number; mgf: number; saltBytes: number }>> = {
  SHA256: { hash: MechanismEnum.SHA256, mgf: RsaMgf.MGF1_SHA256, saltBytes: 32 },
  SHA384: { hash: MechanismEnum.SHA384, mgf: RsaMgf.MGF1_SHA384, saltBytes: 48 },
  SHA512: { hash: MechanismEnum.SHA512, mgf: RsaMgf.MGF1_SHA512, saltBytes: 64 },
};

/** RSA-4096's. */
const SIGNATURE_LIMIT_BYTES = 512;

/** How an algorithm is done in PKCS#11: which key of a version signs, with what mechanism, over what bytes. */
export interface SigningMechanism {
  readonly mechanism: IAlgorithm;
  /** Where it takes any. */
  readonly withParameters?: (parameters: SigningParameters) => IAlgorithm;
  readonly key: 'private' | 'mac';
  readonly input: (digest: Uint8Array) => Buffer;
  /** At least as much as a signature takes. */
  readonly limitBytes: number;
}

const bare = (digest: Uint8Array) => Buffer.from(digest);

function rsaPkcs1(hash?: Hash): SigningMechanism {
  return {
    mechanism: { name: MechanismEnum.RSA_PKCS, params: null },
    key: 'private',
    input: hash === undefined ? bare : (digest) => Buffer.concat([DIGEST_INFO[hash], digest]),
    limitBytes: SIGNATURE_LIMIT_BYTES,
  };
}

/** Salt as long as the digest (RFC 7518 §3.5). */
function rsaPss(hash: Hash): SigningMechanism {
  const { hash: hashMechanism, mgf, saltBytes } = PSS[hash];
  return {
    mechanism: {
      name: MechanismEnum.RSA_PKCS_PSS,
      params: new RsaPssParams(hashMechanism, mgf, saltBytes),
    },
    key: 'private',
    input: bare,
    limitBytes: SIGNATURE_LIMIT_BYTES,
  };
}

/** C_Sign gives r || s, each as wide as the curve (PKCS#11 v2.40 curr. §2.3.1), which is what JWS wants: no DER here. */
const ECDSA: SigningMechanism = {
  mechanism: { name: MechanismEnum.ECDSA, params: null },
  key: 'private',
  input: bare,
  limitBytes: SIGNATURE_LIMIT_BYTES,
};

function hmac(mechanism: number): SigningMechanism {
  return {
    mechanism: { name: mechanism, params: null },
    key: 'mac',
    input: bare,
    limitBytes: SIGNATURE_LIMIT_BYTES,
  };
}

function mlDsa(parameterSet: ParameterSet): SigningMechanism {
  return {
    mechanism: mlDsaMechanism(),
    withParameters: mlDsaMechanism,
    key: 'private',
    input: bare,
    limitBytes: ML_DSA[parameterSet].signatureBytes,
  };
}

/** A Record, so that an algorithm without a mechanism does not compile. */
export const SIGNING: Readonly<Record<SigningAlgorithm, SigningMechanism>> = {
  RS256: rsaPkcs1('SHA256'),
  RS384: rsaPkcs1('SHA384'),
  RS512: rsaPkcs1('SHA512'),
  RSNULL: rsaPkcs1(),
  PS256: rsaPss('SHA256'),
  PS384: rsaPss('SHA384'),
  PS512: rsaPss('SHA512'),
  ES256: ECDSA,
  ES256K: ECDSA,
  ES384: ECDSA,
  ES512: ECDSA,
  HS256: hmac(MechanismEnum.SHA256_HMAC),
  HS384: hmac(MechanismEnum.SHA384_HMAC),
  HS512: hmac(MechanismEnum.SHA512_HMAC),
  'ML-DSA-44': mlDsa('ML-DSA-44'),
  'ML-DSA-65': mlDsa('ML-DSA-65'),
  'ML-DSA-87': mlDsa('ML-DSA-87'),
};

export function signingMechanism(
  { mechanism, withParameters }: SigningMechanism,
  parameters: SigningParameters | undefined,
): IAlgorithm {
  return parameters === undefined || withParameters === undefined
    ? mechanism
    : withParameters(parameters);
}

const OAEP: Readonly<Record<OaepHash, readonly [number, number]>> = {
  sha1: [MechanismEnum.SHA1, RsaMgf.MGF1_SHA1],
  sha256: [MechanismEnum.SHA256, RsaMgf.MGF1_SHA256],
  sha384: [MechanismEnum.SHA384, RsaMgf.MGF1_SHA384],
};

/** OAEP with the same hash for the label and for MGF1, and an empty label. */
export function rsaOaep(hash: OaepHash): IAlgorithm {
  return { name: MechanismEnum.RSA_PKCS_OAEP, params: new RsaOaepParams(...OAEP[hash]) };
}
