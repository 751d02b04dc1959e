import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import type pg from 'pg';
import { OperatorError } from '../core/operator-error.ts';
import { packageFile } from '../core/package-file.ts';
import { fromDriver } from './errors.ts';
import { effectsOf, type TableEffect } from './migration-plan.ts';
import { connectToPrimary, openClient, readServers } from './servers.ts';

const FOLDER = packageFile('sql/');
/** Any number that nothing else takes as an advisory lock. */
const LOCK = 0x5752_4d31;
const LOCK_WAIT = '60s';

interface Migration {
  readonly name: string;
  readonly text: string;
  readonly checksum: string;
  /** Versions from before it serve on the schema that it makes: it adds what they don't know, and takes nothing away. */
  readonly expands: boolean;
}

/** What stands at the beginning of a line in those that expand. */
const EXPANDS = /^-- Expands:/m;
/** A replica that was heard of so lately may serve still. */
const HEARD_LATELY = '15 seconds';

export interface MigrateOptions {
  /** Of the migrations; those of this version where absent. */
  readonly folder?: URL;
  /** Though replicas of older versions serve that would not know what to do with the new schema. */
  readonly despiteReplicas?: boolean;
}

/** What a database's schema is to this version. */
export interface SchemaState {
  readonly newest: string;
  /** Of a later version: all of them expand. */
  readonly newer: readonly string[];
}

/** A schema that isn't what this version of the service expects; the sentence says what to do. */
export class SchemaError extends OperatorError {
  override readonly name = 'SchemaError';
}

/**
 * Brings the schema up to date: sql/*.sql in order, each in a transaction of its own, recorded with its checksum. Two at
 * once wait for each other. While replicas of an older version serve, only what expands the schema is applied.
 * @param ownerUrl of a user that may create tables
 * @throws SchemaError when a file that has been applied has changed since, a newer version has migrated it, or replicas are in
 * the way
 */
export async function migrate(ownerUrl: string, options: MigrateOptions = {}): Promise<void> {
  await withClient(ownerUrl, async (client) => {
    await client.query(`set lock_timeout = '${LOCK_WAIT}'`);
    await client.query('select pg_advisory_lock($1)', [LOCK]);
    await client.query(`create table if not exists schema_migration (
      name text primary key, checksum text not null, applied_at timestamptz not null default now());
      alter table schema_migration add column if not exists expands boolean not null default false`);
    for (const { name, text, checksum, expands } of await readPending(client, options.folder)) {
      if (!expands && options.despiteReplicas !== true) await requireNoReplicas(client, name);
      await client.query('begin');
      await client.query(text).catch((error: unknown) => {
        throw asSentence(name, error);
      });
      await client.query(
        'insert into schema_migration (name, checksum, expands) values ($1, $2, $3)',
        [name, checksum, expands],
      );
      await client.query('commit');
    }
  });
}

/** What a migration says itself, and rights that its user lacks, are the operator's to mend. */
function asSentence(name: string, error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (!(error instanceof Error) || !OPERATORS.has(code)) return error;
  return new SchemaError(`sql/${name} was not applied: ${error.message}.`, { cause: error });
}

/** raise_exception, insufficient_privilege. */
const OPERATORS: ReadonlySet<string> = new Set(['P0001', '42501']);

/** A migration that is to be applied, and what it does to tables that are there. */
export interface PlannedMigration extends Pick<Migration, 'name' | 'expands'> {
  /** Undefined where that can't be told. */
  readonly effects: readonly PlannedEffect[] | undefined;
}

export interface PlannedEffect extends TableEffect {
  /** As PostgreSQL estimates them. */
  readonly rows: number;
  /** For how long, roughly: a migration of the catalogue alone takes a moment. */
  readonly seconds: number;
}

/** With PostgreSQL 18 on two busy cores, 2026-11-28, rows of 700 bytes: a check or an index of a million takes 2 to 4 s, an update 20 s. */
const SECONDS_PER_ROW = { read: 4e-6, written: 2e-5 };

/**
 * What `migrate` would do now. Locks nothing.
 * @throws SchemaError as migrate
 */
export async function planMigrations(
  ownerUrl: string,
  { folder }: Pick<MigrateOptions, 'folder'> = {},
): Promise<readonly PlannedMigration[]> {
  return withClient(ownerUrl, async (client) => {
    const { rows } = await client.query<{ table: string; rows: number }>(
      `select relname as table, greatest(reltuples, 0)::float8 as rows from pg_class
       where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p')`,
    );
    const sizes = new Map(rows.map((row) => [row.table, row.rows]));
    const isNew = !sizes.has('schema_migration');
    const pending = isNew ? await readMigrations(folder) : await readPending(client, folder);
    return pending.map(({ name, text, expands }) => ({
      name,
      expands,
      effects: effectsOf(text)
        // What an earlier one of them makes holds nothing.
        ?.filter(({ table }) => sizes.has(table))
        .map((effect) => {
          const count = sizes.get(effect.table) ?? 0;
          const each = effect.lock === undefined ? SECONDS_PER_ROW.written : SECONDS_PER_ROW.read;
          return { ...effect, rows: count, seconds: effect.readsRows ? count * each : 0 };
        }),
    }));
  });
}

/** Those that have not been applied. @throws SchemaError as migrate */
async function readPending(
  client: pg.Client,
  folder: URL | undefined,
): Promise<readonly Migration[]> {
  const applied = await readApplied(client);
  const wanted = await readMigrations(folder);
  requireServable(applied, wanted);
  return wanted.filter(({ name, checksum }) => {
    const known = applied.get(name);
    if (known !== undefined && known.checksum !== checksum)
      throw new SchemaError(`sql/${name} has changed since it was applied to this database.`);
    return known === undefined;
  });
}

/** @param pending a migration that older versions don't bear */
async function requireNoReplicas(client: pg.Client, pending: string): Promise<void> {
  const { rows: tables } = await client.query<{ isThere: boolean }>(
    `select to_regclass('replica_process') is not null as "isThere"`,
  );
  if (tables[0]?.isThere !== true) return;
  const { rows } = await client.query<{ name: string; version: string }>(
    `select distinct replica_name as name, version from replica_process
     where schema < $1 and seen_at > now() - interval '${HEARD_LATELY}' order by name`,
    [pending],
  );
  if (rows.length > 0)
    throw new SchemaError(
      `sql/${pending} makes a schema on which older versions can't serve, and there are some: ${rows
        .map(({ name, version }) => `${name} (${version})`)
        .join(', ')}. Stop them, wait ${HEARD_LATELY}, and migrate again.`,
    );
}

/** Whether a database, of whatever version, has a pool of that name. */
export async function hasPool(url: string, name: string): Promise<boolean> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ found: boolean }>(
      `select to_regclass('pool') is not null as found`,
    );
    if (rows[0]?.found !== true) return false;
    const pools = await client.query('select from pool where name = $1', [name]);
    return pools.rowCount === 1;
  });
}

/**
 * @returns what a later version has added
 * @throws SchemaError when the schema is older than this version of the service, or newer in a way that it doesn't bear
 */
export async function requireCurrentSchema(url: string): Promise<SchemaState> {
  return withClient(url, async (client) => {
    const exists = await client.query<{ found: boolean }>(
      `select to_regclass('schema_migration') is not null as found`,
    );
    const applied: Applied =
      exists.rows[0]?.found === true ? await readApplied(client) : new Map<string, never>();
    const wanted = await readMigrations();
    const newer = requireServable(applied, wanted);
    if (wanted.some(({ name, checksum }) => applied.get(name)?.checksum !== checksum))
      throw new SchemaError('The database schema is not up to date: run `strongroom migrate`.');
    return { newest: newer.at(-1) ?? wanted.at(-1)?.name ?? '', newer };
  });
}

/** A newer version may have been at work: what its schema means, this one can't know, unless it has only added to it. */
function requireServable(applied: Applied, wanted: readonly Migration[]): readonly string[] {
  const known = new Set(wanted.map(({ name }) => name));
  const newer = [...applied.keys()].filter((name) => !known.has(name)).sort();
  const unknown = newer.find((name) => applied.get(name)?.expands !== true);
  if (unknown !== undefined)
    throw new SchemaError(
      `The database schema is newer than this version of Strongroom, which has no sql/${unknown}: run the version that migrated it, or a later one.`,
    );
  return newer;
}

async function withClient<T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = await connectToPrimary(readServers(url), newClient).catch((error: unknown) => {
    throw fromDriver(error);
  });
  try {
    return await use(client);
  } finally {
    // Ends the transaction and the lock with it.
    await client.end();
  }
}

function newClient(connectionString: string): pg.Client {
  const client = openClient({ connectionString, connectionTimeoutMillis: 10_000 });
  // What was asked on a connection that breaks fails by itself; unheard, this would end the process.
  client.on('error', () => undefined);
  return client;
}

type Applied = ReadonlyMap<string, Pick<Migration, 'checksum' | 'expands'>>;

async function readApplied(client: pg.Client): Promise<Applied> {
  // A database that an older version has migrated has no such column.
  const { rows } = await client.query<Pick<Migration, 'name' | 'checksum'> & { expands?: boolean }>(
    'select m.* from schema_migration m',
  );
  return new Map(rows.map(({ name, checksum, expands = false }) => [name, { checksum, expands }]));
}

async function readMigrations(folder = FOLDER): Promise<Migration[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort();
  return Promise.all(
    names.map(async (name) => {
      const text = await readFile(new URL(name, folder), 'utf8');
      const checksum = createHash('sha256').update(text).digest('hex');
      return { name, text, checksum, expands: EXPANDS.test(text) };
    }),
  );
}
