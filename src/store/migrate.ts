import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import pg from 'pg';
import { OperatorError } from '../core/operator-error.ts';
import { packageFile } from '../core/package-file.ts';
import { fromDriver } from './errors.ts';
import { connectToPrimary, readServers } from './servers.ts';

const FOLDER = packageFile('sql/');
/** Any number that nothing else takes as an advisory lock. */
const LOCK = 0x5752_4d31;
const LOCK_WAIT = '60s';

interface Migration {
  readonly name: string;
  readonly text: string;
  readonly checksum: string;
}

/** A schema that isn't what this version of the service expects; the sentence says what to do. */
export class SchemaError extends OperatorError {
  override readonly name = 'SchemaError';
}

/**
 * Brings the schema up to date: sql/*.sql in order, each in a transaction of its own, recorded with its checksum. Two at
 * once wait for each other.
 * @param ownerUrl of a user that may create tables
 * @throws SchemaError when a file that has been applied has changed since, or a newer version has migrated it
 */
export async function migrate(ownerUrl: string): Promise<void> {
  await withClient(ownerUrl, async (client) => {
    await client.query(`set lock_timeout = '${LOCK_WAIT}'`);
    await client.query('select pg_advisory_lock($1)', [LOCK]);
    await client.query(`create table if not exists schema_migration (
      name text primary key, checksum text not null, applied_at timestamptz not null default now())`);
    const applied = await readApplied(client);
    const wanted = await readMigrations();
    requireNoneUnknown(applied, wanted);
    for (const { name, text, checksum } of wanted) {
      const known = applied.get(name);
      if (known === checksum) continue;
      if (known !== undefined)
        throw new SchemaError(`sql/${name} has changed since it was applied to this database.`);
      await client.query('begin');
      await client.query(text);
      await client.query('insert into schema_migration (name, checksum) values ($1, $2)', [
        name,
        checksum,
      ]);
      await client.query('commit');
    }
  });
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

/** @throws SchemaError when the schema is older or newer than this version of the service */
export async function requireCurrentSchema(url: string): Promise<void> {
  await withClient(url, async (client) => {
    const exists = await client.query<{ found: boolean }>(
      `select to_regclass('schema_migration') is not null as found`,
    );
    const applied =
      exists.rows[0]?.found === true ? await readApplied(client) : new Map<string, string>();
    const wanted = await readMigrations();
    requireNoneUnknown(applied, wanted);
    if (wanted.some(({ name, checksum }) => applied.get(name) !== checksum))
      throw new SchemaError('The database schema is not up to date: run `strongroom migrate`.');
  });
}

/** A newer version has been at work: what its schema means, this one can't know. */
function requireNoneUnknown(
  applied: ReadonlyMap<string, string>,
  wanted: readonly Migration[],
): void {
  const known = new Set(wanted.map(({ name }) => name));
  const [unknown] = [...applied.keys()].filter((name) => !known.has(name)).sort();
  if (unknown !== undefined)
    throw new SchemaError(
      `The database schema is newer than this version of Strongroom, which has no sql/${unknown}: run the version that migrated it, or a later one.`,
    );
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
  try {
    const client = new pg.Client({ connectionString, connectionTimeoutMillis: 10_000 });
    // What was asked on a connection that breaks fails by itself; unheard, this would end the process.
    client.on('error', () => undefined);
    return client;
  } catch (error) {
    // The driver's own words may quote the password.
    throw new OperatorError("DATABASE_URL: it can't be read as the URL of a database.", {
      cause: error,
    });
  }
}

async function readApplied(client: pg.Client): Promise<Map<string, string>> {
  const { rows } = await client.query<{ name: string; checksum: string }>(
    'select name, checksum from schema_migration',
  );
  return new Map(rows.map(({ name, checksum }) => [name, checksum]));
}

/** The name of the newest migration that this version knows. */
export async function newestMigration(): Promise<string> {
  const [newest = ''] = (await readMigrations()).map(({ name }) => name).reverse();
  return newest;
}

async function readMigrations(): Promise<Migration[]> {
  const names = (await readdir(FOLDER)).filter((name) => name.endsWith('.sql')).sort();
  return Promise.all(
    names.map(async (name) => {
      const text = await readFile(new URL(name, FOLDER), 'utf8');
      return { name, text, checksum: createHash('sha256').update(text).digest('hex') };
    }),
  );
}
