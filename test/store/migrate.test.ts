import { randomBytes } from 'node:crypto';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { migrate, requireCurrentSchema, SchemaError } from '../../src/store/migrate.ts';
import { openStoreDatabase, withClient } from '../support/store.ts';

const database = await openStoreDatabase();
const { ownerUrl, serviceUrl } = database;
afterAll(() => database.close());

const asOwner = (statement: string) => withClient(ownerUrl, (client) => client.query(statement));
const applied = () =>
  withClient(ownerUrl, async (client) => {
    const { rows } = await client.query<{ name: string; applied_at: Date }>(
      'select name, applied_at from schema_migration order by name',
    );
    return rows;
  });

beforeEach(async () => {
  await asOwner('drop schema public cascade; create schema public');
});

describe('migrating', () => {
  test('an empty database makes every table, and each carries its pool', async () => {
    await migrate(ownerUrl);
    const { rows } = await asOwner(`
      select table_name, bool_or(column_name = 'pool_id' or table_name = 'pool') as carries
      from information_schema.columns where table_schema = 'public' group by table_name`);
    const tables = rows as { table_name: string; carries: boolean }[];
    expect(tables.length).toBeGreaterThan(10);
    expect(tables.filter(({ carries }) => !carries).map(({ table_name }) => table_name)).toEqual([
      'schema_migration',
    ]);
  });

  test('a second time changes nothing', async () => {
    await migrate(ownerUrl);
    const before = await applied();
    await migrate(ownerUrl);
    expect(await applied()).toEqual(before);
  });

  test('from several processes at once applies each file once', async () => {
    await Promise.all(Array.from({ length: 5 }, () => migrate(ownerUrl)));
    const names = (await applied()).map(({ name }) => name);
    expect(names.length).toBeGreaterThan(0);
    expect(new Set(names).size).toBe(names.length);
    await expect(requireCurrentSchema(ownerUrl)).resolves.toBeUndefined();
  });

  test('a file that has changed since it was applied is refused by name', async () => {
    await migrate(ownerUrl);
    await asOwner(`update schema_migration set checksum = 'other' where name like '0001%'`);
    await expect(migrate(ownerUrl)).rejects.toThrow(/sql\/0001_\w+\.sql has changed/);
    await expect(migrate(ownerUrl)).rejects.toBeInstanceOf(SchemaError);
  });

  test('a file that fails leaves nothing of itself, and goes through once its obstacle is gone', async () => {
    await asOwner('create table role_definition (obstacle integer)');
    await expect(migrate(ownerUrl)).rejects.toMatchObject({ code: '42P07' });
    expect((await applied()).map(({ name }) => name)).toEqual(['0001_keys.sql']);
    await asOwner('drop table role_definition');
    await migrate(ownerUrl);
    await expect(requireCurrentSchema(ownerUrl)).resolves.toBeUndefined();
  });
});

test('an owner who may not make roles migrates once an administrator has made the group', async () => {
  await migrate(ownerUrl);
  const owner = `plain_owner_${randomBytes(4).toString('hex')}`;
  await asOwner(`create role ${owner} login password 'plain'`);
  await asOwner(`grant ${owner} to current_user`);
  await asOwner(`create database ${owner} owner ${owner}`);
  const url = ownerUrl
    .replace(/\/\/[^@]+@/, `//${owner}:plain@`)
    .replace(/\/test_\w+/, `/${owner}`);
  await migrate(url);
  await expect(requireCurrentSchema(url)).resolves.toBeUndefined();
  await asOwner(`drop database ${owner}`);
  await asOwner(`drop role ${owner}`);
});

describe('a start that does not migrate', () => {
  test('goes on with the current schema, as the service too', async () => {
    await asOwner('grant usage on schema public to public');
    await migrate(ownerUrl);
    await expect(requireCurrentSchema(serviceUrl)).resolves.toBeUndefined();
  });

  test.each([
    ['an empty database', 'select 1', /not up to date: run `strongroom migrate`/],
    [
      'a schema that lacks a file',
      `delete from schema_migration where name like '0004%'`,
      /not up to date/,
    ],
    [
      'a schema of other files',
      `update schema_migration set checksum = 'other' where name like '0002%'`,
      /not up to date/,
    ],
    [
      'a newer schema',
      `insert into schema_migration (name, checksum) values ('9999_later.sql', 'x')`,
      /newer than this version/,
    ],
  ])('refuses %s', async (state, statement, sentence) => {
    if (state !== 'an empty database') await migrate(ownerUrl);
    await asOwner(statement);
    await expect(requireCurrentSchema(ownerUrl)).rejects.toThrow(sentence);
    await expect(requireCurrentSchema(ownerUrl)).rejects.toBeInstanceOf(SchemaError);
  });
});
