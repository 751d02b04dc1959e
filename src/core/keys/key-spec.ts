import {
  AES_SIZES,
  CURVE,
  type Curve,
  CURVES,
  type KeyType,
  PARAMETER_SETS,
  type ParameterSet,
  RSA_SIZES,
} from '../operations/algorithms.ts';
import { ServiceError } from '../errors.ts';
import type { HsmFeatures } from './hsm.ts';
import { DEFAULT_OPERATIONS, KEY_OPERATIONS, type KeyOperation, type KeySpec } from './key.ts';

/** What a caller asks for, in the words of the REST API; sizes in bits. */
export interface RequestedKey {
  readonly keyType: string | undefined;
  /** Of AKP keys: the one algorithm for which they are made. */
  readonly algorithm?: string | undefined;
  readonly keySize?: number | undefined;
  readonly curve?: string | undefined;
  readonly publicExponent?: number | undefined;
  readonly operations?: readonly string[] | undefined;
}

/** Software key types become their HSM form, as the live service does it. */
const KEY_TYPES: Readonly<Record<string, KeyType>> = {
  RSA: 'RSA-HSM',
  'RSA-HSM': 'RSA-HSM',
  EC: 'EC-HSM',
  'EC-HSM': 'EC-HSM',
  oct: 'oct-HSM',
  'oct-HSM': 'oct-HSM',
  AES: 'oct-HSM',
  AKP: 'AKP-HSM',
  'AKP-HSM': 'AKP-HSM',
};

const POSSIBLE: Readonly<Record<KeyType, readonly KeyOperation[]>> = {
  'RSA-HSM': [
    'encrypt',
    'decrypt',
    'sign',
    'verify',
    'wrapKey',
    'unwrapKey',
    'secureWrapKey',
    'secureUnwrapKey',
    'import',
    'export',
  ],
  'EC-HSM': ['sign', 'verify', 'export'],
  'oct-HSM': [
    'encrypt',
    'decrypt',
    'sign',
    'verify',
    'wrapKey',
    'unwrapKey',
    'secureWrapKey',
    'secureUnwrapKey',
    'export',
    'deriveKey',
  ],
  'AKP-HSM': ['sign', 'verify', 'export'],
};

/** FIPS 186-5 §5.1: above 2^16. The upper end is what PKCS#11 modules and clients agree on. */
const PUBLIC_EXPONENT = { least: 65_537, most: 0xffff_ffff };

/** Whether a key type is ML-DSA's, by either of its names. */
export function isAkp(keyType: string | undefined): boolean {
  return keyType !== undefined && Object.hasOwn(KEY_TYPES, keyType)
    ? KEY_TYPES[keyType] === 'AKP-HSM'
    : false;
}

/** Why post-quantum keys can't be had of an HSM that makes none, as a clause. */
export const NO_ML_DSA =
  'AKP-HSM keys need ML-DSA (PKCS#11 3.2), which the HSM of this pool does not have';

/**
 * Refuses post-quantum keys where the HSM makes none, and a request for one that names another type: it must not be taken
 * for a request for another.
 * @throws ServiceError BadParameter
 */
export function requireMlDsa(
  { keyType, algorithm }: Pick<RequestedKey, 'keyType' | 'algorithm'>,
  { hasMlDsa }: Pick<HsmFeatures, 'hasMlDsa'>,
): void {
  if (isAkp(keyType)) {
    if (hasMlDsa) return;
    throw new ServiceError('BadParameter', `Property kty has an invalid value: ${NO_ML_DSA}.`);
  }
  if (algorithm !== undefined)
    throw new ServiceError(
      'BadParameter',
      'Property alg has an invalid value: only AKP-HSM keys (ML-DSA) are made for one algorithm.',
    );
}

/** @throws ServiceError BadParameter */
export function parseKeyType(name: string | undefined): KeyType {
  if (name === undefined)
    throw new ServiceError(
      'BadParameter',
      'Property kty is missing: it must be RSA-HSM, EC-HSM, oct-HSM or AKP-HSM.',
    );
  const keyType = Object.hasOwn(KEY_TYPES, name) ? KEY_TYPES[name] : undefined;
  if (keyType === undefined)
    throw new ServiceError(
      'BadParameter',
      'Property kty has an invalid value: it must be RSA-HSM, EC-HSM, oct-HSM or AKP-HSM.',
    );
  return keyType;
}

/** @throws ServiceError BadParameter for a type, size, curve or exponent that no key here can have */
export function parseKeySpec(requested: RequestedKey): KeySpec {
  const keyType = parseKeyType(requested.keyType);
  switch (keyType) {
    case 'RSA-HSM': {
      return {
        keyType,
        bits: size('RSA-HSM', requested.keySize ?? 2048, RSA_SIZES),
        // Java's library sends 0 where its caller sets none.
        publicExponent: parsePublicExponent(
          'public_exponent',
          requested.publicExponent === 0 ? undefined : requested.publicExponent,
        ),
      };
    }
    case 'EC-HSM': {
      return { keyType, curve: parseCurve('crv', requested.curve) ?? 'P-256' };
    }
    case 'oct-HSM':
      return { keyType, bits: size('oct-HSM', requested.keySize ?? 256, AES_SIZES) };
    case 'AKP-HSM':
      return { keyType, parameterSet: parseParameterSet('alg', requested.algorithm) };
  }
}

/**
 * What SP 800-56B and FIPS 186-5 let be one, or the usual one where none is named.
 * @param property by which the caller knows it
 * @throws ServiceError BadParameter with what is wrong with this one
 */
export function parsePublicExponent(property: string, value: number | bigint = 65_537): number {
  const why = wrongExponent(value);
  if (why === undefined) return Number(value);
  throw new ServiceError('BadParameter', `Property ${property} has an invalid value: ${why}.`);
}

/** Undefined for one that a key here can have. */
function wrongExponent(value: number | bigint): string | undefined {
  const { least, most } = PUBLIC_EXPONENT;
  if (value < least)
    return `a public exponent below ${least}, such as 3 or 17, is not allowed (FIPS 186-5 asks for more than 2^16)`;
  if (value > most) return `the public exponent must not be larger than ${most}`;
  if (typeof value === 'number' && !Number.isInteger(value))
    return 'the public exponent must be a whole number';
  return Number(value) % 2 === 0 ? 'the public exponent must be odd' : undefined;
}

/** Each curve by all of its names, in lower case. */
const CURVE_NAMES: ReadonlyMap<string, Curve> = new Map(
  CURVES.flatMap((curve) => {
    const { openssl, jwk, aliases } = CURVE[curve];
    return [curve, openssl, jwk, ...aliases].map((name) => [name.toLowerCase(), curve] as const);
  }),
);

/**
 * A curve by any of its names, in any case; undefined where none is named.
 * @param property by which the caller knows it
 * @throws ServiceError BadParameter
 */
export function parseCurve(property: string, name: string | undefined): Curve | undefined {
  if (name === undefined || name === '') return undefined;
  const curve = CURVE_NAMES.get(name.toLowerCase());
  if (curve === undefined)
    throw new ServiceError(
      'BadParameter',
      `Property ${property} has an invalid value: it must be one of ${CURVES.join(', ')}.`,
    );
  return curve;
}

/**
 * @param property by which the caller knows it
 * @throws ServiceError BadParameter for one that ML-DSA doesn't have, and where none is named: it is no matter of chance
 */
export function parseParameterSet(property: string, name: string | undefined): ParameterSet {
  const found = PARAMETER_SETS.find((known) => known === name);
  if (found !== undefined) return found;
  const what = name === undefined ? 'is missing' : 'has an invalid value';
  throw new ServiceError(
    'BadParameter',
    `Property ${property} ${what}: for AKP-HSM it must be one of ${PARAMETER_SETS.join(', ')}.`,
  );
}

function size<Bits extends number>(keyType: KeyType, bits: number, allowed: readonly Bits[]): Bits {
  const found = allowed.find((candidate) => candidate === bits);
  if (found === undefined)
    throw new ServiceError(
      'BadParameter',
      `Property key_size has an invalid value: for ${keyType} it must be one of ${allowed.join(', ')}.`,
    );
  return found;
}

/**
 * The operations of a key: those asked for, without repetition, or its type's own where none are.
 * @throws ServiceError BadParameter for an operation that doesn't exist, or that keys of this type can't do
 */
export function parseKeyOperations(
  keyType: KeyType,
  requested: readonly string[] | undefined,
): readonly KeyOperation[] {
  if (requested === undefined || requested.length === 0) return DEFAULT_OPERATIONS[keyType];
  const operations = new Set<KeyOperation>();
  for (const name of requested) {
    const operation = KEY_OPERATIONS.find((known) => known === name);
    if (operation === undefined || !POSSIBLE[keyType].includes(operation))
      throw new ServiceError(
        'BadParameter',
        `Property key_ops has an invalid value: a key of type ${keyType} can have ${POSSIBLE[keyType].join(', ')}.`,
      );
    operations.add(operation);
  }
  if (operations.has('import') && operations.size > 1)
    throw new ServiceError(
      'BadParameter',
      'Property key_ops has an invalid value: import must be the only operation of a key exchange key.',
    );
  return [...operations];
}
