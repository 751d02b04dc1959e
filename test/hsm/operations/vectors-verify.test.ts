import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { createCryptoService } from '../../../src/core/operations/crypto-service.ts';
import {
  type KeyMaterial,
  type KeyVersionId,
  parseKeyName,
  parseKeyVersionId,
} from '../../../src/core/keys/key.ts';
import { packBytes } from '../../../src/core/keys/packed-bytes.ts';
import { type Connection, openConnection } from '../../../src/hsm/module/connection.ts';
import { openPkcs11Hsm, type Pkcs11Hsm } from '../../../src/hsm/pkcs11-hsm.ts';
import { sealedBytes } from '../../../src/hsm/keys/seal.ts';
import { testToken } from '../../support/softhsm.ts';
import {
  SIGNATURE_SCHEMAS,
  type SignatureVectors,
  understandSignatures,
} from '../../support/signature-vectors.ts';
import { algorithmsOf } from '../../support/vector-algorithms.ts';
import { hex, readVectors, Tally } from '../../support/vectors.ts';

/** DER of DigestInfo up to the digest, by Node's name of the hash (RFC 8017 §9.2, note 1). */
const DIGEST_INFO: Readonly<Record<string, string>> = {
  sha256: '3031300d060960864801650304020105000420',
  sha384: '3041300d060960864801650304020205000430',
  sha512: '3051300d060960864801650304020305000440',
};

const FILES = readVectors(SIGNATURE_SCHEMAS);

describe("Wycheproof's signatures, verified by the HSM", () => {
  const poolId = randomUUID();
  let hsm: Pkcs11Hsm;
  let sealing: Connection;

  beforeAll(() => {
    const options = {
      ...testToken(),
      leaseWaitMs: 5_000,
      reconnectWaitMs: 2_000,
      waitingLimit: 100,
      loadedKeys: 100,
      operationDeadlineMs: 20_000,
      keyGenerationDeadlineMs: 60_000,
      onHang: () => undefined,
    };
    hsm = openPkcs11Hsm({ ...options, log: () => undefined });
    hsm.createRootKeys(poolId, 1);
    sealing = openConnection({ ...options, sessions: 2 }, { poolId, generation: 1 });
  });
  afterAll(async () => {
    await sealing.close();
    await hsm.close();
  });

  /** A public key of someone else's, sealed as if this pool had made it; its private blob is never opened. */
  async function seal({ spec, publicKey }: SignatureVectors): Promise<KeyMaterial> {
    const identity = {
      pool: poolId,
      name: parseKeyName('vector'),
      version: parseKeyVersionId(randomBytes(16).toString('hex')),
      operations: ['verify'] as const,
      exportable: false,
      origin: 'generated' as const,
    };
    const unsealed = { rootGeneration: 1, blob: packBytes(randomBytes(40)) };
    const bound = { identity, spec, publicKey };
    return {
      ...bound,
      sealed: {
        ...unsealed,
        seal: packBytes(await sealing.mac(sealedBytes(bound, unsealed))),
      },
    };
  }

  test.each(FILES.map((file) => [file.name, file] as const))(
    '%s: every valid one is accepted, every invalid one refused',
    async (name, file) => {
      const tally = new Tally();
      let skipped = 0;
      for (const group of file.testGroups) {
        const vector = understandSignatures(group);
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
          const verify = (algorithm: string, value: Buffer) =>
            service.verify(reference, algorithm, { value }, hex(one['sig']), () => undefined);
          tally.add(one, (await verify(vector.algorithm, digest)).result);
          const info = algorithmsOf(file, group).includes('RSNULL') && DIGEST_INFO[vector.hash];
          if (typeof info !== 'string') continue;
          const value = Buffer.concat([Buffer.from(info, 'hex'), digest]);
          tally.add(one, (await verify('RSNULL', value)).result);
        }
      }
      console.info(`${name}: ${String(tally)}${skipped === 0 ? '' : `, ${skipped} skipped`}`);
      expect(tally.disagreements).toEqual([]);
    },
  );
});
