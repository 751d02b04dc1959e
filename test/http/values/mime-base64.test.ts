import { describe, expect, test } from '@jest/globals';
import { mimeBase64 } from '../../../src/http/values/bytes.ts';

const bytes = Buffer.from(Array.from({ length: 200 }, (_, index) => (index * 7) % 256));
const text = bytes.toString('base64');
const inLines = (end: string) => text.replace(/.{64}/g, `$&${end}`);
const read = (given: string) => mimeBase64(1_000).safeParse(given);

describe('base64 as clients of Graph write it', () => {
  test.each([
    ['in one line', text],
    ['in lines', inLines('\n')],
    ['in lines of Windows', inLines('\r\n')],
    ['in lines with blanks and tabs at their ends', inLines(' \t\n')],
    ['in a line that ends', `${text}\n`],
    ['in lines of 76 characters (RFC 2045)', text.replace(/.{76}/g, '$&\r\n')],
    ['without padding', text.replace(/=+$/, '')],
    ['in lines without padding', `${inLines('\n').replace(/=+$/, '')}\n`],
    ['with its padding in a line of its own', text.replace(/=+$/, '\n$&')],
  ])('is read %s', (_, given) => {
    expect(read(given).data).toEqual(bytes);
  });

  test('may stand for nothing', () => {
    expect(read('').data).toEqual(Buffer.alloc(0));
  });

  test.each([
    ['other characters', 'AA!A'],
    ['the alphabet of URLs', 'AA-_'],
    ['padding in its middle', 'AA==AAAA'],
    ['too much padding', 'AAA=='],
    ['padding to no group of four', 'AAAA='],
    ['three signs of padding', 'A==='],
    ['a single character', 'AAAAA'],
    ['U+0000', 'AAAA\0'],
    ['another kind of blank', 'AAAA\u00a0AAAA'],
    ['a PEM file around it', `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`],
    ['more than there can be', 'A'.repeat(1_004)],
  ])('is refused with %s', (_, given) => {
    expect(read(given).success).toBe(false);
  });
});
