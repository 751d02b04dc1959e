import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, describe, expect, test } from '@jest/globals';
import { ServiceError } from '../../src/core/errors.ts';
import { parseKeyName } from '../../src/core/keys/key.ts';
import { openDatabase } from '../../src/store/database.ts';
import { fromPostgres } from '../../src/store/errors.ts';
import { createKeyReader } from '../../src/store/keys/key-reader.ts';
import {
  makePool,
  openConnections,
  openStoreDatabase,
  processOf,
  withClient,
} from '../support/store.ts';

const database = await openStoreDatabase();
const { db, serviceUrl } = database;
afterAll(() => database.close());

const name = parseKeyName('key');

describe('connections that wait in the pool', () => {
  test('may all die: the next request gets a fresh one, and the log hears of it', async () => {
    const pool = await makePool(db);
    const broken: Error[] = [];
    const connections = openDatabase({
      url: serviceUrl,
      connections: 4,
      onIdleError: (error) => broken.push(error),
    });
    const keys = createKeyReader(processOf(connections, pool));
    await Promise.all([1, 2, 3, 4].map(() => keys.findKey(name)));
    await withClient(serviceUrl, (client) =>
      client.query(`select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name = 'strongroom'
          and state = 'idle' and pid <> pg_backend_pid()`),
    );
    while (broken.length < 4) await delay(10);
    await delay(50);
    await expect(Promise.all([1, 2, 3, 4].map(() => keys.findKey(name)))).resolves.toEqual(
      Array(4).fill(undefined),
    );
    await connections.destroy();
  });

  test('are at most as many as were asked for', async () => {
    const pool = await makePool(db);
    const connections = openConnections(serviceUrl, 3);
    const keys = createKeyReader(processOf(connections, pool));
    await withClient(serviceUrl, async (client) => {
      const own = `datname = current_database() and application_name = 'strongroom'`;
      const count = async () =>
        Number((await client.query(`select from pg_stat_activity where ${own}`)).rowCount);
      const before = await count();
      await Promise.all(Array.from({ length: 50 }, () => keys.findKey(name)));
      expect((await count()) - before).toBeLessThanOrEqual(3);
    });
    await connections.destroy();
  });
});

describe('an error', () => {
  test('of the service passes as it is', () => {
    const error = new ServiceError('KeyIsDeleted', 'it is deleted');
    expect(fromPostgres(error)).toBe(error);
  });

  test.each([
    new TypeError('x is not a function'),
    new Error('Connection terminated: a timeout of ours'),
    'thrown text',
    undefined,
  ])('of our own, %p, passes as it is', (error) => {
    expect(fromPostgres(error)).toBe(error);
  });

  test.each([
    'ECONNREFUSED',
    'EAGAIN',
    'ECONNRESET',
    'ENOENT',
    'EPIPE',
    'ETIMEDOUT',
    'ENOTFOUND',
    'EAI_AGAIN',
    'ENETUNREACH',
  ])('of the network, %s, means that the store is unavailable, and is kept for the log', (code) => {
    const error = Object.assign(new Error('secret host name'), { code });
    const seen = fromPostgres(error);
    expect(seen).toMatchObject({ code: 'StoreUnavailable', cause: error });
    expect((seen as Error).message).not.toContain('secret');
  });

  test.each([
    ['a statement that takes too long', 'set statement_timeout = 20; select pg_sleep(5)', '57014'],
    [
      'a lock that takes too long',
      'set lock_timeout = 20; begin; lock table key in access exclusive mode',
      '55P03',
    ],
  ])('of %s means that the store is unavailable', async (_, statement, code) => {
    const error: unknown = await withClient(database.ownerUrl, async (holder) => {
      await holder.query('begin; lock table key in access share mode');
      return withClient(database.ownerUrl, (client) => client.query(statement)).catch(
        (failure: unknown) => failure,
      );
    });
    expect(error).toMatchObject({ code });
    expect(fromPostgres(error)).toMatchObject({ code: 'StoreUnavailable', cause: error });
  });

  test('of a statement that is wrong is ours, and not the store’s', async () => {
    const error: unknown = await withClient(serviceUrl, (client) =>
      client.query('select from nothing_of_this_name'),
    ).catch((failure: unknown) => failure);
    expect(fromPostgres(error)).toBe(error);
  });
});
