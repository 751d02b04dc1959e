import { describe, expect, test } from '@jest/globals';
import type { Session } from 'graphene-pk11';
import { setTimeout as delay } from 'node:timers/promises';
import { pkcs11Error } from '../../../src/hsm/module/return-values.ts';
import { SessionPool } from '../../../src/hsm/module/session-pool.ts';
import { openTestHsm, testIdentity } from '../../support/hsm.ts';

/** Sessions that only count: what the pool does with them is what is promised here. */
function countingPool(options: {
  size: number;
  waitMs?: number;
  waitingLimit?: number;
  inRounds?: boolean;
}) {
  const counts = { opened: 0, closed: 0, inUse: 0, mostInUse: 0 };
  const pool = new SessionPool({
    size: options.size,
    waitMs: options.waitMs ?? 1_000,
    waitingLimit: options.waitingLimit ?? 100,
    inRounds: options.inRounds ?? false,
    open: () => {
      counts.opened += 1;
      return { close: () => (counts.closed += 1) } as unknown as Session;
    },
  });
  const work = (ms = 5) =>
    pool.withSession(async () => {
      counts.inUse += 1;
      counts.mostInUse = Math.max(counts.mostInUse, counts.inUse);
      await delay(ms);
      counts.inUse -= 1;
    });
  return { pool, counts, work };
}

describe('the session pool', () => {
  test('never has more leases than sessions, and uses sessions again', async () => {
    const { counts, work } = countingPool({ size: 3 });
    await Promise.all(Array.from({ length: 30 }, () => work()));
    expect(counts).toMatchObject({ opened: 3, closed: 0, mostInUse: 3 });
  });

  test('refuses with HsmBusy who waits too long, and serves the others', async () => {
    const { work } = countingPool({ size: 1, waitMs: 20 });
    const first = work(100);
    await expect(work()).rejects.toMatchObject({ code: 'HsmBusy' });
    await first;
    await work();
  });

  test('refuses with HsmBusy at once when too many wait', async () => {
    const { pool, work } = countingPool({ size: 1, waitingLimit: 2 });
    const busy = [work(), work(), work()];
    await expect(work()).rejects.toMatchObject({ code: 'HsmBusy' });
    expect(pool.status).toEqual({ open: 1, inUse: 1, waiting: 2 });
    await Promise.all(busy);
    expect(pool.status).toEqual({ open: 1, inUse: 0, waiting: 0 });
  });

  test.each([
    ['CKR_SESSION_HANDLE_INVALID', 0xb3, 1],
    ['CKR_DEVICE_ERROR', 0x30, 1],
    ['CKR_OPERATION_NOT_INITIALIZED', 0x91, 1],
    ['what only its vendor knows', 0x80000123, 1],
    ['CKR_DATA_INVALID', 0x20, 0],
    ['an error whose text says CKR_DEVICE_ERROR', undefined, 0],
  ])('after %s (%s) the session is dropped %d times', async (name, code, dropped) => {
    const { pool, counts, work } = countingPool({ size: 1 });
    const error = code === undefined ? new Error('CKR_DEVICE_ERROR') : pkcs11Error(name, code);
    await expect(pool.withSession(() => Promise.reject(error))).rejects.toBe(error);
    expect(counts.closed).toBe(dropped);
    await work();
    expect(counts.opened).toBe(1 + dropped);
  });

  test('a waiting caller gets the session that replaces a dropped one', async () => {
    const { pool, work } = countingPool({ size: 1 });
    const failing = pool.withSession(async () => {
      await delay(5);
      throw pkcs11Error('CKR_SESSION_CLOSED', 0xb0);
    });
    const waiting = work();
    await expect(failing).rejects.toThrow();
    await waiting;
  });

  test('closed, it refuses who waits and who comes, and closes what comes back', async () => {
    const { pool, counts, work } = countingPool({ size: 1 });
    const running = work(20);
    const waiting = work();
    const closed = pool.close();
    await expect(waiting).rejects.toMatchObject({ code: 'HsmUnavailable' });
    await expect(work()).rejects.toMatchObject({ code: 'HsmUnavailable' });
    await running;
    await closed;
    expect(counts.closed).toBe(1);
  });
});

describe('a session pool that works in rounds', () => {
  test('waits until the event loop has gone round, then goes from hand to hand', async () => {
    // A round ends after two milliseconds, in which a busy machine may do nothing at all: not ten times, one after the other.
    for (let tries = 1; ; tries += 1) {
      const { pool } = countingPool({ size: 1, inRounds: true });
      const seen: string[] = [];
      const work = (name: string) =>
        pool.withSession(() => {
          seen.push(name);
          return Promise.resolve();
        });
      const first = work('first');
      const later = new Promise<void>((resolve) => {
        setImmediate(() => {
          seen.push('what came in later');
          resolve();
        });
      });
      const others = [work('second'), work('third')];
      expect(seen).toEqual([]);
      await Promise.all([first, ...others, later]);
      if (seen.at(-1) !== 'what came in later' && tries < 10) continue;
      expect(seen).toEqual(['first', 'second', 'third', 'what came in later']);
      return;
    }
  });

  test('leaves the event loop to others while a crowd is served', async () => {
    const { pool } = countingPool({ size: 1, inRounds: true });
    let rounds = 0;
    let isDone = false;
    const goRound = () => {
      rounds += 1;
      if (!isDone) setImmediate(goRound);
    };
    setImmediate(goRound);
    const busy = () =>
      pool.withSession(() => {
        for (const end = performance.now() + 1; performance.now() < end;);
        return Promise.resolve(rounds);
      });
    const seen = await Promise.all(Array.from({ length: 20 }, busy));
    isDone = true;
    expect(new Set(seen).size).toBeGreaterThanOrEqual(5);
  });

  test('keeps its promises to those who wait, and to those who may not', async () => {
    const { pool, work, counts } = countingPool({
      size: 2,
      inRounds: true,
      waitMs: 20,
      waitingLimit: 3,
    });
    const first = [work(100), work(100)];
    await delay(5);
    const late = [work(), work(), work()];
    await expect(work()).rejects.toMatchObject({ code: 'HsmBusy' });
    for (const one of late) await expect(one).rejects.toMatchObject({ code: 'HsmBusy' });
    await Promise.all(first);
    await Promise.all([work(), work(), work()]);
    expect(counts).toMatchObject({ opened: 2, mostInUse: 2 });
    expect(pool.status).toEqual({ open: 2, inUse: 0, waiting: 0 });
  });
});

describe('a device that is lost', () => {
  test('comes back by itself: the library is initialised anew, and whoever comes meanwhile waits for it', async () => {
    const messages: string[] = [];
    const { hsm, poolId } = openTestHsm({ log: (_level, message) => messages.push(message) });
    const { loadModule } = await import('../../../src/hsm/module/library.ts');
    const { testToken } = await import('../../support/softhsm.ts');
    try {
      const key = await hsm.generateKey(testIdentity(poolId, 'survivor'), {
        keyType: 'oct-HSM',
        bits: 256,
      });
      const before = await hsm.sign(key, 'HS256', Buffer.from('x'));
      // Finalises the library behind the service's back: every session, login and handle is void.
      // Behind the service's back: every session, login and handle is void.
      loadModule(testToken().module).finalize();
      expect(await hsm.sign(key, 'HS256', Buffer.from('x'))).toEqual(before);
      expect(messages).toEqual(['the HSM is lost: the connection is made anew', 'the HSM is back']);
    } finally {
      await hsm.close();
    }
  });

  test('is found to be lost when all its sessions and the login are gone, and comes back', async () => {
    const { hsm, poolId } = openTestHsm({ sessions: 1 });
    const { openToken } = await import('../../../src/hsm/module/token.ts');
    const { testToken } = await import('../../support/softhsm.ts');
    try {
      const key = await hsm.generateKey(testIdentity(poolId, 'closed'), {
        keyType: 'oct-HSM',
        bits: 256,
      });
      await hsm.sign(key, 'HS256', Buffer.from('x'));
      const onlooker = openToken(testToken());
      onlooker.slot.closeAll();
      const outcome = await hsm.sign(key, 'HS256', Buffer.from('x')).then(
        () => 'signed',
        (error: unknown) => (error as { code?: string }).code,
      );
      // All sessions gone means the login is gone too: at worst one operation is refused, and the next ones work.
      expect(['signed', 'HsmUnavailable']).toContain(outcome);
      let recovered = false;
      for (let turn = 0; turn < 100 && !recovered; turn += 1) {
        await delay(50);
        recovered = await hsm.sign(key, 'HS256', Buffer.from('x')).then(
          () => true,
          () => false,
        );
      }
      expect(recovered).toBe(true);
    } finally {
      await hsm.close();
    }
  });
});
