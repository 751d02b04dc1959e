import type { AesSize, Curve, ParameterSet, RsaSize } from '../../operations/algorithms.ts';

/**
 * A private or secret key in the clear, on its way into the HSM: the one moment in which it is outside. Unsigned
 * big-endian numbers; `n` without leading zero bytes, `x`, `y` and `d` of EC as wide as the curve (RFC 7518 §6.2).
 */
export type PlainKey = PlainRsaKey | PlainEcKey | PlainAesKey | PlainMlDsaKey;

export interface PlainRsaKey {
  readonly keyType: 'RSA-HSM';
  readonly bits: RsaSize;
  readonly n: Uint8Array;
  readonly e: Uint8Array;
  readonly d: Uint8Array;
  readonly p: Uint8Array;
  readonly q: Uint8Array;
  readonly dp: Uint8Array;
  readonly dq: Uint8Array;
  readonly qi: Uint8Array;
}

export interface PlainEcKey {
  readonly keyType: 'EC-HSM';
  readonly curve: Curve;
  readonly x: Uint8Array;
  readonly y: Uint8Array;
  readonly d: Uint8Array;
}

export interface PlainAesKey {
  readonly keyType: 'oct-HSM';
  readonly bits: AesSize;
  readonly k: Uint8Array;
}

export interface PlainMlDsaKey {
  readonly keyType: 'AKP-HSM';
  readonly parameterSet: ParameterSet;
  readonly pub: Uint8Array;
  /** From which the whole key follows (FIPS 204 §5.1, ξ). */
  readonly seed: Uint8Array;
}

/** Overwrites what is in memory of a key, as far as the runtime lets us: strings that it came in stay until collected. */
export function wipe(key: PlainKey): void {
  for (const member of Object.values(key)) if (member instanceof Uint8Array) member.fill(0);
}
