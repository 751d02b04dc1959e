import { describe, expect, test } from '@jest/globals';
import { setTimeout as delay } from 'node:timers/promises';
import { GenerationQueue } from '../../../src/hsm/keys/generation-queue.ts';

function queueOf(limits: { ofOne?: number; waiting?: number; waitMs?: number } = {}) {
  const queue = new GenerationQueue({ ofOne: 3, waiting: 4, waitMs: 10_000, ...limits });
  const seen: string[] = [];
  let running = 0;
  const make = (by: string | undefined, ms = 1) =>
    queue.take(by, async () => {
      running += 1;
      expect(running).toBe(1);
      await delay(ms);
      running -= 1;
      seen.push(by ?? 'service');
    });
  return { make, seen };
}

describe('keys are made one at a time', () => {
  test('for one party after the other, however many one of them wants', async () => {
    const { make, seen } = queueOf();
    await Promise.all([make('a'), make('a'), make('a'), make('b'), make(undefined)]);
    expect(seen).toEqual(['a', 'a', 'b', 'service', 'a']);
  });

  test('whoever wants more than his share at once is refused, and nobody else', async () => {
    const { make, seen } = queueOf();
    const first = [make('a'), make('a'), make('a')];
    await expect(make('a')).rejects.toMatchObject({ code: 'Overloaded' });
    await Promise.all([...first, make('b')]);
    expect(seen).toHaveLength(4);
    await make('a');
  });

  test('where too many wait, the last one of who has most gives way', async () => {
    const { make, seen } = queueOf({ ofOne: 10 });
    const all = [make('a'), make('a'), make('a'), make('a'), make('a'), make('b')];
    const outcomes = await Promise.allSettled(all);
    expect(outcomes.map(({ status }) => status === 'fulfilled')).toEqual([
      true,
      true,
      true,
      true,
      false,
      true,
    ]);
    expect(outcomes[4]).toMatchObject({ reason: { code: 'HsmBusy' } });
    expect(seen).toHaveLength(5);
  });

  test('whoever waits too long is refused, and does not come up later', async () => {
    const { make, seen } = queueOf({ waitMs: 20 });
    const slow = make('a', 100);
    await expect(make('b')).rejects.toMatchObject({ code: 'HsmBusy' });
    await slow;
    await make('c');
    expect(seen).toEqual(['a', 'c']);
  });

  test('one that fails is followed by the next', async () => {
    const { make, seen } = queueOf();
    const queue = new GenerationQueue({ ofOne: 2, waiting: 2, waitMs: 1_000 });
    const failing = queue.take('a', () => Promise.reject(new Error('no')));
    const next = queue.take('a', () => make('a'));
    await expect(failing).rejects.toThrow('no');
    await next;
    expect(seen).toEqual(['a']);
  });
});
