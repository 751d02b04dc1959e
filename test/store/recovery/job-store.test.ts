import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createJobStore } from '../../../src/store/recovery/jobs/job-store.ts';
import {
  makePool,
  newChange,
  openStoreDatabase,
  processOf,
  withClient,
} from '../../support/store.ts';

const database = await openStoreDatabase();
afterAll(() => database.close());

const NAMELESS = { folder: undefined, keyName: undefined, principalId: undefined };
const idOf = (number: number) => number.toString(16).padStart(32, '0');
const newJob = (number: number) =>
  ({
    id: idOf(number),
    kind: 'backup-check',
    place: undefined,
    askedBy: 'caller',
    ...NAMELESS,
  }) as const;

describe('jobs that have ended', () => {
  let store: ReturnType<typeof createJobStore>;
  let name: string;
  beforeAll(async () => {
    const pool = await makePool(database.db);
    ({ name } = pool);
    store = createJobStore(processOf(database.db, pool), pool);
    await withClient(database.ownerUrl, (owner) =>
      owner.query(
        `insert into recovery_job (id, pool_id, pool_name, kind, status, asked_by, started_at, ended_at)
         select lpad(to_hex(n), 32, '0'), $1, $2, kind, status, 'caller', at, at
         from (
           select n, 'backup-check', 'Failed', now() - make_interval(mins => n) from generate_series(1, 1100) n
           union all values (2001, 'backup', 'Succeeded', now() - interval '200 days'),
             (2002, 'backup', 'Succeeded', now() - interval '201 days'),
             (2003, 'restore', 'Failed', now() - interval '91 days'),
             (2004, 'restore', 'Failed', now() - interval '89 days')) as old (n, kind, status, at)`,
        [pool.id, name],
      ),
    );
    await store.begin(newJob(5000), newChange());
  });

  test.each([
    ['the newest of a kind', 1, true],
    ['the last one for which there is room', 1000, true],
    ['one more', 1001, false],
    ['the last backup that was made, however long ago', 2001, true],
    ['an older one', 2002, false],
    ['one of more than 90 days ago', 2003, false],
    ['a younger one', 2004, true],
    ['the one that has begun', 5000, true],
  ])('%s: kept or not', async (_what, number, isKept) => {
    expect((await store.find(idOf(number))) !== undefined).toBe(isKept);
  });

  test('end once', async () => {
    expect(await store.end(idOf(5000), { keys: 0, bytes: 0 }, undefined)).toBe(true);
    const failure = { code: 'Interrupted', message: 'It is dead.' };
    expect(await store.end(idOf(5000), { failure }, newChange())).toBe(false);
    await store.endAbandoned(failure, newChange());
    expect(await store.find(idOf(5000))).toMatchObject({ status: 'Succeeded' });
  });
});
