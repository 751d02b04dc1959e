import { createECDH, generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { ALGORITHMS, CURVE, CURVES } from '../../../src/core/operations/algorithms.ts';
import { parseCurve } from '../../../src/core/keys/key-spec.ts';

describe.each(CURVES)('the curve %s', (name) => {
  const { algorithm, bits, bytes, jwk, oid, openssl, aliases } = CURVE[name];

  test('signs with the algorithm whose keys are on it', () => {
    expect(ALGORITHMS[algorithm].curve).toBe(name);
  });

  test('has the width and the object identifier that OpenSSL knows by its name', () => {
    const pair = createECDH(openssl);
    pair.generateKeys();
    expect(pair.getPublicKey()).toHaveLength(1 + 2 * bytes);
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: openssl });
    expect(publicKey.export({ format: 'der', type: 'spki' }).includes(oid)).toBe(true);
    expect(bytes).toBe(Math.ceil(bits / 8));
  });

  test.each([name, jwk, openssl, ...aliases])(
    'is what a request means by %s, in any case',
    (one) => {
      for (const text of [one, one.toLowerCase(), one.toUpperCase()])
        expect(parseCurve('crv', text)).toBe(name);
    },
  );
});
