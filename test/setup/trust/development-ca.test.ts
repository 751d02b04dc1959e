import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, isIP } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  checkServerIdentity,
  connect as connectTls,
  createServer,
  type PeerCertificate,
} from 'node:tls';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { prepareDevelopmentCertificate } from '../../../src/setup/trust/development-ca.ts';

const DOMAIN = 'strongroom.localhost';
const DAY_MS = 86_400_000;
/** The system's, which a package of this name would only hide. */
const OPENSSL = 'openssl';
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const NAMES = [
  'localhost',
  'strongroom.localhost',
  'main.strongroom.localhost',
  'host.docker.internal',
  'hsm.example.org',
  'main.hsm.example.org',
  '127.0.0.1',
  '::1',
];

/** Node.js 22.23 finds no IPv6 address in any certificate (nodejs/node#64144). */
const findsIpv6 =
  checkServerIdentity('::1', {
    subjectaltname: 'IP Address:0:0:0:0:0:0:0:1',
  } as PeerCertificate) === undefined;
if (!findsIpv6)
  console.info(`skipped: Node.js ${process.version} takes no certificate for an IPv6 address`);
const NODES_NAMES = NAMES.filter((name) => findsIpv6 || isIP(name) !== 6);

describe('the development certificate', () => {
  test.each(NODES_NAMES)('is accepted by Node.js for %s', async (name) => {
    const { caFile, certificate, privateKey } = await prepareDevelopmentCertificate(folder, {
      domain: 'hsm.example.org',
    });
    const server = createServer({ cert: certificate, key: privateKey }, (socket) => socket.end());
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const socket = connectTls({
      // Whatever the name resolves to here: it is the one that the certificate is checked against.
      socket: connect(port, '127.0.0.1'),
      host: name,
      ...(isIP(name) === 0 && { servername: name }),
      ca: await readFile(caFile),
    });
    await once(socket, 'secureConnect');
    expect(socket.authorized).toBe(true);
    socket.destroy();
    server.close();
  });

  test.each(NAMES)('is accepted by OpenSSL, strictly, for %s', async (name) => {
    const { caFile } = await prepareDevelopmentCertificate(folder, { domain: 'hsm.example.org' });
    const option = isIP(name) === 0 ? '-verify_hostname' : '-verify_ip';
    const server = join(folder, 'server.pem');
    const purpose = ['-x509_strict', '-purpose', 'sslserver'];
    const args = ['verify', ...purpose, '-CAfile', caFile, option, name, server];
    expect(execFileSync(OPENSSL, args, { encoding: 'utf8' })).toContain('OK');
  });

  test('is not accepted for other names', async () => {
    await prepareDevelopmentCertificate(folder, { domain: DOMAIN });
    const certificate = new X509Certificate(await readFile(join(folder, 'server.pem')));
    expect(certificate.checkHost('hsm.example.org')).toBeUndefined();
    expect(certificate.checkHost('a.b.strongroom.localhost')).toBeUndefined();
  });

  test('is kept over starts', async () => {
    const first = await prepareDevelopmentCertificate(folder, { domain: DOMAIN });
    expect(await prepareDevelopmentCertificate(folder, { domain: DOMAIN })).toEqual(first);
  });

  test('is made anew by the same CA when the domain changes', async () => {
    const first = await prepareDevelopmentCertificate(folder, { domain: DOMAIN });
    const ca = await readFile(first.caFile, 'utf8');
    const second = await prepareDevelopmentCertificate(folder, { domain: 'hsm.example.org' });
    expect(second.certificate).not.toBe(first.certificate);
    expect(new X509Certificate(second.certificate).checkHost('a.hsm.example.org')).toBeDefined();
    expect(await readFile(first.caFile, 'utf8')).toBe(ca);
  });

  test('lives at most 397 days, and is renewed in its last 30', async () => {
    const now = new Date();
    const first = await prepareDevelopmentCertificate(folder, { domain: DOMAIN, now });
    const { validFrom, validTo } = new X509Certificate(first.certificate);
    expect(Date.parse(validTo) - Date.parse(validFrom)).toBeLessThanOrEqual(397 * DAY_MS);
    const later = (days: number) => ({
      domain: DOMAIN,
      now: new Date(Date.parse(validTo) - days * DAY_MS),
    });
    expect(await prepareDevelopmentCertificate(folder, later(31))).toEqual(first);
    const renewed = await prepareDevelopmentCertificate(folder, later(29));
    expect(renewed.certificate).not.toBe(first.certificate);
    expect(renewed.caFile).toBe(first.caFile);
  });

  test('is served on without the CA’s key, which whoever distrusts it may remove', async () => {
    const first = await prepareDevelopmentCertificate(folder, { domain: DOMAIN });
    await rm(join(folder, 'ca-key.pem'));
    expect(await prepareDevelopmentCertificate(folder, { domain: DOMAIN })).toEqual(first);
  });

  test('comes with a new CA when the key on disk is not that of the old', async () => {
    const first = await prepareDevelopmentCertificate(folder, { domain: DOMAIN });
    await writeFile(join(folder, 'ca-key.pem'), first.privateKey);
    const second = await prepareDevelopmentCertificate(folder, { domain: 'hsm.example.org' });
    const issuer = new X509Certificate(await readFile(second.caFile));
    expect(new X509Certificate(second.certificate).verify(issuer.publicKey)).toBe(true);
  });

  test('shows its keys to nobody else, and its CA to all', async () => {
    await prepareDevelopmentCertificate(folder, { domain: DOMAIN });
    const modeOf = async (name: string) => (await stat(join(folder, name))).mode & 0o777;
    expect(await modeOf('ca-key.pem')).toBe(0o600);
    expect(await modeOf('server.pem')).toBe(0o600);
    expect(await modeOf('ca.pem')).toBe(0o644);
  });
});
