import { execFile, execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, get } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  type Identity,
  makeAuthority,
  makeServerIdentity,
} from '../../../src/setup/trust/certificates.ts';
import { writeClientEnvironment } from '../../../src/setup/client-env.ts';
import { type ClientTrust, writeClientTrust } from '../../../src/setup/trust/client-trust.ts';

const run = promisify(execFile);
const now = new Date();
const hasJava = ['java', 'keytool'].every(isHere);
if (!hasJava) console.warn('skipped: no Java (java and keytool) on this machine');
const describeJava = hasJava ? describe : describe.skip;
/** Prints the status of each URL, or the reason why there is none. */
const CONNECT = `
  import java.net.*;
  class Connect {
    public static void main(String[] urls) {
      for (String url : urls)
        try {
          System.out.println(((HttpURLConnection) new URL(url).openConnection()).getResponseCode());
        } catch (Exception e) {
          System.out.println(e.getClass().getSimpleName());
        }
    }
  }
`;

interface Site {
  readonly url: string;
  close(): void;
}

let folder: string;
let caFile: string;
let trust: ClientTrust;
let systems: readonly Identity[];
let sites: readonly Site[];

beforeAll(async () => {
  // As a home's folder may be called.
  folder = join(await mkdtemp(join(tmpdir(), 'strongroom-test-')), `o'neil's "own" data`);
  await mkdir(folder);
  caFile = join(folder, 'ca.pem');
  const ours = await makeAuthority('Strongroom development CA', now);
  // Two of one name: a store has to keep both.
  systems = [await makeAuthority('A public CA', now), await makeAuthority('A public CA', now)];
  const stranger = await makeAuthority('A stranger', now);
  const systemFile = join(folder, 'system.crt');
  const broken = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
  await writeFile(caFile, ours.certificate);
  await writeFile(
    systemFile,
    `# Comment\n${broken}${[...systems, ...systems, ours].map((one) => one.certificate).join('\n')}`,
  );
  trust = await writeClientTrust(folder, caFile, [join(folder, 'not there'), systemFile]);
  sites = await Promise.all([ours, ...systems, stranger].map(openSite));
});

afterAll(async () => {
  for (const site of sites) site.close();
  await rm(join(folder, '..'), { recursive: true, force: true });
});

function isHere(program: string): boolean {
  try {
    execFileSync('sh', ['-c', 'command -v "$0"', program]);
    return true;
  } catch {
    return false;
  }
}

/** A site of an authority, on a free port. */
async function openSite(authority: Identity): Promise<Site> {
  const { certificate, privateKey } = await makeServerIdentity(authority, ['localhost'], now);
  const server = createServer({ cert: certificate, key: privateKey }, (_req, res) => res.end());
  server.listen(0, 'localhost');
  await once(server, 'listening');
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}/`,
    close: () => server.close(),
  };
}

function statusOf(url: string, ca: string): Promise<number | string | undefined> {
  return new Promise((resolve) => {
    get(url, { ca, agent: false }, (res) => {
      res.resume();
      resolve(res.statusCode);
    }).on('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code);
    });
  });
}

describe('the bundle of authorities', () => {
  test('trusts the service and whomever the system trusts, and nobody else', async () => {
    const bundle = await readFile(trust.bundleFile, 'utf8');
    const answers = await Promise.all(sites.map(({ url }) => statusOf(url, bundle)));
    expect(answers).toEqual([200, 200, 200, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE']);
  });

  test('holds each certificate once, for everybody to read, and none that is broken', async () => {
    const bundle = await readFile(trust.bundleFile, 'utf8');
    const wanted = [await readFile(caFile, 'utf8'), ...systems.map((one) => one.certificate)];
    expect(bundle).toBe(wanted.map((pem) => new X509Certificate(pem).toString()).join(''));
    for (const file of [trust.bundleFile, trust.trustStoreFile])
      expect((await stat(file)).mode & 0o777).toBe(0o644);
  });

  test('follows the system at the next start, and has public authorities where the system has no file', async () => {
    const other = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
    const systemFile = join(other, 'system.crt');
    const certificates = async () =>
      (await readFile(join(other, 'ca-bundle.pem'), 'utf8')).match(/BEGIN CERTIFICATE/g)?.length;
    await writeFile(systemFile, systems[0]?.certificate ?? '');
    await writeClientTrust(other, caFile, [systemFile]);
    expect(await certificates()).toBe(2);
    await rm(systemFile);
    await writeClientTrust(other, caFile, [systemFile]);
    expect(await certificates()).toBeGreaterThan(50);
    await rm(other, { recursive: true });
  });

  test('and the store stay as they are where the system trusts the same, and are made where one is lost', async () => {
    const other = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
    const systemFile = join(other, 'system.crt');
    await writeFile(systemFile, systems[0]?.certificate ?? '');
    const write = () => writeClientTrust(other, caFile, [systemFile]);
    const made = await write();
    const files = [made.bundleFile, made.trustStoreFile];
    const inodes = () => Promise.all(files.map(async (file) => (await stat(file)).ino));
    const before = await inodes();
    expect(await write()).toEqual(made);
    expect(await inodes()).toEqual(before);
    for (const file of files) {
      await rm(file);
      await write();
      expect((await stat(file)).size).toBeGreaterThan(1_000);
    }
    await rm(other, { recursive: true });
  });
});

describeJava('the trust store', () => {
  test('is one whose certificates Java trusts, each under a name of its own', async () => {
    const { stdout } = await run('keytool', [
      ...['-list', '-storetype', 'PKCS12', '-keystore', trust.trustStoreFile],
      ...['-storepass', trust.trustStorePassword],
    ]);
    expect(stdout.match(/^.*trustedCertEntry/gm)).toEqual([
      expect.stringMatching(/^a public ca \[[0-9a-f]{16}\], /),
      expect.stringMatching(/^a public ca \[[0-9a-f]{16}\], /),
      expect.stringMatching(/^strongroom, /),
    ]);
  });

  test('is refused where it is damaged', async () => {
    const damaged = await readFile(trust.trustStoreFile);
    const at = damaged.indexOf('Strongroom development CA');
    damaged[at] = 0x73;
    const file = join(folder, 'damaged.p12');
    await writeFile(file, damaged);
    await expect(
      run('keytool', ['-list', '-keystore', file, '-storepass', trust.trustStorePassword]),
    ).rejects.toMatchObject({ stdout: expect.stringMatching(/integrity/i) });
  });

  test('lets a Java program that has the options of client.env reach the service and the rest of the world', async () => {
    const file = await writeClientEnvironment(folder, {
      managedHsmUrl: 'https://main.strongroom.localhost:8443',
      clientId: '7c1b6c3c-0c0e-4f6e-9d5a-1c1f7b1e2a10',
      clientSecret: 'secret',
      authorityHost: 'https://localhost:8443',
      principalId: 'c3a1b6f0-58a4-4f2e-8f0b-2f2d5b1c9e77',
      caFile,
      trust,
    });
    const uncommented = join(folder, 'uncommented.env');
    const text = await readFile(file, 'utf8');
    await writeFile(uncommented, text.replace('# JAVA_TOOL_OPTIONS', 'JAVA_TOOL_OPTIONS'));
    const program = join(folder, 'Connect.java');
    await writeFile(program, CONNECT);
    const { stdout } = await run('sh', [
      ...['-c', 'set -a; . "$0"; exec java "$@"', uncommented, program],
      ...sites.map(({ url }) => url),
    ]);
    expect(stdout.trim().split('\n')).toEqual(['200', '200', '200', 'SSLHandshakeException']);
  });
});
