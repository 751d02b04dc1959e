import { describe, expect, test } from '@jest/globals';
import type { Connection } from '../../../src/hsm/module/connection.ts';
import { LiveConnection } from '../../../src/hsm/module/live-connection.ts';

/** What is asked of a connection here: that it closes. */
const connection = () => ({ close: () => Promise.resolve() }) as Connection;

/** One whose token comes back when `comeBack` is called, and not before; how often that was tried. */
function lost(waitMs: number) {
  const first = connection();
  const fresh = connection();
  const state = { isBack: false, tries: 0, atOnce: 0 };
  const live = new LiveConnection(first, {
    waitMs,
    waitingLimit: 3,
    log: () => undefined,
    async reconnect() {
      state.tries += 1;
      state.atOnce += 1;
      await Promise.resolve();
      expect(state.atOnce).toBe(1);
      state.atOnce -= 1;
      if (!state.isBack) throw new Error('away');
      return fresh;
    },
  });
  live.lose(first);
  return {
    live,
    first,
    fresh,
    state,
    comeBack: () => {
      state.isBack = true;
    },
  };
}

/** As the HSM's callers do it: what is thrown at once rejects too. */
const restored = async (live: LiveConnection, line?: string) => await live.restored(line);

const UNAVAILABLE = { code: 'HsmUnavailable' };

describe('a connection that is lost', () => {
  test('is given to all who wait once it is restored, and is restored by one attempt at a time', async () => {
    const { live, first, fresh, state, comeBack } = lost(5_000);
    live.lose(first);
    const waiting = [restored(live), restored(live), restored(live)];
    comeBack();
    expect(await Promise.all(waiting)).toEqual([fresh, fresh, fresh]);
    expect(await restored(live)).toBe(fresh);
    expect(state.tries).toBe(1);
    // Who was slow to find the first one lost says nothing of the second.
    live.lose(first);
    expect(live.current).toBe(fresh);
    await live.close();
  });

  test('is waited for so long and no longer', async () => {
    const { live } = lost(50);
    const began = performance.now();
    await expect(restored(live)).rejects.toMatchObject(UNAVAILABLE);
    expect(performance.now() - began).toBeGreaterThan(45);
    await live.close();
  });

  test('is waited for by so many and no more', async () => {
    const { live, fresh, comeBack } = lost(5_000);
    const waiting = [restored(live), restored(live), restored(live)];
    await expect(restored(live)).rejects.toMatchObject(UNAVAILABLE);
    comeBack();
    expect(await Promise.all(waiting)).toEqual([fresh, fresh, fresh]);
    await live.close();
  });

  test('is waited for in lines, and none of them takes the places of another', async () => {
    const { live, fresh, comeBack } = lost(5_000);
    const many = [restored(live, 'many'), restored(live, 'many'), restored(live, 'many')];
    const refused = many.map((waiting) =>
      waiting.then(
        () => 'served',
        (error: unknown) => (error as { code: string }).code,
      ),
    );
    const one = restored(live, 'one');
    await expect(restored(live, 'many')).rejects.toMatchObject(UNAVAILABLE);
    comeBack();
    expect(await one).toBe(fresh);
    expect(await Promise.all(refused)).toEqual(['served', 'served', UNAVAILABLE.code]);
  });

  test('is waited for by nobody once it is closed', async () => {
    const { live } = lost(5_000);
    const waiting = restored(live);
    await Promise.all([live.close(), expect(waiting).rejects.toMatchObject(UNAVAILABLE)]);
    await expect(restored(live)).rejects.toMatchObject(UNAVAILABLE);
  });
});
