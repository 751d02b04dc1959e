import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createCertificates } from '../../../src/attestation/certificates.ts';
import { createEnvelopes } from '../../../src/backup/security-domain/envelopes.ts';
import type { VerifiedMaterial } from '../../../src/core/keys/key.ts';
import {
  openRestoreBlob,
  type RestoreBlob,
  sealRestoreBlob,
} from '../../../src/core/recovery/security-domain/restore-blob.ts';
import {
  readRsaCertificate,
  type RsaCertificate,
} from '../../../src/core/recovery/security-domain/rsa-certificate.ts';
import { unwrapInHsm } from '../../../src/core/recovery/security-domain/transfer-keys.ts';
import type { Pkcs11Hsm } from '../../../src/hsm/pkcs11-hsm.ts';
import { openTestHsm, testIdentity } from '../../support/hsm.ts';

const envelopes = createEnvelopes();
const ENTRIES = [{ tag: 'root-keys', plaintext: randomBytes(48) }];

let hsm: Pkcs11Hsm;
let transferKey: VerifiedMaterial;
let certificate: RsaCertificate;
let blob: RestoreBlob;
beforeAll(async () => {
  const opened = openTestHsm();
  hsm = opened.hsm;
  transferKey = await hsm.generateKey(testIdentity(opened.poolId, 'transfer', ['decrypt']), {
    keyType: 'RSA-HSM',
    bits: 2048,
    publicExponent: 65537,
  });
  const { publicKey } = transferKey;
  if (publicKey?.keyType !== 'RSA-HSM') throw new TypeError('the HSM made no RSA key');
  const der = await createCertificates().make({
    commonName: 'transfer-key',
    poolId: opened.poolId,
    publicKey,
    now: new Date(),
    sign: (bytes) => hsm.sign(transferKey, 'RS256', createHash('sha256').update(bytes).digest()),
  });
  certificate = readRsaCertificate(der);
  blob = await sealRestoreBlob({ envelopes, randomBytes }, ENTRIES, certificate);
});
afterAll(() => hsm.close());

const openWith = (key: VerifiedMaterial, altered = blob) =>
  openRestoreBlob(envelopes, altered, {
    thumbprint: certificate.thumbprint,
    unwrap: unwrapInHsm(hsm, key),
  });

test('a restore blob opens with a transfer key that is in the HSM', async () => {
  expect(await openWith(transferKey)).toEqual(ENTRIES);
});

test('it does not open with another key of the same HSM', async () => {
  const { identity } = transferKey;
  const other = await hsm.generateKey(testIdentity(identity.pool, 'another', ['decrypt']), {
    keyType: 'RSA-HSM',
    bits: 2048,
    publicExponent: 65537,
  });
  await expect(openWith(other)).rejects.toMatchObject({
    code: 'BadParameter',
    message: expect.stringContaining('does not open with the transfer key') as unknown,
  });
});

test('one that was cut does not open', async () => {
  const { envelope } = blob.wrappedMaster;
  for (const cut of [0, 10, 200, envelope.length - 1]) {
    const wrappedMaster = { ...blob.wrappedMaster, envelope: envelope.slice(0, cut) };
    await expect(openWith(transferKey, { ...blob, wrappedMaster })).rejects.toMatchObject({
      code: 'BadParameter',
    });
  }
});
