import { type Algorithm, type KeyType, PARAMETER_SETS } from '../../core/operations/algorithms.ts';
import { ServiceError } from '../../core/errors.ts';
import type { TransferableType } from '../../core/keys/hsm.ts';
import type { KeySpec } from '../../core/keys/key.ts';
import type { ReleaseWrap } from '../../core/release/key-release.ts';
import { ML_DSA_KEY_PAIR_GEN_NAME } from '../operations/ml-dsa.ts';
import { type Capabilities, type KeyKind, keyKindOf, type KeyWrapPadded } from './capabilities.ts';
import { describeLack, type Lack } from './lack.ts';

/** What a caller is told who asks for what the module of the pool lacks. */

/** @throws ServiceError BadParameter */
export function requireAlgorithm(
  capabilities: Capabilities,
  algorithm: Algorithm,
  spec: KeySpec,
): void {
  const lacks = capabilities.algorithmLacks[algorithm];
  if (lacks === undefined) return;
  const kind = keyKindOf(spec);
  const lack = lacks[kind];
  if (lack !== undefined)
    throw lacking(`The algorithm ${algorithm} with a key of the kind ${kind}`, capabilities, lack);
}

/** @throws ServiceError BadParameter */
export function requireKeyKind(capabilities: Capabilities, spec: KeySpec): void {
  const kind = keyKindOf(spec);
  const lack = capabilities.keyLacks[kind];
  if (lack !== undefined) throw lacking(`A key of the kind ${kind}`, capabilities, lack);
}

/** Where no key of the type can be kept, whatever its size or curve. @throws ServiceError BadParameter */
export function requireKeyType(capabilities: Capabilities, keyType: KeyType): void {
  const lack = capabilities.keyLacks[FIRST[keyType]];
  if (lack !== undefined) throw lacking(`A key of the type ${keyType}`, capabilities, lack);
}

/** Of each type, the kind that modules have if they have any. */
const FIRST: Readonly<Record<KeyType, KeyKind>> = {
  'RSA-HSM': 'RSA-HSM 2048',
  'EC-HSM': 'EC-HSM P-256',
  'oct-HSM': 'oct-HSM 256',
  'AKP-HSM': 'AKP-HSM ML-DSA-65',
};

/** Be it that the keys can't be kept: then requireKeyKind() says why. */
export function makesMlDsa({ keyLacks }: Capabilities): boolean {
  return PARAMETER_SETS.some(
    (name) => keyLacks[`AKP-HSM ${name}`]?.mechanism !== ML_DSA_KEY_PAIR_GEN_NAME,
  );
}

/** @throws ServiceError BadParameter */
export function requireExternalMu(capabilities: Capabilities): void {
  const lack = capabilities.externalMuLack;
  if (lack !== undefined) throw lacking('A signature of external_mu', capabilities, lack);
}

/** @throws ServiceError BadParameter where the module doesn't wrap such a key for a recipient, or not so */
export function requireRelease(
  capabilities: Pick<Capabilities, 'module' | 'releaseLacks' | 'releaseWrapLacks'>,
  spec: KeySpec,
  wrap: ReleaseWrap,
): void {
  const kind = keyKindOf(spec);
  const lack = capabilities.releaseLacks[kind];
  if (lack !== undefined)
    throw lacking(`The release of a key of the kind ${kind}`, capabilities, lack);
  const lackOfWrap = capabilities.releaseWrapLacks[wrap];
  if (lackOfWrap !== undefined) throw lacking(`A release by ${wrap}`, capabilities, lackOfWrap);
}

/** @throws ServiceError BadParameter */
export function requireTransfer(
  capabilities: Pick<Capabilities, 'module' | 'transferLacks'>,
  keyType: TransferableType,
): void {
  const lack = capabilities.transferLacks[keyType];
  if (lack !== undefined)
    throw lacking(`The import of a wrapped key of the type ${keyType}`, capabilities, lack);
}

/** @throws ServiceError BadParameter */
export function requireKeyWrapPadded({
  keyWrapPadded,
  module,
}: Pick<Capabilities, 'keyWrapPadded' | 'module'>): KeyWrapPadded {
  if (keyWrapPadded === undefined)
    throw new ServiceError(
      'BadParameter',
      `The HSM of this pool (${module}) lacks AES key wrap with padding (RFC 5649).`,
    );
  return keyWrapPadded;
}

function lacking(what: string, { module }: Pick<Capabilities, 'module'>, lack: Lack): ServiceError {
  return new ServiceError(
    'BadParameter',
    `${what} is not available: the HSM of this pool, ${module}, fails at ${describeLack(lack)}.`,
  );
}
