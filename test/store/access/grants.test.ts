import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createAuditWriter } from '../../../src/store/audit/audit-store.ts';
import { createKeyWriter } from '../../../src/store/keys/key-writer.ts';
import type { Pool } from '../../../src/store/pool/pool-store.ts';
import {
  eventsOf,
  makePool,
  newChange,
  newVersion,
  openStoreDatabase,
  processOf,
  withClient,
} from '../../support/store.ts';

const database = await openStoreDatabase();
const { db, serviceUrl, ownerUrl } = database;
afterAll(() => database.close());

const asService = (statement: string, values: unknown[] = []) =>
  withClient(serviceUrl, (client) => client.query(statement, values));
const asOwner = (statement: string, values: unknown[] = []) =>
  withClient(ownerUrl, (client) => client.query(statement, values));

let pool: Pool;
beforeAll(async () => {
  pool = await makePool(db);
  const context = processOf(db, pool);
  await createKeyWriter(context).insertVersion(newVersion(pool.id, 'mine'), newChange());
});

describe('the service role', () => {
  test('adds to the audit log and reads it', async () => {
    const context = processOf(db, pool);
    await createAuditWriter(context).write([newChange('Seen').toRecord()]);
    expect((await eventsOf(context)).map(({ operation }) => operation)).toContain('Seen');
  });

  test.each([
    ['rewrites no record', `update audit_event set outcome = 'failure'`],
    ['rewrites no column of a record', `update audit_event set principal_id = null`],
    ['deletes no record', 'delete from audit_event'],
    ['does not empty the audit log', 'truncate audit_event'],
    ['drops no table', 'drop table audit_event'],
    ['makes no table', 'create table mine (id integer)'],
    ['adds no trigger', 'create trigger t before insert on audit_event execute function now()'],
    ['alters no table', 'alter table key disable trigger all'],
    ['takes no pool away', 'delete from pool'],
    ['exchanges no root check', `update root_generation set root_check = '\\x00'`],
    ['changes no retention', 'update pool set soft_delete_days = 7'],
    ['rewrites no signing key', `update signing_key set public_1 = '\\x00'`],
    ['takes no proof back', `update retired_root_generation set proof = '\\x00'`],
    ['pretends no migration', `insert into schema_migration values ('x', 'x')`],
    ['empties no table', 'truncate key cascade'],
    ['makes no role', 'create role another'],
    ['reads no file', `select pg_read_file('/etc/passwd')`],
  ])('%s', async (_, statement) => {
    await expect(asService(statement)).rejects.toMatchObject({ code: '42501' });
  });
});

describe('even for their owner, the tables refuse', () => {
  const version = 'a'.repeat(32);
  test.each([
    ['purge protection that is switched off again', 'update pool set purge_protection = false'],
    ['another retention', 'update pool set soft_delete_days = soft_delete_days - 1'],
  ])('%s', async (_, statement) => {
    const guarded = await makePool(db, { purgeProtection: true });
    await expect(asOwner(`${statement} where id = $1`, [guarded.id])).rejects.toMatchObject({
      code: 'P0001',
    });
  });

  test.each([
    ['a retention of 6 days', { softDeleteDays: 6 }],
    ['a retention of 91 days', { softDeleteDays: 91 }],
    ['a root check of 31 bytes', { rootCheck: Buffer.alloc(31) }],
    ['root keys of generation 0', { rootGeneration: 0 }],
  ])('%s', async (_, fields) => {
    await expect(makePool(db, fields)).rejects.toMatchObject({ code: '23514' });
  });

  test.each([[7], [90]])('but not a retention of %i days', async (softDeleteDays) => {
    await expect(makePool(db, { softDeleteDays })).resolves.toMatchObject({ softDeleteDays });
  });

  test.each([
    ['a deletion without a date of purge', 'deleted_at = 1', '23514'],
    ['a date of purge without a deletion', 'purge_at = 1', '23514'],
    ['a purge before the deletion', 'deleted_at = 2, purge_at = 1', '23514'],
    ['a name that is not the key in another case', `name = 'other'`, '23514'],
    ['a key in capitals', `name_key = 'MINE'`, '23514'],
    ['an answering version that is not there', `current_version = '${version}'`, '23503'],
  ])('%s', async (_, fields, code) => {
    await expect(
      asOwner(`update key set ${fields} where pool_id = $1`, [pool.id]),
    ).rejects.toMatchObject({ code });
  });

  test.each([
    ['a version id of 31 digits', `version = '${version.slice(1)}'`],
    ['a version id in capitals', `version = '${version.toUpperCase()}'`],
    ['a seal of 31 bytes', `seal = substring(seal from 2)`],
    ['another type of key', `key_type = 'EC'`],
    ['an EC key without a curve', 'curve = null'],
    ['an EC key with a size', 'bits = 256'],
    ['an EC key without half of its public key', 'public_2 = null'],
    ['an EC key with a secret for HMAC', `mac_blob = '\\x00'`],
  ])('%s', async (_, fields) => {
    await expect(
      asOwner(`update key_version set ${fields} where pool_id = $1`, [pool.id]),
    ).rejects.toMatchObject({ code: '23514' });
  });

  test.each([['/keys/'], ['/keys/UPPER'], ['/keys/a/b'], ['keys'], ['/key'], [''], ['/keys/a\n']])(
    'an assignment at the scope %j',
    async (scope) => {
      await expect(
        asOwner('insert into role_assignment values ($1, $2, $3, $4, $5)', [
          pool.id,
          randomUUID(),
          'someone',
          randomUUID(),
          scope,
        ]),
      ).rejects.toMatchObject({ code: '23514' });
    },
  );
});
