import { privateDecrypt, randomBytes } from 'node:crypto';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  formatRestoreBlob,
  parseDomain,
  parseDomainOrBlob,
  parseRestoreBlob,
} from '../../../src/backup/security-domain/domain-text.ts';
import { createEnvelopes } from '../../../src/backup/security-domain/envelopes.ts';
import { readTransferKey } from '../../../src/backup/security-domain/transfer-key.ts';
import { ServiceError } from '../../../src/core/errors.ts';
import {
  openRestoreBlob,
  sealRestoreBlob,
} from '../../../src/core/recovery/security-domain/restore-blob.ts';
import {
  openDomain,
  openShare,
} from '../../../src/core/recovery/security-domain/security-domain.ts';
import { azureDomain } from '../../support/azure-domain.ts';

/** Whatever somebody does to a file, it is refused in a sentence, or opens to what was in it. */
const { custodians, transferKey, entries, text: DOMAIN } = azureDomain;
const envelopes = createEnvelopes();

async function openAny(text: string): Promise<unknown> {
  const domain = parseDomain(text);
  const shares = [];
  for (const { privateKey } of custodians.slice(0, 2))
    shares.push(await openShare(envelopes, domain, privateKey));
  return openDomain(envelopes, domain, shares);
}
const openBlob = (text: string) =>
  openRestoreBlob(envelopes, parseRestoreBlob(text), {
    thumbprint: transferKey.certificate.thumbprint,
    unwrap: (wrapped) => Promise.resolve(decrypt(wrapped)),
  });

function decrypt(wrapped: Uint8Array): Uint8Array | undefined {
  try {
    return privateDecrypt({ key: transferKey.privateKey, oaepHash: 'sha256' }, wrapped);
  } catch {
    return undefined;
  }
}

/** What an altered text opens to; a refusal counts as the same, anything else that is thrown fails the test. */
async function resultOf(open: (text: string) => Promise<unknown>, text: string): Promise<unknown> {
  try {
    return await open(text);
  } catch (error) {
    if (error instanceof ServiceError && /^[A-Z].*\.$/s.test(error.message)) return entries;
    throw error;
  }
}

const alterations = (text: string) =>
  fc
    .record({
      at: fc.nat(text.length - 1),
      removed: fc.integer({ min: 0, max: 3 }),
      added: fc.string({ maxLength: 3 }),
    })
    .map(({ at, removed, added }) => text.slice(0, at) + added + text.slice(at + removed));

test('a domain that was altered anywhere', async () => {
  await fc.assert(
    fc.asyncProperty(alterations(DOMAIN), async (altered) => {
      expect(await resultOf(openAny, altered)).toEqual(entries);
    }),
    { numRuns: 300 },
  );
});

test('a restore blob that was altered anywhere', async () => {
  const parts = { envelopes, randomBytes };
  const blob = formatRestoreBlob(await sealRestoreBlob(parts, entries, transferKey.certificate));
  await fc.assert(
    fc.asyncProperty(alterations(blob), async (altered) => {
      expect(await resultOf(openBlob, altered)).toEqual(entries);
    }),
    { numRuns: 300 },
  );
});

test('any JSON, and any bytes for a certificate', async () => {
  const pem = Buffer.from(transferKey.pem.certificate, 'latin1');
  const altered = alterations(pem.toString('latin1')).map((text) => Buffer.from(text, 'latin1'));
  const der = fc
    .record({ at: fc.nat(transferKey.certificate.der.length - 1), byte: fc.nat(255) })
    .map(({ at, byte }) => Uint8Array.from(transferKey.certificate.der).fill(byte, at, at + 1));
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(fc.json(), fc.string()),
      fc.oneof(altered, der, fc.uint8Array()),
      async (text, bytes) => {
        const read = () => Promise.resolve(parseDomainOrBlob(text)).then(() => entries);
        expect(await resultOf(() => read(), text)).toEqual(entries);
        const certificate = () => Promise.resolve(readTransferKey(bytes)).then(() => entries);
        expect(await resultOf(() => certificate(), '')).toEqual(entries);
      },
    ),
    { numRuns: 1000 },
  );
});
