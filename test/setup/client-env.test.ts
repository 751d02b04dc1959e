import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { writeClientEnvironment } from '../../src/setup/client-env.ts';

const VALUES = {
  managedHsmUrl: 'https://main.strongroom.localhost:8443',
  clientId: '7c1b6c3c-0c0e-4f6e-9d5a-1c1f7b1e2a10',
  clientSecret: `it's "quoted" $HOME \`id\` \\ ; # and blank `,
  authorityHost: 'https://main.strongroom.localhost:8443',
  principalId: 'c3a1b6f0-58a4-4f2e-8f0b-2f2d5b1c9e77',
  caFile: "/home/o'neil/my project/.strongroom/ca.pem",
};

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('client.env', () => {
  test('gives a shell that sources it every value as it was, in its order', async () => {
    const file = await writeClientEnvironment(folder, VALUES);
    const names = [...(await readFile(file, 'utf8')).matchAll(/^([A-Z_]+)=/gm)].map((m) => m[1]);
    expect(names).toEqual([
      'AZURE_MANAGEDHSM_URL',
      'AZURE_TENANT_ID',
      'AZURE_CLIENT_ID',
      'AZURE_CLIENT_SECRET',
      'AZURE_AUTHORITY_HOST',
      'AZURE_PRINCIPAL_ID',
      'NODE_EXTRA_CA_CERTS',
      'REQUESTS_CA_BUNDLE',
      'SSL_CERT_FILE',
    ]);
    const print = `process.stdout.write(JSON.stringify(${JSON.stringify(names)}.map((n) => process.env[n])))`;
    const output = execFileSync(
      'sh',
      ['-c', 'set -a; . "$0"; exec "$1" -e "$2"', file, process.execPath, print],
      {
        env: { PATH: process.env['PATH'] },
        encoding: 'utf8',
        // Node warns of the CA file, which isn't there.
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    );
    expect(JSON.parse(output)).toEqual([
      VALUES.managedHsmUrl,
      'adfs',
      VALUES.clientId,
      VALUES.clientSecret,
      VALUES.authorityHost,
      VALUES.principalId,
      VALUES.caFile,
      VALUES.caFile,
      VALUES.caFile,
    ]);
  });

  test('is readable by its owner only, and replaced as a whole', async () => {
    await writeClientEnvironment(folder, VALUES);
    const file = await writeClientEnvironment(folder, { ...VALUES, clientId: 'another' });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readFile(file, 'utf8')).toContain('AZURE_CLIENT_ID=another\n');
    expect(await readdir(folder)).toEqual(['client.env']);
  });
});
