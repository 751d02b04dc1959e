import { createHash, randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { migrate } from '../../../src/store/migrate.ts';
import { putRowsOnRecord } from '../../../src/store/witness/rows-on-record.ts';
import { processOf } from '../../support/store.ts';
import { openWitnessedPool, ROWS } from '../../support/witnessed-pool.ts';

const FOLDER = new URL('../../../sql/', import.meta.url);

let pool: Awaited<ReturnType<typeof openWitnessedPool>>;
beforeEach(async () => {
  pool = await openWitnessedPool({
    /** As the version before the witnesses left it. */
    prepare: async (asOwner) => {
      await asOwner('drop schema public cascade; create schema public');
      await asOwner(`create table schema_migration (
        name text primary key, checksum text not null, applied_at timestamptz not null default now())`);
      for (const name of (await readdir(FOLDER)).sort().filter((file) => file < '0070')) {
        const text = await readFile(new URL(name, FOLDER), 'utf8');
        const checksum = createHash('sha256').update(text).digest('hex');
        await asOwner(text);
        await asOwner(`insert into schema_migration values ('${name}', '${checksum}')`);
      }
      await asOwner(`insert into pool values ($pool, 'main', gen_random_uuid(), now(), 90, false, 1,
        decode(repeat('00', 32), 'hex'))`);
      await asOwner(`begin; ${Object.values(ROWS).join('; ')}; commit`);
    },
  });
  await migrate(pool.database.ownerUrl);
});
afterEach(() => pool.close());

const putOnRecord = () => putRowsOnRecord(processOf(pool.context.db, pool.pool), randomUUID);
const ALL = Object.keys(ROWS).length + 1;

test('an upgrade puts the rows that are there on record, once, and from then on none can be added or changed', async () => {
  expect(await pool.verify()).toMatchObject({ verified: false, problem: { kind: 'row inserted' } });
  expect(await putOnRecord()).toBe(ALL);
  expect(await putOnRecord()).toBe(0);
  expect(await pool.verify()).toMatchObject({ verified: true, rows: ALL });
  await pool.asOwner(`update role_assignment set scope = '/'`);
  expect(await pool.verify()).toMatchObject({
    verified: false,
    problem: {
      kind: 'row changed',
      table: 'role_assignment',
      record: { operation: 'StateWitnessed' },
    },
  });
});

test('what is changed between the migration and the first start is on record, or is found', async () => {
  await pool.change(`update setting set value = 'false'`);
  await pool.change(`delete from group_member`);
  await putOnRecord();
  expect(await pool.verify()).toMatchObject({ verified: true, rows: ALL });
  await pool.asOwner(`update directory_group set display_name = 'x'`);
  expect(await pool.verify()).toMatchObject({ problem: { kind: 'row changed' } });
});

test('an upgrade that is cut off is done again', async () => {
  await pool.asOwner(`create function fail() returns trigger language plpgsql as
    'begin raise exception ''cut off''; end'`);
  await pool.asOwner(
    'create trigger fail before delete on audit_witness_pending execute function fail()',
  );
  await expect(putOnRecord()).rejects.toThrow('cut off');
  await pool.asOwner('drop trigger fail on audit_witness_pending');
  expect(await putOnRecord()).toBe(ALL);
  expect(await pool.verify()).toMatchObject({ verified: true, rows: ALL });
});

test.each([
  ['without the pool', ''],
  [
    'with the pool once more',
    `; insert into audit_witness_pending select pool_id, source, row_key, revision, after
       from audit_witness where source = 'pool'`,
  ],
  [
    'with the pool as of before',
    `; insert into audit_witness_pending select pool_id, source, row_key, 0, after
       from audit_witness where source = 'pool'`,
  ],
])('a second upgrade that somebody has forged is none: %s', async (_, more) => {
  await putOnRecord();
  await pool.asOwner(
    `insert into role_permission values ($pool, '00000000-0000-4000-8000-000000000001', 'planted')`,
  );
  const forged = `'role_permission', '["00000000-0000-4000-8000-000000000001", "planted"]'`;
  const [state] = await pool.asOwner<{ digest: string }>(
    `select digest from role_permission r
     cross join lateral witness_state(to_jsonb(r), '{role_id,action}', '{}') where action = 'planted'`,
  );
  await pool.asOwner(
    `insert into audit_witness_pending values ($pool, ${forged}, 1, '${state?.digest ?? ''}') ${more}`,
  );
  expect(await putOnRecord()).toBeGreaterThan(0);
  expect(await pool.verify()).toMatchObject({
    verified: false,
    problem: { kind: 'row inserted' },
  });
});
