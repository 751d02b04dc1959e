import {
  ALGORITHMS,
  CURVE,
  type Curve,
  CURVES,
  type SigningAlgorithm,
} from '../../src/core/operations/algorithms.ts';
import type { KeySpec, PublicKey } from '../../src/core/keys/key.ts';
import { hex, type VectorGroup } from './vectors.ts';

/** Schemas of Wycheproof's files whose tests are signatures to verify. */
export const SIGNATURE_SCHEMAS = [
  'rsassa_pkcs1_verify_schema_v1.json',
  'rsassa_pss_verify_schema_v1.json',
  'ecdsa_p1363_verify_schema_v1.json',
] as const;

const HASHES: Readonly<Record<string, { node: string; bits: number }>> = {
  'SHA-256': { node: 'sha256', bits: 256 },
  'SHA-384': { node: 'sha384', bits: 384 },
  'SHA-512': { node: 'sha512', bits: 512 },
};

/** A group's key and algorithm in our words; `hash` is Node's name of what its messages are hashed with. */
export interface SignatureVectors {
  readonly spec: KeySpec;
  readonly publicKey: PublicKey;
  readonly algorithm: SigningAlgorithm;
  readonly hash: string;
}

/** Undefined for a key or an algorithm that the service doesn't have. */
export function understandSignatures(group: VectorGroup): SignatureVectors | undefined {
  const { type, sha, sLen, mgfSha } = group as Record<string, unknown>;
  const publicKey = group['publicKey'] as Record<string, unknown>;
  const hash = HASHES[String(sha)];
  if (hash === undefined) return undefined;
  if (type === 'EcdsaP1363Verify') {
    const curve = curveOf(String(publicKey['curve']));
    if (curve === undefined) return undefined;
    const { algorithm, bytes } = CURVE[curve];
    // The files have curves with other hashes as well.
    if (hash.bits !== ALGORITHMS[algorithm].digestBytes * 8) return undefined;
    const point = hex(publicKey['uncompressed']).subarray(1);
    return {
      spec: { keyType: 'EC-HSM', curve },
      publicKey: { keyType: 'EC-HSM', x: point.subarray(0, bytes), y: point.subarray(bytes) },
      algorithm,
      hash: hash.node,
    };
  }
  const bits = group['keySize'];
  if (bits !== 2048 && bits !== 3072 && bits !== 4096) return undefined;
  if (type === 'RsassaPssVerify' && (mgfSha !== sha || sLen !== hash.bits / 8)) return undefined;
  const n = hex(publicKey['modulus']);
  return {
    spec: { keyType: 'RSA-HSM', bits, publicExponent: 65537 },
    publicKey: {
      keyType: 'RSA-HSM',
      n: n[0] === 0 ? n.subarray(1) : n,
      e: hex(publicKey['publicExponent']),
    },
    algorithm: `${type === 'RsassaPssVerify' ? 'PS' : 'RS'}${hash.bits}` as SigningAlgorithm,
    hash: hash.node,
  };
}

/** Wycheproof names curves as SEC 2 does. */
function curveOf(name: string): Curve | undefined {
  return CURVES.find((curve) => [CURVE[curve].openssl, ...CURVE[curve].aliases].includes(name));
}
