import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
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
  trust: {
    bundleFile: "/home/o'neil/my project/.strongroom/ca-bundle.pem",
    trustStoreFile: "/home/o'neil/my project/.strongroom/ca.p12",
    trustStorePassword: 'changeit',
  },
};

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** By a shell that has sourced the file. */
function printedBy(file: string, words: string): string {
  return execFileSync('sh', ['-c', `set -a; . "$0"; printf %s "${words}"`, file], {
    env: { PATH: process.env['PATH'] },
    encoding: 'utf8',
  });
}

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
      VALUES.trust.bundleFile,
      VALUES.trust.bundleFile,
    ]);
  });

  test('says in comments what Java and a workload with a managed identity need', async () => {
    const endpoint = 'http://127.0.0.1:8444/msi/token';
    const without = await readFile(await writeClientEnvironment(folder, VALUES), 'utf8');
    expect(without).not.toContain('IDENTITY');
    const file = await writeClientEnvironment(folder, {
      ...VALUES,
      clientSecret: 'secret',
      identityEndpoint: endpoint,
    });
    expect(printedBy(file, '$IDENTITY_ENDPOINT|$JAVA_TOOL_OPTIONS')).toBe('|');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace(/^# (?=[A-Z_]+=)/gm, ''));
    expect(printedBy(file, '$IDENTITY_ENDPOINT $IDENTITY_HEADER')).toBe(
      `${endpoint} ${VALUES.clientId}.secret`,
    );
    expect(printedBy(file, '$JAVA_TOOL_OPTIONS')).toBe(
      `-Djavax.net.ssl.trustStore="/home/o'neil/my project/.strongroom/ca.p12" -Djavax.net.ssl.trustStoreType=PKCS12 -Djavax.net.ssl.trustStorePassword=changeit`,
    );
  });

  test('has nothing run that a path says, even one of several lines', async () => {
    const trustStoreFile = "/home/a\nb'; echo run; '/ca.p12";
    const trust = { ...VALUES.trust, trustStoreFile };
    const file = await writeClientEnvironment(folder, { ...VALUES, trust });
    expect(printedBy(file, 'done')).toBe('done');
  });

  test('is readable by its owner only, and replaced as a whole', async () => {
    await writeClientEnvironment(folder, VALUES);
    const file = await writeClientEnvironment(folder, { ...VALUES, clientId: 'another' });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readFile(file, 'utf8')).toContain('AZURE_CLIENT_ID=another\n');
    expect(await readdir(folder)).toEqual(['client.env']);
  });
});
