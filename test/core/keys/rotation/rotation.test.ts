import { describe, expect, test } from '@jest/globals';
import {
  dueTimes,
  expiryOf,
  parseRotationPolicy,
  type RotationPolicy,
} from '../../../../src/core/keys/rotation/rotation.ts';

const NOW = Date.parse('2026-11-24T00:00:00Z') / 1000;
const DAY = 86_400;
const rotate = (trigger: object) => ({ type: 'Rotate', ...trigger });
const notify = (trigger: object) => ({ type: 'Notify', ...trigger });

describe('a rotation policy', () => {
  test.each([
    ['rotation after creation', { actions: [rotate({ timeAfterCreate: 'P28D' })] }],
    [
      'rotation before expiry',
      { actions: [rotate({ timeBeforeExpiry: 'P28D' })], expiryTime: 'P56D' },
    ],
    [
      'both kinds',
      {
        actions: [rotate({ timeAfterCreate: 'P18M' }), notify({ timeBeforeExpiry: 'P30D' })],
        expiryTime: 'P2Y',
      },
    ],
    ['a kind in another case', { actions: [{ type: 'ROTATE', timeAfterCreate: 'P90D' }] }],
    ['notice without expiryTime', { actions: [notify({ timeBeforeExpiry: 'P7D' })] }],
    ['expiryTime alone', { actions: [], expiryTime: 'P28D' }],
  ])('with %s is taken', (_what, policy) => {
    expect(parseRotationPolicy(policy, NOW)).toBeDefined();
  });

  test('that is blank takes the present one away', () => {
    expect(parseRotationPolicy({ actions: [] }, NOW)).toBeUndefined();
  });

  test.each([
    ['27 days after creation', { actions: [rotate({ timeAfterCreate: 'P27D' })] }],
    ['an expiry of 27 days', { actions: [], expiryTime: 'P27D' }],
    [
      '29 days before an expiry of 56',
      { actions: [rotate({ timeBeforeExpiry: 'P29D' })], expiryTime: 'P56D' },
    ],
    [
      'notice 29 days before an expiry of 56',
      { actions: [notify({ timeBeforeExpiry: 'P29D' })], expiryTime: 'P56D' },
    ],
    [
      'rotation before an expiry that is not set',
      { actions: [rotate({ timeBeforeExpiry: 'P28D' })] },
    ],
    [
      'rotation after the expiry',
      { actions: [rotate({ timeAfterCreate: 'P1Y' })], expiryTime: 'P6M' },
    ],
    [
      'both triggers',
      {
        actions: [rotate({ timeAfterCreate: 'P90D', timeBeforeExpiry: 'P30D' })],
        expiryTime: 'P1Y',
      },
    ],
    ['no trigger', { actions: [rotate({})] }],
    ['an unknown action', { actions: [{ type: 'Destroy', timeAfterCreate: 'P90D' }] }],
    [
      'two rotations',
      { actions: [rotate({ timeAfterCreate: 'P90D' }), rotate({ timeAfterCreate: 'P60D' })] },
    ],
    ['no duration', { actions: [rotate({ timeAfterCreate: '90 days' })] }],
  ])('with %s is refused', (_what, policy) => {
    expect(() => parseRotationPolicy(policy, NOW)).toThrow(
      expect.objectContaining({ code: 'BadParameter' }),
    );
  });
});

describe('a key is due', () => {
  const policy = (actions: RotationPolicy['actions'], expiryTime?: string): RotationPolicy => ({
    actions,
    ...(expiryTime !== undefined && { expiryTime }),
    created: NOW,
    updated: NOW,
  });
  const both = policy([
    { type: 'Rotate', trigger: 'timeAfterCreate', time: 'P90D' },
    { type: 'Notify', trigger: 'timeBeforeExpiry', time: 'P30D' },
  ]);
  const attributes = { enabled: true, created: NOW, updated: NOW };

  test('after its creation and before its expiry', () => {
    expect(dueTimes(both, { ...attributes, expires: NOW + 100 * DAY })).toEqual({
      rotateAt: NOW + 90 * DAY,
      notifyAt: NOW + 70 * DAY,
    });
  });
  test('for nothing before an expiry that it has not', () => {
    expect(dueTimes(both, attributes)).toEqual({ rotateAt: NOW + 90 * DAY });
  });
  test('for nothing while it is disabled', () => {
    expect(dueTimes(both, { ...attributes, enabled: false })).toEqual({});
  });
  test('to expire as the policy says', () => {
    expect(expiryOf(policy([], 'P1Y'), NOW)).toBe(Date.parse('2027-11-24T00:00:00Z') / 1000);
    expect(expiryOf(policy([]), NOW)).toBeUndefined();
    expect(expiryOf(undefined, NOW)).toBeUndefined();
  });
});
