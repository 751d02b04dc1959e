import { spawnSync } from 'node:child_process';
import { createPrivateKey, privateDecrypt, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  formatCertificateJwk,
  readCertificateJwk,
} from '../../src/backup/security-domain/certificate-jwk.ts';
import { formatDomain, parseRestoreBlob } from '../../src/backup/security-domain/domain-text.ts';
import { createEnvelopes } from '../../src/backup/security-domain/envelopes.ts';
import { readTransferKey } from '../../src/backup/security-domain/transfer-key.ts';
import { deriveEntryKey } from '../../src/core/recovery/security-domain/entry-key.ts';
import { openRestoreBlob } from '../../src/core/recovery/security-domain/restore-blob.ts';
import { readRsaCertificate } from '../../src/core/recovery/security-domain/rsa-certificate.ts';
import { splitSecret } from '../../src/core/recovery/security-domain/secret-sharing.ts';
import { sealDomain } from '../../src/core/recovery/security-domain/security-domain.ts';
import { encodeShare } from '../../src/core/recovery/security-domain/share-bytes.ts';
import { makeClientCertificate } from '../support/client-certificates.ts';
import { PAIRS } from '../support/azure-domain.ts';
import { makeVirtualEnvironment } from '../support/virtual-environment.ts';

/**
 * az's `keyvault security-domain`, unmodified, over security domains that our code made, and the reverse. The command runs
 * where it works on files alone; what would ask a service is called with a client that answers as ours does.
 */

const HERE = fileURLToPath(new URL('.', import.meta.url));
const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const { bin, missing } = makeVirtualEnvironment('az', join(HERE, 'az-requirements.txt'));
if (missing !== undefined) console.warn(`skipped: ${missing}`);

/** A command of az's takes seconds, and more on a busy machine. */
const TEST_MS = 240_000;
const PASSPHRASE = 'open, sesame';
const envelopes = createEnvelopes();
const ENTRIES = [
  { tag: 'root-wrap', plaintext: randomBytes(40) },
  { tag: 'text', plaintext: Buffer.from('größer') },
  { tag: 'empty', plaintext: Buffer.alloc(0) },
  { tag: 'large', plaintext: randomBytes(100_000) },
];

let folder: string;
const at = (name: string) => join(folder, name);
const keyAt = (index: number) => at(`${index}.pem`);
const certificateAt = (index: number) => at(`${index}.cer`);
const certificateOf = async (index: number) =>
  readRsaCertificate(await readFile(certificateAt(index)));
let transferKey: Awaited<ReturnType<typeof makeClientCertificate>>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'strongroom-az-domain-'));
  for (let index = 0; index < 5; index += 1) {
    const { certificate, privateKey } = await makeClientCertificate();
    await writeFile(certificateAt(index), certificate);
    await writeFile(keyAt(index), privateKey);
  }
  const cipher = { format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc' } as const;
  const locked = createPrivateKey(await readFile(keyAt(2)));
  await writeFile(keyAt(2), locked.export({ ...cipher, passphrase: PASSPHRASE }));
  await writeFile(at('passphrase'), PASSPHRASE);
  transferKey = await makeClientCertificate();
  await writeFile(at('transfer.pem'), transferKey.certificate);
  await writeFile(at('transfer.key'), transferKey.privateKey);
}, TEST_MS);
afterAll(() => rm(folder, { recursive: true, force: true }));

let count = 0;
const fresh = (what: string) => at(`${what}-${(count += 1)}.json`);

function run(command: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    env: {
      PATH: process.env['PATH'],
      HOME: folder,
      AZURE_CONFIG_DIR: folder,
      AZURE_CORE_COLLECT_TELEMETRY: 'false',
    },
    maxBuffer: 64 * 1024 ** 2,
    timeout: TEST_MS,
  });
  if (status !== 0) throw new Error(stderr);
  return stdout;
}
/** A function of az's: see security_domain.py. */
const call = <Printed>(...args: readonly string[]) =>
  JSON.parse(
    run(join(bin, 'python'), [join(HERE, 'security_domain.py'), ...args]) || 'null',
  ) as Printed;

/** `az keyvault security-domain restore-blob`. @returns where the blob is */
function restoreByAz(domain: string, keys: readonly number[]): string {
  const blob = fresh('az-blob');
  run(join(bin, 'az'), [
    ...['keyvault', 'security-domain', 'restore-blob', '--sd-file', domain],
    ...['--sd-exchange-key', at('transfer.pem'), '--sd-file-restore-blob', blob],
    // Passphrases are for the first keys, and an empty one fails: the key with one comes first.
    ...['--sd-wrapping-keys', ...[...keys].sort((one) => (one === 2 ? -1 : 1)).map(keyAt)],
    ...(keys.includes(2) ? ['--passwords', PASSPHRASE] : []),
  ]);
  return blob;
}

function restoreByOurs(domain: string, keys: readonly number[]): string {
  const blob = fresh('our-blob');
  run(process.execPath, [
    ...[MAIN, 'security-domain', 'restore-blob', domain, '--out', blob],
    ...['--transfer-key', at('transfer.pem'), '--key', ...keys.map(keyAt)],
    ...(keys.includes(2) ? ['--passphrase-file', at('passphrase')] : []),
  ]);
  return blob;
}

/** As the pool would to which it is uploaded. */
const openBlob = async (path: string) =>
  openRestoreBlob(envelopes, parseRestoreBlob(await readFile(path, 'utf8')), {
    thumbprint: readRsaCertificate(Buffer.from(transferKey.certificate)).thumbprint,
    unwrap: (wrapped) =>
      Promise.resolve(privateDecrypt({ key: transferKey.privateKey, oaepHash: 'sha256' }, wrapped)),
  });

async function ourDomain(custodians: number, required: number): Promise<string> {
  const indexes = Array.from({ length: custodians }, (_, index) => index);
  const certificates = await Promise.all(indexes.map(certificateOf));
  const parts = { envelopes, randomBytes };
  const file = fresh('our-domain');
  await writeFile(file, formatDomain(await sealDomain(parts, ENTRIES, certificates, required)));
  return file;
}

(missing === undefined ? describe : describe.skip)('az', () => {
  test(
    'opens a domain of ours with each two of three keys, and not with one',
    async () => {
      const domain = await ourDomain(3, 2);
      for (const pair of PAIRS) expect(await openBlob(restoreByAz(domain, pair))).toEqual(ENTRIES);
      expect(() => restoreByAz(domain, [1])).toThrow(/should not less than 2/);
    },
    TEST_MS,
  );

  test(
    'opens one with three of five keys, and not with two and the key of nobody in it',
    async () => {
      const domain = await ourDomain(5, 3);
      expect(await openBlob(restoreByAz(domain, [4, 0, 2]))).toEqual(ENTRIES);
      const smaller = await ourDomain(4, 3);
      expect(() => restoreByAz(smaller, [0, 1, 4])).toThrow(/Insufficient shares/);
    },
    TEST_MS,
  );

  test(
    'opens what we make of a domain that its functions made, with each two of three keys',
    async () => {
      const entries = [
        { tag: 'hsm_backup', text: 'what an HSM gave' },
        { tag: 'partition_enclave_backup', text: 'größer' },
      ];
      const certificates = [0, 1, 2].map(certificateAt);
      await writeFile(at('request'), JSON.stringify({ required: 2, certificates, entries }));
      const domain = fresh('az-domain');
      await writeFile(domain, JSON.stringify(call('make', at('request'))));
      for (const pair of PAIRS) {
        const blob = restoreByOurs(domain, pair);
        expect(call('open-blob', blob, at('transfer.key'))).toEqual(entries);
      }
      expect(() => restoreByOurs(domain, [1])).toThrow(/needs the keys of 2 custodians/);
    },
    TEST_MS,
  );

  test(
    'asks for a domain in a form that we read, and keeps it as we give it',
    async () => {
      const certificates = [0, 1, 2].map(certificateAt);
      const asked = call<{ certificates: object[]; required: number }>(
        ...['download', '2', '', fresh('nothing'), ...certificates],
      );
      const custodians = asked.certificates.map(readCertificateJwk);
      expect(custodians.map(({ thumbprint }) => thumbprint)).toEqual(
        (await Promise.all([0, 1, 2].map(certificateOf))).map(({ thumbprint }) => thumbprint),
      );
      const parts = { envelopes, randomBytes };
      const domain = formatDomain(await sealDomain(parts, ENTRIES, custodians, asked.required));
      await writeFile(at('answer'), domain);
      const kept = fresh('kept');
      call('download', '2', at('answer'), kept, ...certificates);
      expect(await readFile(kept, 'utf8')).toBe(domain);
      expect(await openBlob(restoreByAz(kept, [0, 1]))).toEqual(ENTRIES);
    },
    TEST_MS,
  );

  test('keeps the transfer key that we give, and we read what it keeps', async () => {
    const certificate = readRsaCertificate(Buffer.from(transferKey.certificate));
    const jwk = JSON.stringify(formatCertificateJwk(certificate));
    await writeFile(at('answer'), JSON.stringify({ key_format: 'jwk', transfer_key: jwk }));
    const kept = fresh('transfer');
    call('init-recovery', at('answer'), kept);
    const read = readTransferKey(await readFile(kept));
    expect(read.thumbprint).toBe(certificate.thumbprint);
  });

  test('gets back each byte from shares of ours, for small and large quorums', async () => {
    const secret = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    const quorums = [
      { shares: 3, required: 2 },
      { shares: 5, required: 3 },
      { shares: 10, required: 10 },
      { shares: 126, required: 2 },
    ];
    const requests = quorums.map((quorum) => ({
      required: quorum.required,
      words: splitSecret(secret, quorum, randomBytes)
        .slice(-quorum.required)
        .map((share) => {
          const bytes = Buffer.from(encodeShare(share));
          return Array.from(secret, (_, place) => bytes.readUInt16LE(place * 2));
        }),
    }));
    await writeFile(at('shares'), JSON.stringify(requests));
    const hex = Buffer.from(secret).toString('hex');
    expect(call('combine', at('shares'))).toEqual(quorums.map(() => hex));
  });

  test('derives the keys of entries that we derive', () => {
    const { keys } = call<{ keys: { master: string; tag: string; key: string }[] }>('vectors');
    expect(keys.length).toBeGreaterThan(2);
    for (const { master, tag, key } of keys)
      expect(deriveEntryKey(Buffer.from(master, 'hex'), tag)).toEqual(Buffer.from(key, 'hex'));
  });
});
