import { type FoundAlgorithm, ML_DSA_CONTEXT_LIMIT_BYTES, ML_DSA_MU_BYTES } from './algorithms.ts';
import { ServiceError } from '../errors.ts';
import type { SigningParameters } from '../keys/hsm.ts';
import type { KeySpec } from '../keys/key.ts';

/** What a caller wants signed or verified. */
export interface Signable {
  /** A digest, or of algorithms that take one a whole message. */
  readonly value?: Uint8Array | undefined;
  /** ML-DSA only (FIPS 204 §5.2, ctx). */
  readonly context?: Uint8Array | undefined;
  /** ML-DSA only: μ (FIPS 204 §6.2), instead of a message and its context. */
  readonly externalMu?: Uint8Array | undefined;
}

/**
 * The bytes that a signature is made of, checked for what the algorithm takes.
 * @param property by which the caller knows `value`
 * @throws ServiceError BadParameter
 */
export function signableOf(
  spec: KeySpec,
  facts: FoundAlgorithm,
  { value, context, externalMu }: Signable,
  property: 'value' | 'digest',
): { readonly bytes: Uint8Array; readonly parameters?: SigningParameters } {
  if (facts.parameterSet === undefined) {
    if (context !== undefined) throw onlyMlDsa('context');
    if (externalMu !== undefined) throw onlyMlDsa('external_mu');
  }
  if (externalMu !== undefined) {
    if (value !== undefined || context !== undefined)
      throw wrong('external_mu', `${property} and context must be absent beside it`);
    if (externalMu.length !== ML_DSA_MU_BYTES)
      throw wrong('external_mu', `it must have ${ML_DSA_MU_BYTES} bytes`);
    return { bytes: externalMu, parameters: { isMu: true } };
  }
  if (value === undefined) throw wrong(property, 'it is missing');
  if (context !== undefined && context.length > ML_DSA_CONTEXT_LIMIT_BYTES)
    throw wrong('context', `it must have at most ${ML_DSA_CONTEXT_LIMIT_BYTES} bytes`);
  requireLength(spec, facts, value);
  // An empty context is the same as none (FIPS 204 §5.2).
  const hasContext = context !== undefined && context.length > 0;
  return { bytes: value, ...(hasContext && { parameters: { context } }) };
}

function requireLength(spec: KeySpec, facts: FoundAlgorithm, digest: Uint8Array): void {
  const { name, digestBytes, overheadBytes } = facts;
  if (digestBytes !== undefined && digest.length !== digestBytes)
    throw new ServiceError(
      'BadParameter',
      `Invalid length of digest: ${digest.length} bytes. Algorithm ${name} takes ${digestBytes}.`,
    );
  if (overheadBytes === undefined || spec.keyType !== 'RSA-HSM') return;
  const most = spec.bits / 8 - overheadBytes;
  if (digest.length === 0 || digest.length > most)
    throw new ServiceError(
      'BadParameter',
      `Invalid length of digest: ${digest.length} bytes. Algorithm ${name} takes 1 to ${most} with this key.`,
    );
}

function wrong(property: string, why: string): ServiceError {
  return new ServiceError('BadParameter', `Property ${property} has an invalid value: ${why}.`);
}

function onlyMlDsa(property: string): ServiceError {
  return wrong(property, 'only ML-DSA keys (AKP-HSM) take it');
}
