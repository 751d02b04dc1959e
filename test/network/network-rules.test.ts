import { describe, expect, test } from '@jest/globals';
import type { NetworkRules } from '../../src/core/pool/network-rules.ts';
import { admitting, isAddressRange } from '../../src/network/network-rules.ts';

const rules = (...ipRules: string[]): NetworkRules => ({
  publicAccess: true,
  defaultAction: 'Deny',
  bypass: 'AzureServices',
  ipRules,
});

describe('network rules', () => {
  test.each([
    ['192.0.2.1', '192.0.2.1', true],
    ['192.0.2.1', '192.0.2.2', false],
    ['192.0.2.0/24', '192.0.2.255', true],
    ['192.0.2.0/24', '192.0.3.0', false],
    ['192.0.2.0/24', '::ffff:192.0.2.7', true],
    ['192.0.2.0/24', '2001:db8::1', false],
    ['2001:db8::/32', '2001:db8::1', true],
    ['2001:db8::/32', '192.0.2.1', false],
    ['0.0.0.0/0', '203.0.113.9', true],
    ['192.0.2.1', 'no address', false],
  ])('of %s say of %s: %p', (rule, address, expected) => {
    expect(admitting(rules(rule))?.(address)).toBe(expected);
  });

  test('that name nobody let nobody in, and those that allow by default everybody', () => {
    expect(admitting(rules())?.('127.0.0.1')).toBe(false);
    expect(admitting({ ...rules('192.0.2.1'), defaultAction: 'Allow' })).toBeUndefined();
    expect(admitting(null)).toBeUndefined();
  });

  test('without public access let nobody in, whatever they say besides', () => {
    const closed = { ...rules('0.0.0.0/0'), publicAccess: false, defaultAction: 'Allow' } as const;
    expect(admitting(closed)?.('192.0.2.1')).toBe(false);
  });

  test.each([
    ['192.0.2.1', true],
    ['192.0.2.0/24', true],
    ['2001:db8::/32', true],
    ['192.0.2.0/33', false],
    ['example.com', false],
    ['', false],
    ['192.0.2.1-192.0.2.9', false],
  ])('can have %s: %p', (text, expected) => {
    expect(isAddressRange(text)).toBe(expected);
  });
});
