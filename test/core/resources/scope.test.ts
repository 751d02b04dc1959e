import { describe, expect, test } from '@jest/globals';
import {
  coveringScopes,
  groupScope,
  isWithin,
  managedHsmScope,
  parseControlScope,
  subscriptionScope,
} from '../../../src/core/resources/scope.ts';
import {
  isManagedHsmName,
  parseGroupName,
  parseLocation,
} from '../../../src/core/resources/names.ts';

const ID = '8e3af657-a8ff-443c-a75c-2fe8c4bcb635';
const HSM = managedHsmScope(ID.toUpperCase(), 'Keys', 'Payroll');

describe('a scope of the control plane', () => {
  test('is covered by those above it, widest first', () => {
    expect(coveringScopes(HSM)).toEqual(['/', subscriptionScope(ID), groupScope(ID, 'keys'), HSM]);
    expect(coveringScopes(subscriptionScope(ID))).toEqual(['/', subscriptionScope(ID)]);
    expect(coveringScopes('/')).toEqual(['/']);
  });

  test('is not within another that begins as it does', () => {
    expect(isWithin(groupScope(ID, 'keys-2'), groupScope(ID, 'keys'))).toBe(false);
    expect(isWithin(groupScope(ID, 'keys'), groupScope(ID, 'KEYS'))).toBe(true);
  });

  test.each([
    ['/', '/'],
    [`/SUBSCRIPTIONS/${ID.toUpperCase()}`, subscriptionScope(ID)],
    [`/subscriptions/${ID}/resourcegroups/KEYS`, groupScope(ID, 'keys')],
    [
      `/subscriptions/${ID}/resourceGroups/keys/providers/microsoft.keyvault/managedhsms/PAYROLL`,
      HSM,
    ],
  ])('is read from %s', (text, scope) => {
    expect(parseControlScope(text)).toBe(scope);
  });

  test.each([
    '',
    '/keys',
    '/subscriptions/x',
    `/subscriptions/${ID}/`,
    `/subscriptions/${ID}/keys`,
  ])('is not read from %p', (text) => {
    expect(() => parseControlScope(text)).toThrow('A scope is /');
  });
});

describe('names', () => {
  test.each([
    ['abc', true],
    ['A-1', true],
    ['a1-b2', true],
    ['ab', false],
    ['1abc', false],
    ['a--b', false],
    ['abc-', false],
    ['a.b', false],
    ['a'.repeat(24), true],
    ['a'.repeat(25), false],
  ])('%s is one of a Managed HSM: %p', (name, expected) => {
    expect(isManagedHsmName(name)).toBe(expected);
  });

  test.each(['a', 'Keys (1)_x-2', 'ключи', 'a.b', 'a'.repeat(90)])(
    '%s is one of a group',
    (name) => {
      const written = name.replace(' ', '');
      expect(parseGroupName(written)).toBe(written);
    },
  );

  test.each(['', 'a.', 'a b', 'a/b', 'a'.repeat(91)])('%p is none of a group', (name) => {
    expect(() => parseGroupName(name)).toThrow('The name of a resource group');
  });

  test('of locations are the same with and without spaces', () => {
    expect(parseLocation('West US 2')).toBe('westus2');
    expect(() => parseLocation('west/us')).toThrow('A location');
  });
});
