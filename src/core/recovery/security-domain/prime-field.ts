/**
 * The field in which Azure's shares are counted: the whole numbers 0 to 256, modulo the prime 257. It has one element more
 * than a byte has values, so a share's value takes nine bits.
 */
export const PRIME = 257;

/** All arguments are elements of the field. */
export function add(a: number, b: number): number {
  return (a + b) % PRIME;
}

export function subtract(a: number, b: number): number {
  return (a - b + PRIME) % PRIME;
}

export function multiply(a: number, b: number): number {
  return (a * b) % PRIME;
}

/** By Fermat: the 255th power, in as many steps for every argument. 0 has no inverse, and 0 is what it gives. */
export function invert(a: number): number {
  let power = a;
  for (let bit = 1; bit < 8; bit += 1) power = multiply(multiply(power, power), a);
  return power;
}
