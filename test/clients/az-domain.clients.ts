import { readFile, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { formatCertificateJwk } from '../../src/backup/security-domain/certificate-jwk.ts';
import { parseDomain } from '../../src/backup/security-domain/domain-text.ts';
import { type Az, openAz, signInToAz } from '../support/az.ts';
import { azureDomain, PAIRS } from '../support/azure-domain.ts';
import { makeClientCertificate } from '../support/client-certificates.ts';
import { type Caller, fetchToken } from '../support/client.ts';
import { signInAdministrator } from '../support/directory.ts';
import {
  makeDataFolder,
  removeDataFolder,
  type RunningService,
  startService,
} from '../support/service.ts';
import { makeVirtualEnvironment } from '../support/virtual-environment.ts';

/**
 * `az keyvault security-domain` and azure-keyvault-securitydomain, unmodified, from one pool to another: each has an HSM and
 * a database of its own. A machine that can't have them skips with the reason.
 */

const HERE = fileURLToPath(new URL('.', import.meta.url));
const { bin, missing } = makeVirtualEnvironment('az', join(HERE, 'az-requirements.txt'));
const path = [bin, process.env['PATH'] ?? ''].join(delimiter);
if (missing !== undefined) console.warn(`skipped: ${missing}`);

const TEST_MS = 1_800_000;

interface Deployment extends Az {
  readonly service: RunningService;
  readonly admin: Caller & { close(): void };
}
let lost: Deployment;
let fresh: Deployment;

beforeAll(async () => {
  if (missing !== undefined) return;
  lost = await deploy();
  fresh = await deploy();
}, TEST_MS);
afterAll(async () => {
  if (missing !== undefined) return;
  for (const { admin, service, close } of [lost, fresh]) {
    admin.close();
    await service.stop();
    await removeDataFolder(service.dataFolder);
    await close();
  }
});

async function deploy(): Promise<Deployment> {
  const service = await startService(await makeDataFolder());
  const opened = await openAz(service, path);
  await signInToAz(opened, service);
  return { ...opened, service, admin: await signInAdministrator(service) };
}

const custodian = (index: number, ending: string) =>
  join(lost.home, `custodian-${index}.${ending}`);
const domain = <Shape>({ az, service }: Deployment, verb: string, ...args: readonly string[]) =>
  az<Shape>('keyvault', 'security-domain', verb, '--id', service.localUrl, ...args);

/** What custodians do with their keys: it asks no service. @returns where the blob is */
let count = 0;
function restoreBlob(file: string, keys: readonly string[]): string {
  const blob = join(fresh.home, `blob-${(count += 1)}.json`);
  const transferKey = join(fresh.home, `transfer-${count}.pem`);
  domain(fresh, 'init-recovery', '--sd-exchange-key', transferKey);
  fresh.az(
    ...['keyvault', 'security-domain', 'restore-blob', '--sd-file', file],
    ...['--sd-exchange-key', transferKey, '--sd-file-restore-blob', blob],
    ...['--sd-wrapping-keys', ...keys],
  );
  return blob;
}
const upload = (blob: string) =>
  domain<{ status: string }>(fresh, 'upload', '--sd-file', blob, '--restore-blob');

(missing === undefined ? describe : describe.skip)('az', () => {
  const file = () => join(lost.home, 'domain.json');

  test(
    'downloads the security domain of a pool, and waits for it',
    async () => {
      for (const index of [0, 1, 2]) {
        const { certificate, privateKey } = await makeClientCertificate();
        await writeFile(custodian(index, 'cer'), certificate);
        await writeFile(custodian(index, 'pem'), privateKey);
      }
      const asked = ['--security-domain-file', file(), '--sd-quorum', '2'];
      const certificates = [0, 1, 2].map((index) => custodian(index, 'cer'));
      domain(lost, 'download', ...asked, '--sd-wrapping-keys', ...certificates);
      expect(JSON.parse(await readFile(file(), 'utf8'))).toMatchObject({ version: 2 });
      expect(domain(lost, 'wait', '--target-operation', 'download')).toMatchObject({
        status: 'Success',
      });
    },
    TEST_MS,
  );

  test(
    'gives it to another pool by each two of its three keys, and not by one',
    () => {
      for (const pair of PAIRS) {
        const keys = pair.map((index) => custodian(index, 'pem'));
        expect(upload(restoreBlob(file(), keys))).toMatchObject({ status: 'Success' });
      }
      expect(domain(fresh, 'wait', '--target-operation', 'upload')).toMatchObject({
        status: 'Success',
      });
      expect(() => restoreBlob(file(), [custodian(1, 'pem')])).toThrow(/should not less than 2/);
    },
    TEST_MS,
  );

  test(
    'gives no domain that is none of ours, and none to a pool that holds keys',
    async () => {
      const other = join(fresh.home, 'other.json');
      await writeFile(other, azureDomain.text);
      const keys: string[] = [];
      for (const [index, { pem }] of azureDomain.custodians.entries()) {
        keys.push(join(fresh.home, `other-${index}.pem`));
        await writeFile(join(fresh.home, `other-${index}.cer`), pem.certificate);
        await writeFile(join(fresh.home, `other-${index}.pem`), pem.privateKey);
      }
      const others = restoreBlob(other, keys.slice(0, 2));
      expect(() => upload(others)).toThrow(/BadParameter/);
      await fresh.admin('POST', '/keys/k/create', { kty: 'EC-HSM' });
      const ours = restoreBlob(file(), [custodian(0, 'pem'), custodian(1, 'pem')]);
      expect(() => upload(ours)).toThrow(/holds keys/);
    },
    TEST_MS,
  );
});

(missing === undefined ? describe : describe.skip)('azure-keyvault-securitydomain', () => {
  /** @returns what it printed */
  async function client({ run, home, service }: Deployment, ...words: string[]): Promise<string> {
    const { AZURE_CLIENT_ID: clientId = '', AZURE_CLIENT_SECRET: clientSecret = '' } =
      service.client;
    const token = join(home, 'token');
    await writeFile(token, await fetchToken(service, { clientId, clientSecret }));
    const script = join(HERE, 'domain_client.py');
    return run(join(bin, 'python'), [script, service.localUrl, token, ...words]);
  }

  test(
    'downloads a domain, waits until everything is wrapped by its root keys, and reads transfer keys',
    async () => {
      const request = join(lost.home, 'request.json');
      const certificates = azureDomain.custodians.map(({ certificate }) =>
        formatCertificateJwk(certificate),
      );
      await writeFile(request, JSON.stringify({ certificates, required: 2 }));
      const domain = parseDomain(await client(lost, 'download', request));
      expect(domain.shares.map(({ thumbprint }) => thumbprint)).toEqual(
        azureDomain.custodians.map(({ certificate }) => certificate.thumbprint),
      );
      expect(await client(lost, 'transfer-key')).toContain('x5c');
    },
    TEST_MS,
  );

  test(
    'uploads a domain, and waits for the end of it',
    async () => {
      const third = await deploy();
      try {
        const [domain, transferKey, blob] = ['domain', 'transfer', 'blob'].map((name) =>
          join(third.home, name),
        ) as [string, string, string];
        const request = join(lost.home, 'request.json');
        await writeFile(domain, await client(lost, 'download', request));
        await writeFile(transferKey, await client(third, 'transfer-key'));
        const keys: string[] = [];
        for (const [index, { pem }] of azureDomain.custodians.slice(1).entries()) {
          keys.push(join(third.home, `${index}.pem`));
          await writeFile(join(third.home, `${index}.pem`), pem.privateKey);
        }
        const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
        third.run(process.execPath, [
          ...[main, 'security-domain', 'restore-blob', domain, '--transfer-key', transferKey],
          ...['--key', ...keys, '--out', blob],
        ]);
        await expect(client(third, 'upload', blob)).resolves.toBe('');
      } finally {
        third.admin.close();
        await third.service.stop();
        await removeDataFolder(third.service.dataFolder);
        await third.close();
      }
    },
    TEST_MS,
  );
});
