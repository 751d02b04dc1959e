import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from '@jest/globals';
import { effectsOf } from '../../src/store/migration-plan.ts';
import { sqlStatements } from '../../src/store/sql-statements.ts';
import { openStoreDatabase, withClient } from '../support/store.ts';

const FOLDER = new URL('../../sql/', import.meta.url);
const FILES = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.sql'))
  .sort();
/** Since then whoever upgrades is told what a migration locks. */
const FIRST = '0084';
const read = (name: string) => readFileSync(new URL(name, FOLDER), 'utf8');

const database = await openStoreDatabase();
afterAll(() => database.close());

test('statements end where PostgreSQL ends them', () => {
  expect(
    sqlStatements(`-- a comment; with a semicolon
      create table t (a text default ';' /* ; */);
      create function f() returns void language sql as $body$ select 1; $$;$$ $body$;
      select 'it''s;';`),
  ).toEqual([
    "create table t (a text default ';' )",
    'create function f() returns void language sql as $$',
    "select 'it''s;'",
  ]);
});

describe('what a migration locks', () => {
  test('is what PostgreSQL says, file by file', async () => {
    const planned: Record<string, unknown> = {};
    const locked: Record<string, unknown> = {};
    await withClient(database.ownerUrl, async (client) => {
      await client.query('drop schema public cascade; create schema public');
      await client.query('create table schema_migration (name text primary key)');
      for (const name of FILES) {
        const { rows: before } = await client.query<{ oid: string }>('select oid from pg_class');
        const there = before.map(({ oid }) => oid);
        await client.query('begin');
        await client.query(read(name));
        const { rows } = await client.query<{ table: string; mode: string }>(
          `select c.relname as table, l.mode from pg_locks l join pg_class c on c.oid = l.relation
           where l.pid = pg_backend_pid() and c.relkind in ('r', 'p') and c.oid = any($1::oid[])
             and c.relnamespace = 'public'::regnamespace
             and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
           order by 1, 2`,
          [there],
        );
        await client.query('commit');
        if (name < FIRST) continue;
        const strongest = new Map<string, string>();
        const order = [
          'ShareLock',
          'ShareRowExclusiveLock',
          'ExclusiveLock',
          'AccessExclusiveLock',
        ];
        for (const { table, mode } of rows)
          if (order.indexOf(mode) > order.indexOf(strongest.get(table) ?? ''))
            strongest.set(table, mode);
        locked[name] = Object.fromEntries(strongest);
        planned[name] = Object.fromEntries(
          (effectsOf(read(name)) ?? [{ table: '?', lock: '?' }])
            .filter(({ lock }) => lock !== undefined)
            .map(({ table, lock }) => [table, lock]),
        );
      }
    });
    expect(Object.keys(planned).length).toBeGreaterThan(3);
    expect(planned).toEqual(locked);
  });

  test.each([
    ['create index on key_version (created)', [['key_version', 'ShareLock', true]]],
    ['alter table key add column note text', [['key', 'AccessExclusiveLock', false]]],
    ['alter table key alter column name set not null', [['key', 'AccessExclusiveLock', true]]],
    ['update key set name = name', [['key', undefined, true]]],
    ['create table t (a int); create index on t (a); alter table t add check (a > 0)', []],
  ] as const)('by "%s" is said', (sql, effects) => {
    expect(effectsOf(sql)?.map(({ table, lock, readsRows }) => [table, lock, readsRows])).toEqual(
      effects,
    );
  });

  test('is not known where a statement is not', () => {
    expect(effectsOf('cluster key_version')).toBeUndefined();
    expect(effectsOf('do $$ begin drop table key; end $$')).toBeUndefined();
  });
});
