import { spawnSync } from 'node:child_process';
import { createPrivateKey, privateDecrypt, X509Certificate } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { parseRestoreBlob } from '../../src/backup/security-domain/domain-text.ts';
import { createEnvelopes } from '../../src/backup/security-domain/envelopes.ts';
import { createCliContext } from '../../src/cli/cli-context.ts';
import { inspectDomain } from '../../src/cli/security-domain/inspect.ts';
import {
  makeRestoreBlob,
  type RestoreBlobOptions,
} from '../../src/cli/security-domain/restore-blob.ts';
import { openRestoreBlob } from '../../src/core/recovery/security-domain/restore-blob.ts';
import { azureDomain, PAIRS } from '../support/azure-domain.ts';

const { custodians, transferKey, entries } = azureDomain;
const PASSPHRASE = 'open, sesame';

let folder: string;
const at = (name: string) => join(folder, name);
const keyAt = (index: number) => at(`custodian-${index}.pem`);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'strongroom-domain-'));
  await writeFile(at('domain.json'), azureDomain.text);
  await writeFile(at('transfer.cer'), transferKey.pem.certificate);
  await writeFile(at('stranger.pem'), transferKey.pem.privateKey);
  await writeFile(at('passphrase'), `${PASSPHRASE}\n`);
  for (const [index, { pem, privateKey }] of custodians.entries()) {
    await writeFile(keyAt(index), pem.privateKey);
    await writeFile(at(`custodian-${index}.cer`), pem.certificate);
    const encryption = { format: 'pem', cipher: 'aes-256-cbc', passphrase: PASSPHRASE } as const;
    // As OpenSSL writes it today, and as it did in the past.
    const type = index === 0 ? 'pkcs1' : 'pkcs8';
    await writeFile(at(`locked-${index}.pem`), privateKey.export({ type, ...encryption }));
  }
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let printed: string[];
beforeEach(() => {
  printed = [];
});
const context = () => ({
  ...createCliContext({}),
  print: (line: string) => {
    printed.push(line);
  },
});
let count = 0;
/** The restore blob's path. */
async function restoreBlob(
  key: readonly string[],
  options: Partial<RestoreBlobOptions> = {},
): Promise<string> {
  const out = at(`blob-${(count += 1)}.json`);
  await makeRestoreBlob(context(), at('domain.json'), {
    transferKey: at('transfer.cer'),
    key,
    out,
    ...options,
  });
  return out;
}
const openBlob = async (path: string) =>
  openRestoreBlob(createEnvelopes(), parseRestoreBlob(await readFile(path, 'utf8')), {
    thumbprint: transferKey.certificate.thumbprint,
    unwrap: (wrapped) =>
      Promise.resolve(
        privateDecrypt(
          { key: createPrivateKey(transferKey.pem.privateKey), oaepHash: 'sha256' },
          wrapped,
        ),
      ),
  });

describe('restore-blob', () => {
  test.each(PAIRS)(
    'makes of a domain and the keys %i and %i what the pool to be restored opens',
    async (one, other) => {
      const blob = await restoreBlob([keyAt(one), keyAt(other)]);
      expect(await openBlob(blob)).toEqual(entries);
      expect((await stat(blob)).mode & 0o777).toBe(0o600);
      const { fingerprint256 } = new X509Certificate(transferKey.pem.certificate);
      expect(printed).toContain(`SHA-256: ${fingerprint256}`);
    },
  );

  test('opens keys with passphrases, in the order of those that have one', async () => {
    const passphraseFile = [at('passphrase')];
    const mixed = await restoreBlob([keyAt(0), at('locked-1.pem')], { passphraseFile });
    expect(await openBlob(mixed)).toEqual(entries);
    const old = await restoreBlob([at('locked-0.pem'), keyAt(2)], { passphraseFile });
    expect(await openBlob(old)).toEqual(entries);
  });

  test.each<[string, () => Parameters<typeof restoreBlob>, () => string]>([
    [
      'one key of two',
      () => [[keyAt(0)]],
      () =>
        `${at('domain.json')}: The security domain needs the keys of 2 custodians; there are 1.`,
    ],
    [
      'the same key twice',
      () => [[keyAt(0), keyAt(0)]],
      () =>
        `${keyAt(0)}: It opens the same share as ${keyAt(0)}: each key has to be another custodian's.`,
    ],
    [
      "a key that is no custodian's",
      () => [[keyAt(0), at('stranger.pem')]],
      () => `${at('stranger.pem')}: It opens no share of this security domain`,
    ],
    [
      'a certificate for a key',
      () => [[keyAt(0), at('custodian-1.cer')]],
      () => `${at('custodian-1.cer')}: It holds no private key in PEM.`,
    ],
    [
      'a key for the transfer key',
      () => [[keyAt(0), keyAt(1)], { transferKey: keyAt(2) }],
      () => `${keyAt(2)}: It holds no X.509 certificate.`,
    ],
    [
      'a passphrase that is missing',
      () => [[keyAt(0), at('locked-1.pem')]],
      () => `${at('locked-1.pem')}: This private key is encrypted`,
    ],
    [
      'a passphrase that is wrong',
      () => [[keyAt(0), at('locked-1.pem')], { passphraseFile: [at('transfer.cer')] }],
      () => `${at('locked-1.pem')}: The passphrase does not open this private key.`,
    ],
    [
      'a passphrase that is left over',
      () => [[keyAt(0), keyAt(1)], { passphraseFile: [at('passphrase')] }],
      () => `${at('passphrase')}: There are more passphrase files than keys`,
    ],
    [
      'a file to write that is there already',
      () => [[keyAt(0), keyAt(1)], { out: at('passphrase') }],
      () => `${at('passphrase')} can't be written: it is there already`,
    ],
  ])('refuses %s, names the file, and writes nothing', async (_what, call, sentence) => {
    const before = await readdir(folder);
    await expect(restoreBlob(...call())).rejects.toMatchObject({
      name: 'OperatorError',
      message: expect.stringContaining(sentence()) as unknown,
    });
    expect([await readdir(folder), printed]).toEqual([before, []]);
    expect(await readFile(at('passphrase'), 'utf8')).toBe(`${PASSPHRASE}\n`);
  });
});

test('ends with status 1 and one sentence where it could not do it', () => {
  const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
  const files = ['--transfer-key', at('transfer.cer'), '--key', keyAt(0), at('nowhere.pem')];
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [main, 'security-domain', 'restore-blob', at('domain.json'), ...files, '--out', at('blob')],
    { encoding: 'utf8', env: {} },
  );
  expect([status, stdout, stderr]).toEqual([
    1,
    '',
    `strongroom: ${at('nowhere.pem')} can't be read: it is not there (ENOENT).\n`,
  ]);
});

describe('inspect', () => {
  const thumbprints = custodians.map(({ certificate }) => certificate.thumbprint);

  test('says of a domain how many open it, by which certificates, and what it holds', async () => {
    const certificate = [at('custodian-1.cer'), at('transfer.cer')];
    await inspectDomain(context(), at('domain.json'), { certificate });
    expect(printed).toEqual([
      'A security domain: 2 of 3 custodians open it, by the keys of these certificates (SHA-256 in base64url):',
      `  ${thumbprints[0] ?? ''}`,
      `  ${thumbprints[1] ?? ''}  ${at('custodian-1.cer')}`,
      `  ${thumbprints[2] ?? ''}`,
      'It holds, encrypted:',
      '  hsm_backup (32 bytes)',
      '  partition_enclave_backup (16 bytes)',
    ]);
  });

  test('says of a restore blob for which pool it is', async () => {
    const blob = await restoreBlob([keyAt(0), keyAt(1)]);
    printed = [];
    await inspectDomain(context(), blob, { json: true, certificate: [at('transfer.cer')] });
    expect(JSON.parse(printed.join('\n'))).toEqual({
      kind: 'restore blob',
      certificates: [{ thumbprint: transferKey.certificate.thumbprint, file: at('transfer.cer') }],
      entries: [
        { tag: 'hsm_backup', bytes: 32 },
        { tag: 'partition_enclave_backup', bytes: 16 },
      ],
    });
  });

  test('refuses what is neither, and names the file', async () => {
    await expect(inspectDomain(context(), at('transfer.cer'), {})).rejects.toMatchObject({
      name: 'OperatorError',
      message: `${at('transfer.cer')}: It is no security domain: it is no JSON, or was cut.`,
    });
  });
});
