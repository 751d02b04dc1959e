import { ML_DSA, type ParameterSet } from '../operations/algorithms.ts';

/** Keys of ML-DSA in DER, as RFC 9881 has them. Written here, since Node.js 20 knows no such keys. */

const TAG = { integer: 0x02, bitString: 0x03, octets: 0x04, sequence: 0x30, first: 0x80 };

/** SubjectPublicKeyInfo (RFC 9881 §4): the algorithm has no parameters. */
export function mlDsaPublicKeyInfo(parameterSet: ParameterSet, pub: Uint8Array): Buffer {
  const bits = der(TAG.bitString, Buffer.of(0), pub);
  return der(TAG.sequence, algorithmOf(parameterSet), bits);
}

/** PKCS #8 of a key that is kept as its seed, the form that is recommended (RFC 9881 §6). */
export function mlDsaPrivateKeyInfo(parameterSet: ParameterSet, seed: Uint8Array): Buffer {
  const version = der(TAG.integer, Buffer.of(0));
  const key = der(TAG.octets, der(TAG.first, seed));
  return der(TAG.sequence, version, algorithmOf(parameterSet), key);
}

function algorithmOf(parameterSet: ParameterSet): Buffer {
  return der(TAG.sequence, ML_DSA[parameterSet].oid);
}

/** One value (X.690 §8.1), of at most 65,535 bytes. */
function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), content]);
}
