import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect as connectTls, createServer, type TLSSocket } from 'node:tls';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { createHttpsServer } from '../../../src/http/server/server.ts';
import { makeClientCertificate } from '../../support/client-certificates.ts';
import { findCiphers, GROUPS, sayHello } from '../../support/tls-scanner.ts';
import { useSharedService } from '../../support/use-service.ts';

/** What a scanner sees: every version, and every number that a cipher suite can have, offered to the server. */

const [SSL30, TLS10, TLS11, TLS12, TLS13] = [0x0300, 0x0301, 0x0302, 0x0303, 0x0304] as const;
/** IANA's numbers, in our order. All are ECDHE with authenticated encryption. */
const ECDSA = {
  'ECDHE-ECDSA-AES256-GCM-SHA384': 0xc02c,
  'ECDHE-ECDSA-CHACHA20-POLY1305': 0xcca9,
  'ECDHE-ECDSA-AES128-GCM-SHA256': 0xc02b,
};
const RSA = {
  'ECDHE-RSA-AES256-GCM-SHA384': 0xc030,
  'ECDHE-RSA-CHACHA20-POLY1305': 0xcca8,
  'ECDHE-RSA-AES128-GCM-SHA256': 0xc02f,
};
const OF_TLS13 = {
  TLS_AES_256_GCM_SHA384: 0x1302,
  TLS_CHACHA20_POLY1305_SHA256: 0x1303,
  TLS_AES_128_GCM_SHA256: 0x1301,
};
/** P-256, P-384, P-521, X25519; from OpenSSL 3.5 on X25519MLKEM768 too. */
const CURVES = [23, 24, 25, 29];
const [major = 0, minor = 0] = process.versions.openssl.split('.').map(Number);
const GROUPS_TAKEN = [...CURVES, ...(major * 100 + minor >= 305 ? [4588] : [])];
const SAFE = Object.values({ ...ECDSA, ...RSA });
const EVERY = Array.from({ length: 4_096 }, (_, number) => number).concat(SAFE);

const { service, atEnd } = useSharedService();
/** The same listener with a certificate for RSA: whose key it is decides which suites are possible. */
let rsa: ReturnType<typeof createHttpsServer>;
const rsaPort = () => (rsa.address() as AddressInfo).port;

beforeAll(async () => {
  rsa = createHttpsServer((_req, res) => res.end(), await makeClientCertificate());
  rsa.listen(0, '127.0.0.1');
  await once(rsa, 'listening');
  atEnd(rsa);
});

describe.each([
  ['the service', () => service.port, ECDSA],
  ['its listener with an RSA certificate', rsaPort, RSA],
])('%s', (_what, port, suites) => {
  test.each([
    ['SSL 3.0', SSL30],
    ['TLS 1.0', TLS10],
    ['TLS 1.1', TLS11],
  ])('refuses %s', async (_name, version) => {
    expect(await sayHello(port(), { version, ciphers: EVERY })).toEqual({ kind: 'refused' });
  });

  test.each([
    ['TLS 1.2', TLS12, Object.values(suites)],
    ['TLS 1.3', TLS13, Object.values(OF_TLS13)],
  ])('takes these suites of %s and no other', async (_name, version, expected) => {
    const found = await findCiphers(port(), version);
    expect(found.sort()).toEqual([...expected].sort());
  });

  test.each([
    ['TLS 1.2', TLS12, Object.values(suites)],
    ['TLS 1.3', TLS13, Object.values(OF_TLS13)],
  ])('prefers what is best of %s, whatever the client does', async (_name, version, expected) => {
    const ciphers = [...expected].reverse();
    expect(await sayHello(port(), { version, ciphers })).toMatchObject({ cipher: expected[0] });
  });

  test('agrees on keys over curves alone', async () => {
    expect(await findGroups(port(), TLS13, Object.values(OF_TLS13))).toEqual(GROUPS_TAKEN);
  });

  test('does not compress', async () => {
    const hello = { version: TLS12, ciphers: SAFE };
    expect(await sayHello(port(), { ...hello, compressions: [1, 0] })).toMatchObject({
      kind: 'chosen',
      compression: 0,
    });
    expect(await sayHello(port(), { ...hello, compressions: [1] })).toEqual({ kind: 'refused' });
  });

  test('does not negotiate again when the client asks for it', async () => {
    const socket = connectTls({
      port: port(),
      host: '127.0.0.1',
      maxVersion: 'TLSv1.2',
      // Whose certificate it is doesn't matter here.
      rejectUnauthorized: false,
    });
    await once(socket, 'secureConnect');
    expect(await renegotiate(socket)).toMatch(/no renegotiation|closed/);
  });
});

// In TLS 1.2 the curve of an ECDSA certificate has to be among the client's, so only this one can be asked curve by curve.
test('the listener with an RSA certificate agrees on keys over curves alone in TLS 1.2', async () => {
  expect(await findGroups(rsaPort(), TLS12, Object.values(RSA))).toEqual(CURVES);
});

test('what is weak is found where a server has it', async () => {
  const { certificate: cert, privateKey: key } = await makeClientCertificate();
  const weak = createServer({ cert, key, minVersion: 'TLSv1', ciphers: 'ALL:@SECLEVEL=0' });
  weak.listen(0, '127.0.0.1');
  await once(weak, 'listening');
  const { port } = weak.address() as AddressInfo;
  // TLS_RSA_WITH_AES_128_CBC_SHA: no forward secrecy.
  expect(await findCiphers(port, TLS10)).toContain(0x002f);
  expect(await findCiphers(port, TLS12)).toEqual(
    expect.arrayContaining([0x002f, ...Object.values(RSA)]),
  );
  weak.close();
});

async function findGroups(
  port: number,
  version: number,
  ciphers: readonly number[],
): Promise<number[]> {
  const taken: number[] = [];
  for (const group of GROUPS)
    if ((await sayHello(port, { version, ciphers, groups: [group] })).kind === 'chosen')
      taken.push(group);
  return taken;
}

function renegotiate(socket: TLSSocket): Promise<string> {
  return new Promise<string>((resolve) => {
    socket.once('error', (error: Error) => {
      resolve(error.message);
    });
    socket.once('close', () => {
      resolve('closed');
    });
    socket.renegotiate({ rejectUnauthorized: false }, (error) => {
      resolve(error === null ? 'negotiated again' : error.message);
    });
  }).finally(() => socket.destroy());
}
