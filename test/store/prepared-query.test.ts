import { afterAll, afterEach, beforeEach, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import { preparedQuery, runPrepared } from '../../src/store/prepared-query.ts';
import {
  type Db,
  makePool,
  openConnections,
  openStoreDatabase,
  withClient,
} from '../support/store.ts';

const database = await openStoreDatabase();
afterAll(() => database.close());

/** One connection: what is prepared on it is there the next time. */
let db: Db;
beforeEach(() => {
  db = openConnections(database.serviceUrl, 1);
});
afterEach(() => db.destroy());

const onOwner = (text: string) =>
  withClient(database.ownerUrl, async (client) => {
    await client.query(text);
  });

const preparedNow = async () =>
  (await sql<{ name: string }>`select name from pg_prepared_statements`.execute(db)).rows.map(
    ({ name }) => name,
  );

test('a statement is prepared once, and answers for each set of values', async () => {
  const answers = [];
  for (const value of ['1', '2', '3'])
    answers.push(...(await runPrepared<{ x: number }>(db, 'x', 'select $1::int as x', [value])));
  expect(answers).toEqual([{ x: 1 }, { x: 2 }, { x: 3 }]);
  expect(await preparedNow()).toEqual(['x']);
});

test('values take the places of what stood for them', async () => {
  const [one, other] = [await makePool(database.db), await makePool(database.db)];
  const find = preparedQuery(
    'find-pool',
    db
      .selectFrom('pool')
      .select('name')
      .where('id', '=', 'an id')
      .where('root_generation', '=', 1)
      .compile(),
    { id: 'an id' },
  );
  expect(await find(db, { id: one.id })).toEqual([{ name: one.name }]);
  expect(await find(db, { id: other.id })).toEqual([{ name: other.name }]);
});

test('a table that has got a column since is read as before', async () => {
  await onOwner(
    'create table grows (a int); insert into grows values (7); grant select on grows to public',
  );
  const read = () => runPrepared<{ a: number }>(db, 'grows', 'select * from grows', []);
  expect(await read()).toEqual([{ a: 7 }]);
  await onOwner('alter table grows add column b int');
  expect(await read()).toEqual([{ a: 7, b: null }]);
  await onOwner('drop table grows');
});

test('where the server has forgotten what was prepared it is asked in full', async () => {
  const read = () => runPrepared<{ x: number }>(db, 'forgotten', 'select 1 as x', []);
  await read();
  await sql`deallocate all`.execute(db);
  expect(await read()).toEqual([{ x: 1 }]);
});

test('a transaction runs it on its own connection', async () => {
  const seen = await db
    .transaction()
    .execute((trx) =>
      runPrepared<{ x: number }>(trx, 'in-transaction', 'select $1::int as x', [5]),
    );
  expect(seen).toEqual([{ x: 5 }]);
});

test('what is wrong with the statement itself is reported', async () => {
  await expect(runPrepared(db, 'wrong', 'select 1 / $1::int', [0])).rejects.toMatchObject({
    code: '22012',
  });
});
