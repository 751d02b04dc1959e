import { type SettingName } from '../pool/setting.ts';

/** The key types that Managed HSM keeps, named as it returns them. */
export type KeyType = 'RSA-HSM' | 'EC-HSM' | 'oct-HSM';

export const CURVES = ['P-256', 'P-256K', 'P-384', 'P-521'] as const;
export type Curve = (typeof CURVES)[number];

export const RSA_SIZES = [2048, 3072, 4096] as const;
export type RsaSize = (typeof RSA_SIZES)[number];

export const AES_SIZES = [128, 192, 256] as const;
export type AesSize = (typeof AES_SIZES)[number];

export type DigestBytes = 32 | 48 | 64;

/**
 * One line an algorithm: which keys it takes, and what it is used for. `cipher` serves encrypt and decrypt, `wrap` serves
 * wrapkey and unwrapkey (for RSA the two are the same computation, authorised separately), `sign` serves sign and verify.
 * `digestBytes` is the length of the digest that sign and verify take; without it the value is taken as it is.
 */
interface AlgorithmFacts {
  readonly keyType: KeyType;
  readonly uses: readonly ('cipher' | 'wrap' | 'sign')[];
  readonly bits?: AesSize;
  readonly curve?: Curve;
  readonly digestBytes?: DigestBytes;
  /** The setting that must be on. */
  readonly allowedBy?: SettingName;
}

const rsaCipher = { keyType: 'RSA-HSM', uses: ['cipher', 'wrap'] } as const;
const rsaSign = (digestBytes: DigestBytes) =>
  ({ keyType: 'RSA-HSM', uses: ['sign'], digestBytes }) as const;
const ecdsa = (curve: Curve, digestBytes: DigestBytes) =>
  ({ keyType: 'EC-HSM', uses: ['sign'], curve, digestBytes }) as const;
const aesCipher = (bits: AesSize) => ({ keyType: 'oct-HSM', uses: ['cipher'], bits }) as const;
const aesWrap = (bits: AesSize) => ({ keyType: 'oct-HSM', uses: ['wrap'], bits }) as const;

/** Names as in Azure's JsonWebKeyEncryptionAlgorithm and JsonWebKeySignatureAlgorithm, up to api-version 2025-07-01. */
export const ALGORITHMS = {
  RSA1_5: { ...rsaCipher, allowedBy: 'AllowRsa15' },
  'RSA-OAEP': rsaCipher,
  'RSA-OAEP-256': rsaCipher,
  A128GCM: aesCipher(128),
  A192GCM: aesCipher(192),
  A256GCM: aesCipher(256),
  A128CBC: aesCipher(128),
  A192CBC: aesCipher(192),
  A256CBC: aesCipher(256),
  A128CBCPAD: aesCipher(128),
  A192CBCPAD: aesCipher(192),
  A256CBCPAD: aesCipher(256),
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
  RSNULL: { keyType: 'RSA-HSM', uses: ['sign'] },
  ES256: ecdsa('P-256', 32),
  ES256K: ecdsa('P-256K', 32),
  ES384: ecdsa('P-384', 48),
  ES512: ecdsa('P-521', 64),
  HS256: { keyType: 'oct-HSM', uses: ['sign'] },
  HS384: { keyType: 'oct-HSM', uses: ['sign'] },
  HS512: { keyType: 'oct-HSM', uses: ['sign'] },
} as const satisfies Record<string, AlgorithmFacts>;

export type Algorithm = keyof typeof ALGORITHMS;
type Serving<Use extends string> = {
  [A in Algorithm]: Use extends (typeof ALGORITHMS)[A]['uses'][number] ? A : never;
}[Algorithm];

/** Algorithms of encrypt, decrypt, wrapkey and unwrapkey. */
export type CipherAlgorithm = Serving<'cipher'> | Serving<'wrap'>;
/** Algorithms of sign and verify. */
export type SigningAlgorithm = Serving<'sign'>;

/** The facts of a named algorithm, or undefined where there is none of that name. Names are case-sensitive, as Azure's are. */
export function findAlgorithm(name: string): (AlgorithmFacts & { name: Algorithm }) | undefined {
  if (!Object.hasOwn(ALGORITHMS, name)) return undefined;
  const algorithm = name as Algorithm;
  return { name: algorithm, ...ALGORITHMS[algorithm] };
}
