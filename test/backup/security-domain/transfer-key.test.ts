import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import {
  formatCertificateJwk,
  readCertificateJwk,
} from '../../../src/backup/security-domain/certificate-jwk.ts';
import { readTransferKey } from '../../../src/backup/security-domain/transfer-key.ts';
import { azureDomain } from '../../support/azure-domain.ts';

const { certificate, pem } = azureDomain.transferKey;
const jwk = formatCertificateJwk(certificate);
const base64 = Buffer.from(certificate.der).toString('base64');
const refused = (message: string) =>
  expect.objectContaining({
    code: 'BadParameter',
    message: expect.stringContaining(message) as unknown,
  });
const thrownBy = (action: () => unknown): unknown => {
  try {
    return action();
  } catch (error) {
    return error;
  }
};

test("a certificate's thumbprint is the SHA-256 of its DER, as OpenSSL prints it", () => {
  const { fingerprint256 } = new X509Certificate(pem.certificate);
  const hex = Buffer.from(certificate.thumbprint, 'base64url').toString('hex');
  expect(hex).toBe(fingerprint256.replaceAll(':', '').toLowerCase());
});

test.each<[string, string | Uint8Array]>([
  ['PEM', pem.certificate],
  [
    'PEM in lines of 65 characters, as az writes it',
    `-----BEGIN CERTIFICATE-----\n${(base64.match(/.{1,65}/g) ?? []).join('\n')}\n-----END CERTIFICATE-----`,
  ],
  ['DER', certificate.der],
  ['a JSON Web Key', JSON.stringify(jwk)],
  ["the pool's answer", JSON.stringify({ key_format: 'jwk', transfer_key: jwk })],
  [
    "the pool's answer to az, in which the key is a text",
    JSON.stringify({ key_format: 'jwk', transfer_key: JSON.stringify(jwk) }),
  ],
])('the transfer key is read from %s', (_form, contents) => {
  const { thumbprint, der } = readTransferKey(Buffer.from(contents));
  expect([thumbprint, Buffer.from(der).toString('base64')]).toEqual([
    certificate.thumbprint,
    base64,
  ]);
});

describe('is refused:', () => {
  test.each<[string, string, string]>([
    ['a private key', azureDomain.transferKey.pem.privateKey, 'It holds no X.509 certificate.'],
    ['a certificate that was cut', pem.certificate.slice(0, 500), 'It holds no X.509 certificate.'],
    ['an empty file', '', 'It holds no X.509 certificate.'],
    ['JSON that was cut', JSON.stringify(jwk).slice(0, 500), 'It is no JSON, or was cut.'],
    ['JSON of something else', azureDomain.text, 'its member kty is missing or wrong'],
    ['no certificate in it', JSON.stringify({ ...jwk, x5c: [] }), 'its member x5c'],
    ['garbage as its certificate', JSON.stringify({ ...jwk, x5c: ['AAAA'] }), 'It holds no X.509'],
  ])('%s', (_what, contents, sentence) => {
    expect(thrownBy(() => readTransferKey(Buffer.from(contents)))).toEqual(refused(sentence));
  });

  test.each(['n', 'x5t', 'x5t#S256'])("another certificate's %s", (member) => {
    const other = formatCertificateJwk(azureDomain.custodians[0].certificate);
    const mixed = { ...jwk, [member]: other[member as 'n'] };
    expect(thrownBy(() => readCertificateJwk(mixed))).toEqual(
      refused(`member ${member} is not that of its certificate`),
    );
  });
});

test('numbers with a zero byte before them are the same numbers', () => {
  const padded = (text = '') =>
    Buffer.concat([Buffer.alloc(1), Buffer.from(text, 'base64url')]).toString('base64url');
  const read = readCertificateJwk({ ...jwk, n: padded(jwk.n), e: padded(jwk.e) });
  expect(read.thumbprint).toBe(certificate.thumbprint);
});

test.each(['d', 'p', 'qi'])(
  'a private key (member %s) is refused, and the sentence says what to do',
  (member) => {
    expect(() => readCertificateJwk({ ...jwk, [member]: 'AAAA' })).toThrow(
      expect.objectContaining({
        code: 'BadParameter',
        message: expect.stringContaining('make a new one') as unknown,
      }),
    );
  },
);
