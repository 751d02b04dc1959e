import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { openPoolKeys, openRootKeyRotation } from '../../../src/compose/root-keys.ts';
import type { Pkcs11Hsm } from '../../../src/hsm/pkcs11-hsm.ts';
import { findPool, type Pool } from '../../../src/store/pool/pool-store.ts';
import { openTestHsm } from '../../support/hsm.ts';
import { openStoreDatabase, processOf, type StoreDatabase } from '../../support/store.ts';
import { newName, openWholePool, type WholePool } from '../../support/whole-pool.ts';

let database: StoreDatabase;
/** Of processes that start. */
let starting: Pkcs11Hsm;
let whole: WholePool;

beforeAll(async () => {
  database = await openStoreDatabase();
  starting = openTestHsm().hsm;
});
beforeEach(async () => {
  whole = await openWholePool(database, newName());
});
afterAll(async () => {
  await starting.close();
  await whole.hsm.close();
  await database.close();
});

const rotate = () =>
  openRootKeyRotation(whole.context, whole.hsm).begin({ keeps: true, givesBackupsUp: false });

/** A process starts by what the pool's row says, or what it has said before. */
async function start(read?: Pool): Promise<number> {
  const pool = read ?? (await findPool(database.db, whole.pool.name));
  if (pool === undefined) throw new TypeError('the pool is there');
  await openPoolKeys(processOf(database.db, pool), pool, starting);
  return starting.rootGeneration();
}

/** Whoever can write rows names root keys that the token holds. */
const name = (generation: number) =>
  whole.change(
    `update pool p set root_generation = g.number, root_check = g.root_check
      from root_generation g where p.id = $pool and g.pool_id = p.id and g.number = ${generation}`,
  );

test('root keys that are older than those in use open for nobody, until an operator says that they are right', async () => {
  await rotate();
  expect(await start()).toBe(2);
  await name(1);
  await expect(start()).rejects.toThrow('newer ones have been in use (generation 2)');
  starting.openRootKeys(whole.pool.id, 1);
  await starting.forgetNewer();
  expect(await start()).toBe(1);
});

test('what a rotation that was cut off has left in the token holds nobody up', async () => {
  await whole.hsm.makeRootKeys(1);
  expect(await start()).toBe(1);
});

test('a process that has read the pool before a rotation goes on with the new root keys', async () => {
  await rotate();
  expect(await start(whole.pool)).toBe(2);
});

test('a number that is retired is believed only where the token remembers that it is in use', async () => {
  await whole.change(
    `insert into retired_root_generation (pool_id, number, proof) values ($pool, 1, '\\x00')`,
  );
  expect(await start()).toBe(1);
  const forgetting: unknown = Object.create(starting, {
    listUsedGenerations: { value: () => Promise.resolve([]) },
  });
  const opened = openPoolKeys(whole.context, whole.pool, forgetting as Pkcs11Hsm);
  await expect(opened).rejects.toThrow('and as retired ones too');
});

test('rows of generations that the service has not written keep no rotation from its beginning or its end', async () => {
  await whole.change(
    `insert into retired_root_generation (pool_id, number, proof) values ($pool, 77, '\\x00')`,
    `insert into root_generation (pool_id, number, root_check)
      select id, n, root_check from pool, unnest(array[2, 78]) n where id = $pool`,
  );
  const rotation = openRootKeyRotation(whole.context, whole.hsm);
  expect(await rotation.isUnfinished()).toBe(false);
  const { generations } = await rotate();
  expect(generations.find(({ isCurrent }) => isCurrent)?.number).toBe(2);
  expect(await rotation.finish()).toEqual({ broken: 0, isOver: true });
  expect(await rotation.isUnfinished()).toBe(false);
  expect(await whole.hsm.listRootGenerations()).toEqual([1, 2]);
});
