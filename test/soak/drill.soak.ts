import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { formatCertificateJwk } from '../../src/backup/security-domain/certificate-jwk.ts';
import { azureDomain } from '../support/azure-domain.ts';
import { type CommandHost, openCommandHost } from '../support/commands.ts';
import { type ProductionService, startNewPool } from '../support/production.ts';
import { until } from '../support/until.ts';

/** A disaster, tried: a domain from 2 of 3 custodians, a backup, and a token and a database that know nothing of the pool. */

const MINUTES_MS = 60_000;
const KEYS = {
  wrapping: { kty: 'oct-HSM', key_size: 256 },
  rsa: { kty: 'RSA-HSM', key_size: 2048 },
  ec: { kty: 'EC-HSM', crv: 'P-521' },
};

let pool: ProductionService;
let commands: CommandHost;
let folder: string;
const at = (name: string) => join(folder, name);
const post = (path: string, body: object) => pool.admin('POST', `${path}?api-version=7.4`, body);
const keyFiles = (...custodians: readonly number[]) =>
  custodians.map((index) => at(`custodian-${index}.pem`));

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'strongroom-drill-'));
  commands = await openCommandHost();
  pool = await startNewPool({ STRONGROOM_WORKERS: '1', STRONGROOM_KEYS: 'sealed' });
  for (const [name, body] of Object.entries(KEYS))
    expect((await post(`/keys/${name}/create`, body)).status).toBe(200);
  await pool.admin('DELETE', '/keys/rsa?api-version=7.4');
  const certificates = azureDomain.custodians.map(({ certificate }) =>
    formatCertificateJwk(certificate),
  );
  const answer = await post('/securitydomain/download', { certificates, required: 2 });
  await writeFile(at('domain.json'), answer.json<{ value: string }>().value);
  for (const [index, { pem }] of azureDomain.custodians.entries())
    await writeFile(at(`custodian-${index}.pem`), pem.privateKey);
  await until(async () => {
    const pending = await pool.admin('GET', '/securitydomain/download/pending?api-version=7.4');
    return pending.json<{ status: string }>().status === 'Success';
  }, 2 * MINUTES_MS);
  const made = await commands.run(['backup', 'create', '--to', at('backups')], pool.settings);
  expect(made).toMatchObject({ status: 0 });
}, 5 * MINUTES_MS);
afterAll(async () => {
  await commands.close();
  await pool.stop();
  await rm(folder, { recursive: true, force: true });
});

async function drill(name: string, keys: readonly string[]) {
  const [backup = ''] = await readdir(at('backups'));
  const words = [
    'drill',
    at(`backups/${backup}`),
    ...['--domain', at('domain.json'), '--key', ...keys, '--folder', at(name)],
  ];
  // Nothing of the pool that was backed up.
  return commands.run(words, { PATH: process.env['PATH'] ?? '' });
}

test(
  'a quorum restores all on another token and another database, and every key works there',
  async () => {
    const done = await drill('two', keyFiles(0, 2));
    console.log(done.words);
    expect(done.status).toBe(0);
    expect(done.words).toMatch(/used: EC-HSM P-521, RSA-HSM \d+, .*oct-HSM 256\./);
    expect(await readdir(folder)).not.toContain('two');
  },
  2 * MINUTES_MS,
);

test(
  'one custodian alone restores nothing',
  async () => {
    const done = await drill('one', keyFiles(1));
    expect(done.status).toBe(1);
    expect(done.words).toContain('needs the keys of 2 custodians');
    expect(done.words).not.toContain('A new token');
    expect(await readdir(folder)).not.toContain('one');
  },
  2 * MINUTES_MS,
);
