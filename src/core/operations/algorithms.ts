import type { SettingName } from '../pool/setting.ts';

/** The key types that Managed HSM keeps, named as it returns them. */
export type KeyType = 'RSA-HSM' | 'EC-HSM' | 'oct-HSM' | 'AKP-HSM';

interface CurveFacts<Algorithm extends string = string> {
  readonly bits: number;
  /** Of one coordinate, and of each half of a signature. */
  readonly bytes: number;
  /** DER of its object identifier (RFC 5480 §2.1.1.1, SEC 2), as CKA_EC_PARAMS has it. */
  readonly oid: Buffer;
  /** As OpenSSL, and so Node, names it. */
  readonly openssl: string;
  /** As a JWK names it (RFC 7518 §6.2.1.1, RFC 8812 §3.1). */
  readonly jwk: string;
  /** The one that its keys sign with. */
  readonly algorithm: Algorithm;
  /** What az, SECG (SEC 2) and ANSI X9.62 call it besides, in lower case. */
  readonly aliases: readonly string[];
}

function curve<Algorithm extends string>(
  bits: number,
  oid: string,
  openssl: string,
  jwk: string,
  algorithm: Algorithm,
  ...aliases: readonly string[]
): CurveFacts<Algorithm> {
  const bytes = Math.ceil(bits / 8);
  return { bits, bytes, oid: Buffer.from(oid, 'hex'), openssl, jwk, algorithm, aliases };
}

/** One line a curve. Names as in Azure's JsonWebKeyCurveName. */
export const CURVE = {
  'P-256': curve(256, '06082a8648ce3d030107', 'prime256v1', 'P-256', 'ES256', 'secp256r1'),
  'P-256K': curve(256, '06052b8104000a', 'secp256k1', 'secp256k1', 'ES256K'),
  'P-384': curve(384, '06052b81040022', 'secp384r1', 'P-384', 'ES384'),
  'P-521': curve(521, '06052b81040023', 'secp521r1', 'P-521', 'ES512'),
};
export type Curve = keyof typeof CURVE;
export const CURVES = Object.keys(CURVE) as readonly Curve[];

export const RSA_SIZES = [2048, 3072, 4096] as const;
export type RsaSize = (typeof RSA_SIZES)[number];

export const AES_SIZES = [128, 192, 256] as const;
export type AesSize = (typeof AES_SIZES)[number];

interface ParameterSetFacts {
  /** Of a public key (FIPS 204 §7.2, pkEncode), and of a signature (§7.2, sigEncode). */
  readonly publicBytes: number;
  readonly signatureBytes: number;
  /** DER of its object identifier (RFC 9881 §2). */
  readonly oid: Buffer;
}

const parameterSet = (
  publicBytes: number,
  signatureBytes: number,
  oid: string,
): ParameterSetFacts => ({ publicBytes, signatureBytes, oid: Buffer.from(oid, 'hex') });

/** One line a parameter set of ML-DSA (FIPS 204 §4, table 2), by its name as a JWK's alg. Each is its keys' one algorithm. */
export const ML_DSA = {
  'ML-DSA-44': parameterSet(1312, 2420, '0609608648016503040311'),
  'ML-DSA-65': parameterSet(1952, 3309, '0609608648016503040312'),
  'ML-DSA-87': parameterSet(2592, 4627, '0609608648016503040313'),
};
export type ParameterSet = keyof typeof ML_DSA;
export const PARAMETER_SETS = Object.keys(ML_DSA) as readonly ParameterSet[];
/** Of the seed from which a key pair follows (FIPS 204 §5.1, ξ), of μ (§6.2), and the most of a context (§5.2). */
export const ML_DSA_SEED_BYTES = 32;
export const ML_DSA_MU_BYTES = 64;
export const ML_DSA_CONTEXT_LIMIT_BYTES = 255;

export type DigestBytes = 32 | 48 | 64;

/**
 * One line an algorithm: which keys it takes, and what it is used for. `cipher` serves encrypt and decrypt, `wrap` serves
 * wrapkey and unwrapkey (for RSA the two are the same computation, authorised separately), `sign` serves sign and verify.
 * `digestBytes` is the length of the digest that sign and verify take; without it the value is taken as it is, but where
 * the padding needs `overheadBytes` of the modulus for itself.
 */
export interface AlgorithmFacts {
  readonly keyType: KeyType;
  readonly uses: readonly ('cipher' | 'wrap' | 'sign')[];
  readonly bits?: AesSize;
  readonly curve?: Curve;
  readonly parameterSet?: ParameterSet;
  readonly digestBytes?: DigestBytes;
  readonly overheadBytes?: number;
  readonly mode?: BlockMode;
  /** The setting that must be on. */
  readonly allowedBy?: SettingName;
}

/** What a mode takes besides the value, in bytes. */
interface BlockMode {
  readonly name: 'GCM' | 'CBC';
  readonly ivBytes: number;
  readonly tagBytes?: number;
}
/** SP 800-38D, with the IV and tag that Azure's clients expect. */
const GCM = { name: 'GCM', ivBytes: 12, tagBytes: 16 } as const;
/** SP 800-38A §6.2. */
const CBC = { name: 'CBC', ivBytes: 16 } as const;

const rsaCipher = { keyType: 'RSA-HSM', uses: ['cipher', 'wrap'] } as const;
const rsaSign = (digestBytes: DigestBytes) =>
  ({ keyType: 'RSA-HSM', uses: ['sign'], digestBytes }) as const;
const ecdsa = (curve: Curve, digestBytes: DigestBytes) =>
  ({ keyType: 'EC-HSM', uses: ['sign'], curve, digestBytes }) as const;
/** Signs messages of any length, which it hashes itself. */
const mlDsa = (parameterSet: ParameterSet) =>
  ({ keyType: 'AKP-HSM', uses: ['sign'], parameterSet }) as const;
const aesCipher = (bits: AesSize, mode: BlockMode) =>
  ({ keyType: 'oct-HSM', uses: ['cipher'], bits, mode }) as const;
const aesWrap = (bits: AesSize) => ({ keyType: 'oct-HSM', uses: ['wrap'], bits }) as const;

/** Names as in Azure's JsonWebKeyEncryptionAlgorithm and JsonWebKeySignatureAlgorithm, and of ML-DSA as in a JWK's alg. */
export const ALGORITHMS = {
  RSA1_5: { ...rsaCipher, allowedBy: 'AllowRsa15' },
  'RSA-OAEP': rsaCipher,
  'RSA-OAEP-256': rsaCipher,
  A128GCM: aesCipher(128, GCM),
  A192GCM: aesCipher(192, GCM),
  A256GCM: aesCipher(256, GCM),
  A128CBC: aesCipher(128, CBC),
  A192CBC: aesCipher(192, CBC),
  A256CBC: aesCipher(256, CBC),
  A128CBCPAD: aesCipher(128, CBC),
  A192CBCPAD: aesCipher(192, CBC),
  A256CBCPAD: aesCipher(256, CBC),
  A128KW: aesWrap(128),
  A192KW: aesWrap(192),
  A256KW: aesWrap(256),
  CKM_AES_KEY_WRAP: { keyType: 'oct-HSM', uses: ['wrap'] },
  CKM_AES_KEY_WRAP_PAD: { keyType: 'oct-HSM', uses: ['wrap'] },
  RS256: rsaSign(32),
  RS384: rsaSign(48),
  RS512: rsaSign(64),
  PS256: rsaSign(32),
  PS384: rsaSign(48),
  PS512: rsaSign(64),
  // RFC 8017 §9.2: EMSA-PKCS1-v1_5 without DigestInfo.
  RSNULL: { keyType: 'RSA-HSM', uses: ['sign'], overheadBytes: 11 },
  ES256: ecdsa('P-256', 32),
  ES256K: ecdsa('P-256K', 32),
  ES384: ecdsa('P-384', 48),
  ES512: ecdsa('P-521', 64),
  HS256: { keyType: 'oct-HSM', uses: ['sign'] },
  HS384: { keyType: 'oct-HSM', uses: ['sign'] },
  HS512: { keyType: 'oct-HSM', uses: ['sign'] },
  'ML-DSA-44': mlDsa('ML-DSA-44'),
  'ML-DSA-65': mlDsa('ML-DSA-65'),
  'ML-DSA-87': mlDsa('ML-DSA-87'),
} as const satisfies Record<string, AlgorithmFacts>;

export type Algorithm = keyof typeof ALGORITHMS;
type Serving<Use extends string> = {
  [A in Algorithm]: Use extends (typeof ALGORITHMS)[A]['uses'][number] ? A : never;
}[Algorithm];

/** Algorithms of encrypt, decrypt, wrapkey and unwrapkey. */
export type CipherAlgorithm = Serving<'cipher'> | Serving<'wrap'>;
/** Algorithms of sign and verify. */
export type SigningAlgorithm = Serving<'sign'>;

export type FoundAlgorithm = AlgorithmFacts & { readonly name: Algorithm };

/** The facts of a named algorithm, or undefined where there is none of that name. Names are case-sensitive, as Azure's are. */
export function findAlgorithm(name: string): FoundAlgorithm | undefined {
  if (!Object.hasOwn(ALGORITHMS, name)) return undefined;
  const algorithm = name as Algorithm;
  return { name: algorithm, ...ALGORITHMS[algorithm] };
}
