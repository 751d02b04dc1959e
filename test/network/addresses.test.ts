import { describe, expect, test } from '@jest/globals';
import { addressOf, isLoopbackAddress, isPublicAddress } from '../../src/network/addresses.ts';

describe('an address', () => {
  test.each([
    '1.1.1.1',
    '93.184.215.14',
    '172.32.0.1',
    '100.128.0.1',
    '2606:4700::1111',
    '2a00::1',
  ])('%s is public', (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });

  test.each([
    ...['127.0.0.1', '127.255.255.255', '0.0.0.0', '0.1.2.3', '10.1.2.3', '172.16.0.1'],
    ...['172.31.255.255', '192.168.0.1', '169.254.169.254', '100.64.0.1', '100.127.255.255'],
    ...['224.0.0.1', '239.1.1.1', '240.0.0.1', '255.255.255.255', '192.0.0.1', '192.0.2.1'],
    ...['198.18.0.1', '198.51.100.1', '203.0.113.1', '192.88.99.1'],
    ...['::', '::1', 'fe80::1', 'fe80::1%eth0', 'fec0::1', 'fc00::1', 'fd00::1', 'ff02::1'],
    ...['::ffff:127.0.0.1', '::ffff:1.1.1.1', '::ffff:7f00:1', '::127.0.0.1', '::1.1.1.1'],
    ...[
      '64:ff9b::a9fe:a9fe',
      '64:ff9b::1.1.1.1',
      '64:ff9b:1::1',
      '2002:7f00:1::',
      '2002:0101:101::',
    ],
    ...['2001::1', '2001:db8::1', '100::1', '3fff::1', '5f00::1', 'localhost', ''],
  ])('%j is not', (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });

  test.each([
    ['2130706433', '127.0.0.1'],
    ['0x7f000001', '127.0.0.1'],
    ['0177.0.0.1', '127.0.0.1'],
    ['127.1', '127.0.0.1'],
    ['0', '0.0.0.0'],
    ['0xa9fea9fe', '169.254.169.254'],
    ['169.254.43518', '169.254.169.254'],
    ['\uff11\uff12\uff17.0.0.1', '127.0.0.1'],
    ['127.0.0.1.', '127.0.0.1'],
    ['[::1]', '::1'],
    ['[::FFFF:127.0.0.1]', '::ffff:7f00:1'],
  ])('may be spelled %s in a URL', (spelling, address) => {
    expect(addressOf(spelling)).toBe(address);
  });

  test.each(['localhost', 'a.example', '256.1.1.1', '1.2.3.4.5', '', '[fe80::1%25eth0]'])(
    '%j is none',
    (text) => {
      expect(addressOf(text)).toBeUndefined();
    },
  );

  test.each([
    ['127.0.0.1', true],
    ['127.8.9.10', true],
    ['::1', true],
    ['::ffff:127.0.0.1', true],
    ['0.0.0.0', false],
    ['10.0.0.1', false],
    ['localhost', false],
  ])('%s is of this machine: %s', (address, expected) => {
    expect(isLoopbackAddress(address)).toBe(expected);
  });
});
