import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { type CURVES, type SigningAlgorithm } from '../../src/core/algorithms.ts';
import { createCryptoService } from '../../src/core/crypto-service.ts';
import {
  type KeyMaterial,
  type KeySpec,
  type KeyVersionId,
  parseKeyName,
  parseKeyVersionId,
  type PublicKey,
} from '../../src/core/key.ts';
import { type Connection, openConnection } from '../../src/hsm/connection.ts';
import { NativeCalls } from '../../src/hsm/native-calls.ts';
import { openPkcs11Hsm, type Pkcs11Hsm } from '../../src/hsm/pkcs11-hsm.ts';
import { sealedBytes } from '../../src/hsm/seal.ts';
import { testToken } from '../support/softhsm.ts';
import { hex, readVectors, Tally, type VectorGroup } from '../support/vectors.ts';

const FILES = readVectors([
  'rsassa_pkcs1_verify_schema_v1.json',
  'rsassa_pss_verify_schema_v1.json',
  'ecdsa_p1363_verify_schema_v1.json',
]);
const HASHES: Readonly<Record<string, { node: string; bits: number }>> = {
  'SHA-256': { node: 'sha256', bits: 256 },
  'SHA-384': { node: 'sha384', bits: 384 },
  'SHA-512': { node: 'sha512', bits: 512 },
};
const CURVE_NAMES: Readonly<
  Record<string, { curve: (typeof CURVES)[number]; algorithm: SigningAlgorithm; bytes: number }>
> = {
  'secp256r1 SHA-256': { curve: 'P-256', algorithm: 'ES256', bytes: 32 },
  'secp256k1 SHA-256': { curve: 'P-256K', algorithm: 'ES256K', bytes: 32 },
  'secp384r1 SHA-384': { curve: 'P-384', algorithm: 'ES384', bytes: 48 },
  'secp521r1 SHA-512': { curve: 'P-521', algorithm: 'ES512', bytes: 66 },
};

interface Vector {
  readonly spec: KeySpec;
  readonly publicKey: PublicKey;
  readonly algorithm: SigningAlgorithm;
  readonly hash: string;
}

/** What a group is here, or undefined for a key or an algorithm that the service doesn't have. */
function understand(group: VectorGroup): Vector | undefined {
  const { type, sha, sLen, mgfSha } = group as Record<string, unknown>;
  const publicKey = group['publicKey'] as Record<string, unknown>;
  const hash = HASHES[String(sha)];
  if (hash === undefined) return undefined;
  if (type === 'EcdsaP1363Verify') {
    const known = CURVE_NAMES[`${String(publicKey['curve'])} ${String(sha)}`];
    if (known === undefined) return undefined;
    const point = hex(publicKey['uncompressed']).subarray(1);
    return {
      spec: { keyType: 'EC-HSM', curve: known.curve },
      publicKey: {
        keyType: 'EC-HSM',
        x: point.subarray(0, known.bytes),
        y: point.subarray(known.bytes),
      },
      algorithm: known.algorithm,
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

if (FILES.length === 0)
  console.warn('skipped: no Wycheproof vectors (STRONGROOM_TEST_VECTORS names their folder)');

(FILES.length === 0 ? describe.skip : describe)(
  "Wycheproof's signatures, verified by the HSM",
  () => {
    const poolId = randomUUID();
    let hsm: Pkcs11Hsm;
    let sealing: Connection;

    beforeAll(() => {
      const options = { ...testToken(), leaseWaitMs: 5_000, waitingLimit: 100, loadedKeys: 100 };
      hsm = openPkcs11Hsm({
        ...options,
        operationDeadlineMs: 20_000,
        keyGenerationDeadlineMs: 60_000,
        onHang: () => undefined,
        log: () => undefined,
      });
      hsm.createRootKeys(poolId, 1);
      const calls = new NativeCalls({ deadlineMs: 20_000, onHang: () => undefined });
      sealing = openConnection({ ...options, sessions: 2 }, calls, { poolId, generation: 1 });
    });
    afterAll(async () => {
      await sealing.close();
      await hsm.close();
    });

    /** A public key of someone else's, sealed as if this pool had made it; its private blob is never opened. */
    async function seal({ spec, publicKey }: Vector): Promise<KeyMaterial> {
      const identity = {
        pool: poolId,
        name: parseKeyName('vector'),
        version: parseKeyVersionId(randomBytes(16).toString('hex')),
        operations: ['verify'] as const,
        exportable: false,
        origin: 'generated' as const,
      };
      const unsealed = { rootGeneration: 1, blob: randomBytes(40) };
      const bound = { identity, spec, publicKey };
      return {
        ...bound,
        sealed: { ...unsealed, seal: await sealing.mac(sealedBytes(bound, unsealed)) },
      };
    }

    test.each(FILES.map(({ name, testGroups }) => [name, testGroups] as const))(
      '%s: every valid one is accepted, every invalid one refused',
      async (name, groups) => {
        const tally = new Tally();
        let skipped = 0;
        for (const group of groups) {
          const vector = understand(group);
          if (vector === undefined) {
            skipped += group.tests.length;
            continue;
          }
          const material = await seal(vector);
          const service = createCryptoService({
            hsm,
            keys: {
              findKey: () =>
                Promise.resolve({
                  material,
                  attributes: { enabled: true, created: 0, updated: 0 },
                  tags: {},
                }),
            },
            settings: { isOn: () => Promise.resolve(true) },
            encryptionLimit: { spend: () => Promise.resolve() },
            clock: { now: () => new Date() },
          });
          for (const one of group.tests) {
            const digest = createHash(vector.hash).update(hex(one['msg'])).digest();
            const reference = { name: material.identity.name, version: '' as KeyVersionId };
            const { result } = await service.verify(
              reference,
              vector.algorithm,
              digest,
              hex(one['sig']),
              () => undefined,
            );
            tally.add(one, result);
          }
        }
        console.info(`${name}: ${String(tally)}${skipped === 0 ? '' : `, ${skipped} skipped`}`);
        expect(tally.disagreements).toEqual([]);
      },
    );
  },
);
