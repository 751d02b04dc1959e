import { randomBytes } from 'node:crypto';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import {
  migrate,
  planMigrations,
  requireCurrentSchema,
  SchemaError,
} from '../../src/store/migrate.ts';
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
    await expect(requireCurrentSchema(ownerUrl)).resolves.toMatchObject({ newer: [] });
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
    await expect(requireCurrentSchema(ownerUrl)).resolves.toMatchObject({ newer: [] });
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
  await expect(requireCurrentSchema(url)).resolves.toMatchObject({ newer: [] });
  await asOwner(`drop database ${owner}`);
  await asOwner(`drop role ${owner}`);
});

describe('while an older version may serve', () => {
  const folder = pathToFileURL(`${mkdtempSync(join(tmpdir(), 'strongroom-sql-'))}/`);
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });
  const EXPANDING =
    '-- Expands: nobody who does not know it reads it.\nalter table pool add column later text;';
  const write = (name: string, text: string) => {
    writeFileSync(new URL(name, folder), text);
  };
  /** A process of the version that knows all but what is in the folder. */
  const serve = (schema: string, secondsAgo = 0) =>
    asOwner(`insert into replica_process values (gen_random_uuid(), gen_random_uuid(),
      gen_random_uuid(), 'east-1', '1.0.0', '${schema}', '{1}', true, null, 1, 1, now(),
      now() - interval '${secondsAgo} seconds')`);
  beforeEach(async () => {
    rmSync(folder, { recursive: true });
    cpSync(fileURLToPath(new URL('../../sql', import.meta.url)), fileURLToPath(folder), {
      recursive: true,
    });
    await migrate(ownerUrl);
  });

  test('what expands the schema is applied, and the older version starts on it', async () => {
    await serve('0088_any.sql');
    write('9998_later.sql', EXPANDING);
    await migrate(ownerUrl, { folder });
    await expect(requireCurrentSchema(ownerUrl)).resolves.toEqual({
      newest: '9998_later.sql',
      newer: ['9998_later.sql'],
    });
  });

  test('what it would not bear waits until it has ended', async () => {
    await serve('0088_any.sql');
    write('9998_later.sql', 'alter table pool add column later text;');
    await expect(migrate(ownerUrl, { folder })).rejects.toThrow(/east-1 \(1\.0\.0\)\. Stop them/);
    await expect(requireCurrentSchema(ownerUrl)).resolves.toMatchObject({ newer: [] });
    await asOwner('delete from replica_process');
    await serve('0088_any.sql', 60);
    await migrate(ownerUrl, { folder });
    await expect(requireCurrentSchema(ownerUrl)).rejects.toThrow(/newer than this version/);
  });

  test('what one of them says itself is a sentence, without a stack', async () => {
    write('9998_later.sql', "do $$ begin raise exception 'the role x is missing'; end $$");
    await expect(migrate(ownerUrl, { folder })).rejects.toMatchObject({
      name: 'SchemaError',
      message: 'sql/9998_later.sql was not applied: the role x is missing.',
    });
  });

  test('a plan says what is to come, in which order, what it locks, and changes nothing', async () => {
    write('9998_later.sql', EXPANDING);
    write('9999_last.sql', 'create index on pool (created_at); update setting set name = name;');
    await expect(planMigrations(ownerUrl, { folder })).resolves.toMatchObject([
      {
        name: '9998_later.sql',
        expands: true,
        effects: [{ table: 'pool', lock: 'AccessExclusiveLock', readsRows: false, seconds: 0 }],
      },
      {
        name: '9999_last.sql',
        expands: false,
        effects: [
          { table: 'pool', lock: 'ShareLock', readsRows: true },
          { table: 'setting', lock: undefined, readsRows: true },
        ],
      },
    ]);
    await expect(requireCurrentSchema(ownerUrl)).resolves.toMatchObject({ newer: [] });
    expect(await planMigrations(ownerUrl)).toEqual([]);
  });
});

describe('a start that does not migrate', () => {
  test('goes on with the current schema, as the service too', async () => {
    await asOwner('grant usage on schema public to public');
    await migrate(ownerUrl);
    await expect(requireCurrentSchema(serviceUrl)).resolves.toMatchObject({ newer: [] });
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
