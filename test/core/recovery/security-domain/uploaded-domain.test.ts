import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { expect, test } from '@jest/globals';
import type { KeyMaterial, KeyVersionId } from '../../../../src/core/keys/key.ts';
import { packBytes } from '../../../../src/core/keys/packed-bytes.ts';
import { BACKUP_KEYS } from '../../../../src/core/recovery/root-keys/backup-keys.ts';
import type { ImportedRootKeys } from '../../../../src/core/recovery/security-domain/ports.ts';
import {
  findProvenUpload,
  proveUpload,
} from '../../../../src/core/recovery/security-domain/uploaded-domain.ts';

const proverOf = (pool: string) => ({
  uploadKey: () => Promise.resolve(createHash('sha256').update(pool).digest()),
});
const own = proverOf('own');
const poolId = randomUUID();

function newPair(): KeyMaterial {
  const version = randomBytes(16).toString('hex') as KeyVersionId;
  return {
    identity: { ...BACKUP_KEYS.identity, pool: poolId, version },
    spec: BACKUP_KEYS.spec,
    sealed: {
      rootGeneration: 3,
      blob: packBytes(randomBytes(40)),
      macBlob: packBytes(randomBytes(40)),
      seal: packBytes(randomBytes(32)),
    },
  };
}
const domain: ImportedRootKeys = {
  poolId,
  generation: 3,
  rootCheck: randomBytes(32),
  backupKeys: [newPair(), newPair()],
};
const found = async (rows: ImportedRootKeys, proof?: Uint8Array) =>
  findProvenUpload(own, {
    findUpload: () => Promise.resolve({ ...rows, ...(proof !== undefined && { proof }) }),
  });

test('an uploaded domain is believed that the HSM of this pool has proven', async () => {
  expect(await found(domain, await proveUpload(own, domain))).toEqual(domain);
  expect(
    await findProvenUpload(own, { findUpload: () => Promise.resolve(undefined) }),
  ).toBeUndefined();
});

test.each<[string, Partial<ImportedRootKeys>]>([
  ['pool', { poolId: randomUUID() }],
  ['generation', { generation: 4 }],
  ['root keys', { rootCheck: randomBytes(32) }],
  ['pair more', { backupKeys: [...domain.backupKeys, newPair()] }],
  ['pair less', { backupKeys: domain.backupKeys.slice(1) }],
  ['order of pairs', { backupKeys: [...domain.backupKeys].reverse() }],
])('one whose rows name another %s is not', async (_what, altered) => {
  const proof = await proveUpload(own, domain);
  expect(await found({ ...domain, ...altered }, proof)).toBeUndefined();
});

test('neither is one without a proof, with a part of one, or with that of another pool', async () => {
  const proof = await proveUpload(own, domain);
  const others = await proveUpload(proverOf('another'), domain);
  for (const wrong of [undefined, proof.subarray(1), others])
    expect(await found(domain, wrong)).toBeUndefined();
});
