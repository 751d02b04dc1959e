import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { migrate } from '../../src/store/migrate.ts';
import { fromGlobalSetup } from './environment.ts';

export interface TestDatabase {
  readonly name: string;
  /** Of the role that owns the tables. */
  readonly ownerUrl: string;
  /** Of the role that the service works as. */
  readonly serviceUrl: string;
  /** Removes it, and cuts what connections it still has. */
  drop(): Promise<void>;
}

const TEMPLATE = 'strongroom_template';
/** Any number that nobody else locks. */
const TEMPLATE_LOCK = 7_236_450;

/**
 * A database of its own: a copy of the named one, to which nobody may be connected, or of one that has all migrations and is
 * made once a run.
 */
export async function createTestDatabase(original = TEMPLATE): Promise<TestDatabase> {
  const name = `test_${randomBytes(8).toString('hex')}`;
  await withOwner(async (client) => {
    if (original === TEMPLATE) await ensureTemplate(client);
    await client.query(`CREATE DATABASE ${name} TEMPLATE ${original}`);
  });
  return {
    name,
    ownerUrl: urlOf('STRONGROOM_TEST_OWNER_URL', name),
    serviceUrl: urlOf('STRONGROOM_TEST_SERVICE_URL', name),
    drop: () =>
      withOwner(async (client) => {
        await dropDatabase(client, name);
      }),
  };
}

const NOT_ALLOWED = '42501';

/** Autovacuum may be at work there for a moment, as a superuser, whom nobody else may end. */
async function dropDatabase(client: pg.Client, name: string): Promise<void> {
  for (let tries = 1; ; tries += 1)
    try {
      await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      return;
    } catch (error) {
      if (!(error instanceof pg.DatabaseError && error.code === NOT_ALLOWED) || tries >= 40)
        throw error;
      await delay(250);
    }
}

/** Jest's workers come here at the same time: one makes the template, under a name that nobody copies, and the others wait. */
async function ensureTemplate(client: pg.Client): Promise<void> {
  await client.query('SELECT pg_advisory_lock($1)', [TEMPLATE_LOCK]);
  try {
    const found = await client.query('SELECT FROM pg_database WHERE datname = $1', [TEMPLATE]);
    if (found.rowCount === 1) return;
    const unfinished = `${TEMPLATE}_unfinished`;
    await client.query(`DROP DATABASE IF EXISTS ${unfinished} WITH (FORCE)`);
    await client.query(`CREATE DATABASE ${unfinished}`);
    await migrate(urlOf('STRONGROOM_TEST_OWNER_URL', unfinished));
    await client.query(`ALTER DATABASE ${unfinished} RENAME TO ${TEMPLATE}`);
  } finally {
    await client.query('SELECT pg_advisory_unlock($1)', [TEMPLATE_LOCK]);
  }
}

async function withOwner(action: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: fromGlobalSetup('STRONGROOM_TEST_OWNER_URL') });
  await client.connect();
  try {
    await action(client);
  } finally {
    await client.end();
  }
}

/** The host of these URLs is a parameter: the last path segment is the database's name. */
function urlOf(variable: string, database: string): string {
  return fromGlobalSetup(variable).replace(/\/strongroom(?=\?)/, `/${database}`);
}
