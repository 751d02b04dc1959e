import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createFetchJson } from '../../src/network/fetch-json.ts';
import {
  type AttestationAuthority,
  METADATA,
  startAttestationAuthority,
} from '../support/attestation-authority.ts';

let server: AttestationAuthority;
beforeAll(async () => {
  server = await startAttestationAuthority();
});
afterAll(() => server.close());

const fetchJson = (url: string, onlyPublic: boolean) =>
  createFetchJson({
    extraCa: server.ca,
    allowsLoopback: true,
    deadlineMs: 5_000,
    sizeLimit: 10_000,
  })(url, { onlyPublic });

describe('a document', () => {
  test('of a server that the operator has named is read from this machine', async () => {
    await expect(fetchJson(`${server.url}${METADATA}`, false)).resolves.toMatchObject({
      issuer: server.url,
    });
  });

  // The server is there, and its certificate is good for these names.
  test.each(['localhost', '127.0.0.1', '2130706433', '0x7f.1', '[::ffff:127.0.0.1]'])(
    'of a server that a caller has named is not: %s',
    async (host) => {
      const before = server.requests.length;
      const url = `https://${host}:${new URL(server.url).port}${METADATA}`;
      await expect(fetchJson(url, true)).rejects.toThrow('no public address');
      expect(server.requests).toHaveLength(before);
    },
  );

  test.each(['http://127.0.0.1:1/', 'http://1.1.1.1/', 'file:///etc/passwd', 'ftp://a.example/'])(
    'is asked for by TLS alone where a caller has named its server: %s',
    async (url) => {
      await expect(fetchJson(url, true)).rejects.toThrow('neither https');
    },
  );

  test.each(['169.254.169.254', '10.0.0.1', '[fe80::1]', '[64:ff9b::a9fe:a9fe]'])(
    'is asked for at once of nobody at %s',
    async (host) => {
      await expect(fetchJson(`https://${host}/`, true)).rejects.toThrow('no public address');
    },
  );
});
