import { describe, expect, test } from '@jest/globals';
import {
  formatDomain,
  formatRestoreBlob,
  parseDomain,
  parseDomainOrBlob,
  parseRestoreBlob,
} from '../../../src/backup/security-domain/domain-text.ts';
import { azureDomain, type DomainJson } from '../../support/azure-domain.ts';

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

test("a domain that az's functions made is written again as it was read, to the byte", () => {
  expect(formatDomain(parseDomain(azureDomain.text))).toBe(azureDomain.text);
});

test("the pool's whole answer is read as the domain in it", () => {
  const answer = JSON.stringify({ value: azureDomain.text });
  expect(parseDomain(answer)).toEqual(parseDomain(azureDomain.text));
});

test('a restore blob is read as it was written, and neither is taken for the other', () => {
  const { entries, shares } = parseDomain(azureDomain.text);
  const [wrappedMaster = fail()] = shares;
  const blob = { entries, wrappedMaster };
  expect(parseRestoreBlob(formatRestoreBlob(blob))).toEqual(blob);
  expect(parseDomainOrBlob(formatRestoreBlob(blob))).toEqual({ blob });
  expect(parseDomainOrBlob(azureDomain.text)).toEqual({ domain: parseDomain(azureDomain.text) });
  expect(thrownBy(() => parseDomain(formatRestoreBlob(blob)))).toEqual(refused('SharedKeys'));
  expect(thrownBy(() => parseRestoreBlob(azureDomain.text))).toEqual(refused('WrappedKey'));
});

test('a file that was cut anywhere is refused', () => {
  for (let length = 0; length < azureDomain.text.length; length += 97)
    expect(thrownBy(() => parseDomain(azureDomain.text.slice(0, length)))).toEqual(
      refused('it is no JSON, or was cut'),
    );
});

describe('a domain is refused, with a sentence that names the member,', () => {
  test.each<[string, (json: DomainJson) => void, string]>([
    ['of another version', (json) => (json.version = 3), 'version: '],
    ['with another derivation', ({ EncData }) => (EncData.kdf = 'hkdf'), 'EncData.kdf: '],
    [
      'with another sharing',
      ({ SharedKeys }) => (SharedKeys.key_algorithm = 'xor'),
      'SharedKeys.key_algorithm: ',
    ],
    ['with a quorum of one', ({ SharedKeys }) => (SharedKeys.required = 1), 'SharedKeys.required'],
    ['with a quorum of 11', ({ SharedKeys }) => (SharedKeys.required = 11), 'SharedKeys.required'],
    [
      'with fewer shares than are required',
      ({ SharedKeys }) => (SharedKeys.required = 4),
      '4 shares are required to open it, and it has 3',
    ],
    [
      'with a thumbprint that is none',
      ({ SharedKeys: { enc_shares: shares } }) => ((shares[1] ?? fail()).x5t_256 = 'x'),
      'SharedKeys.enc_shares.1.x5t_256: it is no SHA-256 in base64url',
    ],
    ['without an entry', ({ EncData }) => (EncData.data = []), 'EncData.data: '],
    [
      'with an entry that has no name',
      ({ EncData: { data } }) => ((data[0] ?? fail()).tag = ''),
      'EncData.data.0.tag',
    ],
    [
      'with more entries than it can have',
      ({ EncData }) => (EncData.data = Array.from({ length: 65 }, () => EncData.data[0] ?? fail())),
      'EncData.data: ',
    ],
  ])('%s', (_what, alter, sentence) => {
    const json = azureDomain.json();
    alter(json);
    expect(thrownBy(() => parseDomain(JSON.stringify(json)))).toEqual(refused(sentence));
  });

  test.each(['null', '[]', '7', '"text"', '{}', '{"value":"null"}', '{"value":7}'])(
    'for %s, which is none',
    (text) => {
      expect(thrownBy(() => parseDomain(text))).toEqual(refused('It is no security domain: '));
    },
  );
});

function fail(): never {
  throw new Error('The fixture has no such member.');
}
