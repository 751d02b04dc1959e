import type {
  AesSize,
  AlgorithmFacts,
  Curve,
  ParameterSet,
  RsaSize,
} from '../operations/algorithms.ts';

/** What a key is, as far as HSMs and algorithms differ in it. */
export type KeyShape =
  | { readonly keyType: 'RSA-HSM'; readonly bits: RsaSize }
  | { readonly keyType: 'EC-HSM'; readonly curve: Curve }
  | { readonly keyType: 'oct-HSM'; readonly bits: AesSize }
  | { readonly keyType: 'AKP-HSM'; readonly parameterSet: ParameterSet };

/** What tells keys of one type apart: bits, the curve or the parameter set. */
export function sizeOf(shape: KeyShape): string {
  switch (shape.keyType) {
    case 'RSA-HSM':
    case 'oct-HSM':
      return String(shape.bits);
    case 'EC-HSM':
      return shape.curve;
    case 'AKP-HSM':
      return shape.parameterSet;
  }
}

/** Whether an algorithm is one that keys of this kind are used with. */
export function fitsKey(
  {
    keyType,
    bits,
    curve,
    parameterSet,
  }: Pick<AlgorithmFacts, 'keyType' | 'bits' | 'curve' | 'parameterSet'>,
  shape: KeyShape,
): boolean {
  const wanted = bits ?? curve ?? parameterSet;
  return keyType === shape.keyType && (wanted === undefined || String(wanted) === sizeOf(shape));
}

/** The member that says it in the words of a JWK or of a request. */
export function memberOf(
  shape: KeyShape,
): { bits: number } | { crv: Curve } | { alg: ParameterSet } {
  switch (shape.keyType) {
    case 'RSA-HSM':
    case 'oct-HSM':
      return { bits: shape.bits };
    case 'EC-HSM':
      return { crv: shape.curve };
    case 'AKP-HSM':
      return { alg: shape.parameterSet };
  }
}
