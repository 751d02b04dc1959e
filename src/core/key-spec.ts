import { AES_SIZES, CURVES, type KeyType, RSA_SIZES } from './algorithms.ts';
import { ServiceError } from './errors.ts';
import { type HsmFeatures } from './hsm.ts';
import { DEFAULT_OPERATIONS, KEY_OPERATIONS, type KeyOperation, type KeySpec } from './key.ts';

/** What a caller asks for, in the words of the REST API; sizes in bits. */
export interface RequestedKey {
  readonly keyType: string;
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
};

const POSSIBLE: Readonly<Record<KeyType, readonly KeyOperation[]>> = {
  'RSA-HSM': ['encrypt', 'decrypt', 'sign', 'verify', 'wrapKey', 'unwrapKey', 'import', 'export'],
  'EC-HSM': ['sign', 'verify', 'export'],
  'oct-HSM': [
    'encrypt',
    'decrypt',
    'sign',
    'verify',
    'wrapKey',
    'unwrapKey',
    'export',
    'deriveKey',
  ],
};

/** The largest public exponent that PKCS#11 modules and clients agree on; FIPS 186-5 §5.1 allows more than 65537. */
export const MAX_PUBLIC_EXPONENT = 0xffff_ffff;

/**
 * Says of post-quantum key types why they can't be had, rather than that they are unknown.
 * @throws ServiceError BadParameter
 */
export function requireBuilt(keyType: string, { hasMlDsa }: HsmFeatures): void {
  if (keyType !== 'AKP' && keyType !== 'AKP-HSM') return;
  throw new ServiceError(
    'BadParameter',
    hasMlDsa
      ? 'Property kty has an invalid value: AKP-HSM keys (ML-DSA) are not available yet.'
      : 'Property kty has an invalid value: AKP-HSM keys need ML-DSA (PKCS#11 3.2), which the HSM of this pool does not have.',
  );
}

/** @throws ServiceError BadParameter */
export function parseKeyType(name: string): KeyType {
  const keyType = Object.hasOwn(KEY_TYPES, name) ? KEY_TYPES[name] : undefined;
  if (keyType === undefined)
    throw new ServiceError(
      'BadParameter',
      'Property kty has an invalid value: it must be RSA-HSM, EC-HSM or oct-HSM.',
    );
  return keyType;
}

/** @throws ServiceError BadParameter for a type, size, curve or exponent that no key here can have */
export function parseKeySpec(requested: RequestedKey): KeySpec {
  const keyType = parseKeyType(requested.keyType);
  switch (keyType) {
    case 'RSA-HSM': {
      const publicExponent = requested.publicExponent ?? 65537;
      if (
        publicExponent < 65537 ||
        publicExponent > MAX_PUBLIC_EXPONENT ||
        publicExponent % 2 === 0
      )
        throw new ServiceError(
          'BadParameter',
          'Property public_exponent has an invalid value: it must be odd and at least 65537.',
        );
      return {
        keyType,
        bits: size('RSA-HSM', requested.keySize ?? 2048, RSA_SIZES),
        publicExponent,
      };
    }
    case 'EC-HSM': {
      const named =
        requested.curve === undefined || requested.curve === '' ? 'P-256' : requested.curve;
      const curve = CURVES.find((candidate) => candidate === named);
      if (curve === undefined)
        throw new ServiceError(
          'BadParameter',
          `Property crv has an invalid value: it must be one of ${CURVES.join(', ')}.`,
        );
      return { keyType, curve };
    }
    case 'oct-HSM':
      return { keyType, bits: size('oct-HSM', requested.keySize ?? 256, AES_SIZES) };
  }
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
