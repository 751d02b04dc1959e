import { describe, expect, test } from '@jest/globals';
import { KeyCalls } from '../../src/hsm/key-calls.ts';
import type { Connection } from '../../src/hsm/module/connection.ts';
import { connectionClosed } from '../../src/hsm/module/errors.ts';
import { LiveConnection } from '../../src/hsm/module/live-connection.ts';
import { pkcs11Error } from '../../src/hsm/module/return-values.ts';

/** Calls on a token that is lost at the first probe, and back at once. */
function callsOnLostToken() {
  return callsOnToken(false);
}

function callsOnToken(isFirstWell: boolean) {
  const connection = (isWell: boolean) =>
    ({
      close: () => Promise.resolve(),
      isWell: () => Promise.resolve(isWell),
      capabilities: { module: 'a module' },
    }) as unknown as Connection;
  const first = connection(isFirstWell);
  const live = new LiveConnection(first, {
    waitMs: 5_000,
    waitingLimit: 10,
    log: () => undefined,
    reconnect: () => connection(true),
  });
  return { calls: new KeyCalls(live), first, live };
}

const deviceError = () => pkcs11Error('CKR_DEVICE_ERROR', 0x30);

describe('what must not be done twice', () => {
  test('is not, where it had begun when the token was lost', async () => {
    const { calls } = callsOnLostToken();
    let runs = 0;
    const work = () => {
      runs += 1;
      return Promise.reject(deviceError());
    };
    await expect(calls.attempt(work, false)).rejects.toMatchObject({ code: 'HsmUnavailable' });
    expect(runs).toBe(1);
  });

  test('is done on the fresh connection where it only waited for a session of the lost one', async () => {
    const { calls, first, live } = callsOnLostToken();
    const on: Connection[] = [];
    const work = async (connection: Connection) => {
      on.push(connection);
      if (connection !== first) return 'made';
      live.lose(first);
      await Promise.resolve();
      throw connectionClosed();
    };
    expect(await calls.attempt(work, false)).toBe('made');
    expect(on).toHaveLength(2);
  });

  test('is given up where the connection is lost each time', async () => {
    const { calls, live } = callsOnLostToken();
    let runs = 0;
    const work = async (connection: Connection) => {
      runs += 1;
      live.lose(connection);
      await Promise.resolve();
      throw connectionClosed();
    };
    await expect(calls.attempt(work, false)).rejects.toMatchObject({ code: 'HsmUnavailable' });
    expect(runs).toBe(2);
    await live.close();
  });
});

test('what does no harm twice is done once more on the fresh connection', async () => {
  const { calls, first } = callsOnLostToken();
  const work = (connection: Connection) =>
    connection === first ? Promise.reject(deviceError()) : Promise.resolve('done');
  expect(await calls.attempt(work, true)).toBe('done');
});

describe('on a token that is well', () => {
  /** Fails so many times. */
  function failing(times: number) {
    const runs = { count: 0 };
    const work = () => {
      runs.count += 1;
      return runs.count > times ? Promise.resolve('done') : Promise.reject(deviceError());
    };
    return { work, runs };
  }

  test('a fault that passes refuses nothing that may be done again', async () => {
    const { work } = failing(2);
    expect(await callsOnToken(true).calls.attempt(work, true)).toBe('done');
  });

  test('one that stays is told after three attempts', async () => {
    const { work, runs } = failing(3);
    await expect(callsOnToken(true).calls.attempt(work, true)).rejects.toMatchObject({
      code: 'HsmUnavailable',
    });
    expect(runs.count).toBe(3);
  });

  test('what must not be done twice is done once', async () => {
    const { work, runs } = failing(1);
    await expect(callsOnToken(true).calls.attempt(work, false)).rejects.toThrow();
    expect(runs.count).toBe(1);
  });
});
