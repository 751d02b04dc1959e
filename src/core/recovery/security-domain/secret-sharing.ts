import { add, invert, multiply, PRIME, subtract } from './prime-field.ts';

/**
 * Shamir's sharing of a secret ("How to share a secret", 1979), each byte by a polynomial of its own over the field of 257:
 * the byte is its value at 0, a share has its value at the share's number. Any `required` shares give the secret, and fewer
 * say nothing of it.
 */
export interface Share {
  /** 1 to 126: the share's number, which is also where the polynomials were evaluated. */
  readonly number: number;
  /** For each byte of the secret the value there: 0 to 256. */
  readonly values: Uint16Array;
}

/** Azure's own limit; a share's number has seven bits. */
export const MOST_SHARES = 126;

export type RandomBytes = (length: number) => Uint8Array;

/** Numbers 1 to `shares`. @param required 2 to `shares` */
export function splitSecret(
  secret: Uint8Array,
  { shares, required }: { readonly shares: number; readonly required: number },
  randomBytes: RandomBytes,
): readonly Share[] {
  if (!(required >= 2 && required <= shares && shares <= MOST_SHARES))
    throw new RangeError(`A secret can't be shared so that ${required} of ${shares} give it.`);
  const made = Array.from({ length: shares }, (_, index) => ({
    number: index + 1,
    values: new Uint16Array(secret.length),
  }));
  const coefficients = new Uint16Array(required);
  secret.forEach((byte, place) => {
    // The highest power first, and the secret byte last. Any coefficient may be 0: without that, a share would say something.
    for (let power = 0; power < required - 1; power += 1)
      coefficients[power] = randomElement(randomBytes);
    coefficients[required - 1] = byte;
    for (const { number, values } of made) values[place] = evaluate(coefficients, number);
  });
  coefficients.fill(0);
  return made;
}

/**
 * The secret that the shares give; undefined where they don't belong together, as far as they can tell. Shares beyond
 * `required` have to lie on the same polynomials as the first.
 * @param shares at least `required`, with different numbers and as many values each
 */
export function combineShares(shares: readonly Share[], required: number): Uint8Array | undefined {
  const first = shares.slice(0, required);
  const secret = valuesAt(0, first);
  const belongTogether =
    secret.every((value) => value < PRIME - 1) &&
    shares.slice(required).every(({ number, values }) => {
      const expected = valuesAt(number, first);
      const isSame = values.every((value, place) => value === expected[place]);
      expected.fill(0);
      return isSame;
    });
  const bytes = Uint8Array.from(secret);
  secret.fill(0);
  if (belongTogether) return bytes;
  bytes.fill(0);
  return undefined;
}

/** Where the polynomials through these shares are at another number (Lagrange). */
function valuesAt(at: number, shares: readonly Share[]): Uint16Array {
  const values = new Uint16Array(shares[0]?.values.length ?? 0);
  for (const share of shares) {
    const weight = weightOf(share.number, at, shares);
    share.values.forEach((value, place) => {
      values[place] = add(values[place] ?? 0, multiply(weight, value));
    });
  }
  return values;
}

function weightOf(number: number, at: number, shares: readonly Share[]): number {
  let numerator = 1;
  let denominator = 1;
  for (const other of shares) {
    if (other.number === number) continue;
    numerator = multiply(numerator, subtract(at, other.number));
    denominator = multiply(denominator, subtract(number, other.number));
  }
  return multiply(numerator, invert(denominator));
}

function evaluate(coefficients: Uint16Array, at: number): number {
  return coefficients.reduce((value, coefficient) => add(multiply(value, at), coefficient), 0);
}

/** Each element as likely as any other: of the 65,536 numbers of two bytes, all but the last are dealt out evenly. */
function randomElement(randomBytes: RandomBytes): number {
  for (;;) {
    const [high = 0, low = 0] = randomBytes(2);
    const drawn = high * 256 + low;
    if (drawn < 65_535) return drawn % PRIME;
  }
}
