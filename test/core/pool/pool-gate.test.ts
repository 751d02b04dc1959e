import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import { ACTIONS, action } from '../../../src/core/access/actions.ts';
import { createPoolGate, requireServed } from '../../../src/core/pool/pool-gate.ts';
import { FakeChangeFeed } from '../../support/fakes/change-feed.ts';

const OPEN = { isActive: true, isRestoring: false, isDeleted: false };
const USES = ACTIONS.filter((name) => /managedHsm\/(?:keys|rng)\//.test(name));

function openGate(state = OPEN) {
  const feed = new FakeChangeFeed();
  const pool = { state, reads: 0 };
  const gate = createPoolGate(feed, () => {
    pool.reads += 1;
    return nextTurn(pool.state);
  });
  return { gate, feed, pool };
}

describe('what is remembered of a pool', () => {
  test('is that it is open, once it has been read', async () => {
    const { gate, pool } = openGate();
    expect(gate.isOpen).toBe(false);
    await gate.read();
    expect([gate.isOpen, gate.isOpen, pool.reads]).toEqual([true, true, 1]);
  });

  test.each([
    ['not active', { ...OPEN, isActive: false }],
    ['being restored', { ...OPEN, isRestoring: true }],
    ['deleted', { ...OPEN, isDeleted: true }],
  ])('is not that it is %s: that is read anew each time', async (_what, state) => {
    const { gate, pool } = openGate(state);
    await gate.read();
    expect(gate.isOpen).toBe(false);
    pool.state = OPEN;
    await gate.read();
    expect(gate.isOpen).toBe(true);
  });

  test.each([{ topic: 'pool', id: '*' } as const, 'reset' as const])(
    'is forgotten at %p, and so is what was being read then',
    async (change) => {
      const { gate, feed, pool } = openGate();
      await gate.read();
      feed.publish({ topic: 'key', id: 'k' });
      expect(gate.isOpen).toBe(true);
      const reading = gate.read();
      // The read has begun, and not ended.
      await Promise.resolve();
      feed.publish(change);
      expect(gate.isOpen).toBe(false);
      await reading;
      expect(gate.isOpen).toBe(false);
      await gate.read();
      expect([gate.isOpen, pool.reads]).toEqual([true, 3]);
    },
  );

  test('is not believed while the feed is cut off', async () => {
    const { gate, feed } = openGate();
    await gate.read();
    feed.coherent = false;
    expect(gate.isOpen).toBe(false);
  });
});

describe('a pool that is not activated', () => {
  const { gate } = openGate({ ...OPEN, isActive: false });

  test.each(USES)('refuses %s, and says what to do', async (name) => {
    await expect(requireServed(gate, { action: name })).rejects.toMatchObject({
      code: 'PoolNotActivated',
      message: expect.stringContaining('security-domain download') as unknown,
    });
  });

  test('answers what says so, though it takes an action of keys', async () => {
    const request = { action: action('keys/read/action'), beforeActivation: true };
    await expect(requireServed(gate, request)).resolves.toBeUndefined();
  });

  test.each(ACTIONS.filter((name) => !USES.includes(name)))('allows %s', async (name) => {
    await expect(requireServed(gate, { action: name })).resolves.toBeUndefined();
  });
});

test('a pool that is being restored answers nothing but what says how far that is', async () => {
  const { gate } = openGate({ ...OPEN, isRestoring: true });
  for (const name of ACTIONS)
    await expect(requireServed(gate, { action: name })).rejects.toMatchObject({
      code: 'PoolRestoring',
    });
  await requireServed(gate, { action: action('restore/status/action'), whileRestoring: true });
});
