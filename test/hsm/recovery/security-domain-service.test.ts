import { randomBytes, randomUUID } from 'node:crypto';
import { endorsementOf } from '../../support/endorsement.ts';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createCertificates } from '../../../src/attestation/certificates.ts';
import {
  formatCertificateJwk,
  readCertificateJwk,
} from '../../../src/backup/security-domain/certificate-jwk.ts';
import {
  formatDomain,
  formatRestoreBlob,
  parseDomain,
  parseRestoreBlob,
} from '../../../src/backup/security-domain/domain-text.ts';
import { createEnvelopes } from '../../../src/backup/security-domain/envelopes.ts';
import { AuditDraft } from '../../../src/core/audit/draft.ts';
import { ServiceError } from '../../../src/core/errors.ts';
import { newVersionId } from '../../../src/core/keys/new-version-id.ts';
import type {
  CeremonyStatus,
  DomainDownload,
  Exclusively,
  ImportedRootKeys,
  SecurityDomainStore,
  TransferKey,
} from '../../../src/core/recovery/security-domain/ports.ts';
import {
  openRestoreBlob,
  sealRestoreBlob,
} from '../../../src/core/recovery/security-domain/restore-blob.ts';
import {
  openDomain,
  openShare,
  sealDomain,
} from '../../../src/core/recovery/security-domain/security-domain.ts';
import { createSecurityDomainService } from '../../../src/core/recovery/security-domain/security-domain-service.ts';
import {
  createTransferKeys,
  unwrapInHsm,
} from '../../../src/core/recovery/security-domain/transfer-keys.ts';
import type { Pkcs11Hsm } from '../../../src/hsm/pkcs11-hsm.ts';
import { azureDomain, PAIRS } from '../../support/azure-domain.ts';
import { openTestHsm } from '../../support/hsm.ts';

const envelopes = createEnvelopes();
const texts = {
  formatDomain,
  parseRestoreBlob,
  readCertificate: readCertificateJwk,
  formatCertificate: formatCertificateJwk,
};
const certificates = azureDomain.custodians.map(({ certificate }) =>
  formatCertificateJwk(certificate),
);
const DAY_MS = 86_400_000;

let hsm: Pkcs11Hsm;
let poolId: string;
beforeAll(() => {
  ({ hsm, poolId } = openTestHsm());
});
afterAll(() => hsm.close());

const newChange = () =>
  new AuditDraft(() => new Date(), { requestId: randomUUID(), operation: 'SecurityDomain' });

function createStore(holdsKeys: boolean) {
  let download: DomainDownload | undefined;
  let uploaded: ImportedRootKeys | undefined;
  let transferKey: TransferKey | undefined;
  const store: SecurityDomainStore = {
    findDownload: () => Promise.resolve(download),
    recordDownload({ generation }, known) {
      download = { ...known, generation, madeAt: new Date() };
      return Promise.resolve();
    },
    findUpload: () => Promise.resolve(uploaded),
    requireNoKeys: () =>
      holdsKeys
        ? Promise.reject(new ServiceError('Conflict', 'the pool holds keys'))
        : Promise.resolve(),
    recordUpload(imported) {
      uploaded = imported;
      transferKey = undefined;
      return Promise.resolve();
    },
    findTransferKey: () => Promise.resolve(transferKey),
    putTransferKey(key) {
      transferKey = key;
      return Promise.resolve(true);
    },
  };
  return store;
}

/** Within one process. */
function createTurns(): Exclusively {
  let isBusy = false;
  return async (work) => {
    if (isBusy) throw new ServiceError('Conflict', 'another ceremony is under way');
    isBusy = true;
    return work().finally(() => {
      isBusy = false;
    });
  };
}

/** A pool whose root keys are bytes; all else is as in the service. */
function createPool({ holdsKeys = false, keeping = hsm.keeping } = {}) {
  const held = { rootKeys: Buffer.from(randomBytes(48)), exports: 0, rotations: 0 };
  const faults: unknown[] = [];
  const time = { offsetMs: 0, progress: 'Success' as CeremonyStatus };
  const store = createStore(holdsKeys);
  const transferKeys = createTransferKeys({
    hsm,
    store,
    certificates: createCertificates(),
    poolId,
    bits: 2048,
    newVersionId,
    clock: { now: () => new Date(Date.now() + time.offsetMs) },
  });
  const domain = createSecurityDomainService({
    hsm: { keeping, uploadKey: () => Promise.resolve(Buffer.alloc(32)) },
    ceremony: {
      async exportRootKeys({ custodians, required }) {
        await nextTurn();
        held.exports += 1;
        const entries = [{ tag: 'root', plaintext: Buffer.from(held.rootKeys) }];
        const domain = await sealDomain({ envelopes, randomBytes }, entries, custodians, required);
        const { exports: generation } = held;
        const endorsement = endorsementOf();
        const rootCheck = randomBytes(32);
        return { after: 0, generation, rootCheck, endorsement, domain };
      },
      async importRootKeys({ blob, thumbprint, transferKey }) {
        const unwrap = unwrapInHsm(hsm, transferKey);
        const [entry] = await openRestoreBlob(envelopes, blob, { thumbprint, unwrap });
        held.rootKeys = Buffer.from(entry?.plaintext ?? []);
        const rootCheck = randomBytes(32);
        return { poolId: randomUUID(), generation: 1, rootCheck, backupKeys: [] };
      },
      progress: () => Promise.resolve(time.progress),
    },
    store,
    exclusively: createTurns(),
    transferKeys,
    texts,
    promote: () => Promise.reject(new Error('the HSM is away')),
    listAwaited: () => Promise.resolve(['west']),
    onNewRootKeys: () => {
      held.rotations += 1;
    },
    onUploaded: () => Promise.resolve(),
    onFault: (error) => faults.push(error),
  });
  return { domain, held, time, faults };
}

/** What custodians do, offline. */
async function restoreBlob(text: string, keys: readonly number[], transferKey: object) {
  const sealed = parseDomain(text);
  const shares = await Promise.all(
    azureDomain.custodians
      .filter((_, index) => keys.includes(index))
      .map(({ privateKey }) => openShare(envelopes, sealed, privateKey)),
  );
  const entries = await openDomain(envelopes, sealed, shares);
  const parts = { envelopes, randomBytes };
  return formatRestoreBlob(await sealRestoreBlob(parts, entries, readCertificateJwk(transferKey)));
}

describe('the security domain of a pool', () => {
  test.each(PAIRS)(
    'gives another pool its root keys, by the custodians %i and %i',
    async (...pair) => {
      const [lost, fresh] = [createPool(), createPool()];
      const text = await lost.domain.download({ certificates, required: 2 }, newChange());
      const transferKey = await fresh.domain.transferKey(newChange());
      await fresh.domain.upload(await restoreBlob(text, pair, transferKey), newChange());
      expect(fresh.held.rootKeys.equals(lost.held.rootKeys)).toBe(true);
      expect([await lost.domain.downloadStatus(), await fresh.domain.uploadStatus()]).toEqual([
        { status: 'Success', awaited: [] },
        'Success',
      ]);
    },
  );

  test('is uploaded once with one transfer key', async () => {
    const [lost, fresh] = [createPool(), createPool()];
    const text = await lost.domain.download({ certificates, required: 2 }, newChange());
    const first = await fresh.domain.transferKey(newChange());
    expect(await fresh.domain.transferKey(newChange())).toEqual(first);
    const blob = await restoreBlob(text, [0, 1], first);
    await fresh.domain.upload(blob, newChange());
    await expect(fresh.domain.upload(blob, newChange())).rejects.toMatchObject({
      code: 'BadParameter',
      message: expect.stringContaining('no transfer key') as unknown,
    });
    expect(await fresh.domain.transferKey(newChange())).not.toEqual(first);
    await expect(fresh.domain.upload(blob, newChange())).rejects.toMatchObject({
      message: expect.stringContaining('another transfer key') as unknown,
    });
  });

  test("is not taken after its transfer key has expired, nor with another pool's", async () => {
    const [lost, fresh, other] = [createPool(), createPool(), createPool()];
    const text = await lost.domain.download({ certificates, required: 2 }, newChange());
    const blob = await restoreBlob(text, [0, 1], await fresh.domain.transferKey(newChange()));
    await other.domain.transferKey(newChange());
    const refused = { code: 'BadParameter' };
    await expect(other.domain.upload(blob, newChange())).rejects.toMatchObject(refused);
    fresh.time.offsetMs = 14 * DAY_MS;
    await expect(fresh.domain.upload(blob, newChange())).rejects.toMatchObject(refused);
    fresh.time.offsetMs = 13 * DAY_MS;
    await fresh.domain.upload(blob, newChange());
    expect(fresh.held.rootKeys.equals(lost.held.rootKeys)).toBe(true);
  });

  test('is given to its custodians once it is recorded, whatever becomes of the rotation', async () => {
    const { domain, held, time, faults } = createPool();
    const text = await domain.download({ certificates, required: 2 }, newChange());
    expect(parseDomain(text).required).toBe(2);
    expect([held.rotations, faults]).toMatchObject([1, [{ message: 'the HSM is away' }]]);
    time.progress = 'InProgress';
    expect(await domain.downloadStatus()).toEqual({ status: 'InProgress', awaited: ['west'] });
  });

  test('is downloaded by one at a time', async () => {
    const { domain, held } = createPool();
    const [first, second] = await Promise.allSettled([
      domain.download({ certificates, required: 2 }, newChange()),
      domain.download({ certificates, required: 2 }, newChange()),
    ]);
    expect(first.status).toBe('fulfilled');
    expect(second).toMatchObject({ status: 'rejected', reason: { code: 'Conflict' } });
    expect(held.exports).toBe(1);
  });

  test('is not taken by a pool that holds keys', async () => {
    const [lost, used] = [createPool(), createPool({ holdsKeys: true })];
    const text = await lost.domain.download({ certificates, required: 2 }, newChange());
    const blob = await restoreBlob(text, [0, 1], await used.domain.transferKey(newChange()));
    const before = used.held.rootKeys;
    await expect(used.domain.upload(blob, newChange())).rejects.toMatchObject({ code: 'Conflict' });
    expect(used.held.rootKeys).toBe(before);
  });

  test('is refused where keys never leave the HSM', async () => {
    const { domain, held } = createPool({ keeping: 'resident' });
    const refused = { code: 'KeyOperationForbidden' };
    await expect(domain.download({ certificates, required: 2 }, newChange())).rejects.toMatchObject(
      refused,
    );
    await expect(domain.transferKey(newChange())).rejects.toMatchObject(refused);
    expect(held.exports).toBe(0);
  });

  test('leaves thumbprints in the record, and nothing of what it holds', async () => {
    const { domain, held } = createPool();
    const change = newChange();
    const text = await domain.download({ certificates, required: 2 }, change);
    const record = JSON.stringify(change.toRecord());
    for (const { certificate } of azureDomain.custodians)
      expect(record).toContain(certificate.thumbprint);
    for (const form of ['hex', 'base64', 'base64url'] as const)
      expect(`${record}${text}`).not.toContain(held.rootKeys.toString(form));
  });

  test.each<[string, readonly unknown[], number, string]>([
    ['two custodians', certificates.slice(0, 2), 2, 'has 3 to 10 custodians'],
    ['a quorum of one', certificates, 1, 'Of 3 custodians 2 to 3 can be required'],
    ['one twice', [...certificates, certificates[0]], 2, 'have the same key'],
    ['no certificate', [...certificates, { kty: 'RSA' }], 2, 'Property certificates.3: '],
  ])('is not made for %s, and the HSM is not asked', async (_what, jwks, required, sentence) => {
    const { domain, held } = createPool();
    await expect(
      domain.download({ certificates: jwks, required }, newChange()),
    ).rejects.toMatchObject({
      code: 'BadParameter',
      message: expect.stringContaining(sentence) as unknown,
    });
    expect(held.exports).toBe(0);
    await expect(domain.downloadStatus()).rejects.toMatchObject({ code: 'PathNotFound' });
  });
});
