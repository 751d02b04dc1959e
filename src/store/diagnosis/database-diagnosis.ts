import pg from 'pg';
import { fault, type Finding, findings, ok, warning } from '../../core/diagnosis/finding.ts';
import { describeDatabaseError, fromDriver } from '../errors.ts';
import { connectFeed } from '../feed-connection.ts';
import { nameOfServer, readServers } from '../servers.ts';
import { requireCurrentSchema } from '../migrate.ts';

const LIMITS_MS = { connect: 5_000, query: 10_000, notification: 2_000 };
/** PostgreSQL's server_version_num. */
const OLDEST_VERSION = 140_000;
/** Between this machine's clock and the database's. */
const CLOCK_LIMIT_MS = 1_000;

interface Facts {
  readonly version: string;
  readonly number: number;
  readonly user: string;
  readonly isSuperuser: boolean;
  readonly ownsTables: boolean;
  readonly synchronousCommit: string;
  readonly fsync: string;
  readonly standbyNames: string;
  readonly isStandby: boolean;
  readonly connectionLimit: number;
  readonly serverProcess: number;
}

/** Looks at the database as the service uses it: changes nothing. @param url of the user that the service is */
export async function examineDatabase(url: string): Promise<readonly Finding[]> {
  return findings('connection', async () => {
    const { urls } = readServers(url);
    const [only = url, ...others] = urls;
    const { facts, isPooled, clockMs, servers } =
      others.length === 0 ? { ...(await readFacts(only)), servers: [] } : await readAll(urls);
    return [
      ...servers,
      ...describeServer(facts),
      ...(await describeSchema(url)),
      ...describeRights(facts),
      ...describeDurability(facts),
      describeClock(clockMs),
      ...(await describeNotifications(url, isPooled)),
    ];
  });
}

/** @returns what is known of the primary, and a finding for each server. @throws what the first says, where none is the primary */
async function readAll(urls: readonly string[]) {
  const answers = await Promise.all(
    urls.map(async (url) => {
      const name = nameOfServer(url);
      try {
        return { name, known: await readFacts(url) };
      } catch (error) {
        return { name, error };
      }
    }),
  );
  const primary = answers.find(({ known }) => known?.facts.isStandby === false)?.known;
  const [first] = answers;
  if (primary === undefined && first?.known === undefined) throw first?.error;
  const servers = answers.map(({ name, known, error }) => {
    if (known === undefined)
      return warning(
        'servers',
        `${name}: ${describeDatabaseError(error) ?? "it can't be examined"}.`,
      );
    return ok('servers', `${name} is ${known.facts.isStandby ? 'a standby' : 'the primary'}.`);
  });
  const known = primary ?? first?.known;
  if (known === undefined) throw new TypeError('one of the servers has answered');
  return { ...known, servers };
}

interface Known {
  readonly facts: Facts;
  readonly isPooled: boolean;
  readonly clockMs: number;
}

async function readFacts(url: string): Promise<Known> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: LIMITS_MS.connect,
    query_timeout: LIMITS_MS.query,
    application_name: 'strongroom doctor',
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<Facts>(`select
      current_setting('server_version') as version,
      current_setting('server_version_num')::int as number,
      current_user as user,
      (select rolsuper from pg_roles where rolname = current_user) as "isSuperuser",
      exists (select from pg_class where relname = 'audit_event' and relnamespace = current_schema()::regnamespace
        and pg_has_role(relowner, 'usage')) as "ownsTables",
      current_setting('synchronous_commit') as "synchronousCommit",
      current_setting('fsync') as fsync,
      current_setting('synchronous_standby_names') as "standbyNames",
      pg_is_in_recovery() as "isStandby",
      current_setting('max_connections')::int as "connectionLimit",
      pg_backend_pid() as "serverProcess"`);
    const [facts] = rows;
    if (facts === undefined) throw new Error('PostgreSQL said nothing of itself');
    // A pooler names a process of its own invention, by which it is asked to cancel.
    const { processID } = client as pg.Client & { readonly processID?: number | null };
    const isPooled = processID !== facts.serverProcess;
    const asked = Date.now();
    const { rows: times } = await client.query<{ now: Date }>('select clock_timestamp() as now');
    const middle = (asked + Date.now()) / 2;
    return { facts, isPooled, clockMs: Math.round((times[0]?.now.getTime() ?? middle) - middle) };
  } catch (error) {
    throw fromDriver(error);
  } finally {
    await client.end().catch(() => undefined);
  }
}

function describeServer({ version, number, isStandby, connectionLimit }: Facts): Finding[] {
  return [
    number < OLDEST_VERSION
      ? fault('version', `PostgreSQL ${version} is too old: 14 is the oldest that is supported.`)
      : ok('version', `PostgreSQL ${version}, at most ${connectionLimit} connections.`),
    ...(isStandby
      ? [
          fault(
            'role',
            'It is a standby, which takes no changes: DATABASE_URL must lead to the primary.',
          ),
        ]
      : []),
  ];
}

async function describeSchema(url: string): Promise<readonly Finding[]> {
  return findings('schema', async () => {
    const { newest, newer } = await requireCurrentSchema(url);
    return [
      newer.length === 0
        ? ok('schema', `It is up to date (${newest}).`)
        : warning(
            'schema',
            `A newer version has added to it (${newer.join(', ')}): this one serves on. End the upgrade.`,
          ),
    ];
  });
}

function describeRights({ user, isSuperuser, ownsTables }: Facts): Finding[] {
  if (isSuperuser)
    return [
      warning(
        'rights',
        `The service signs in as "${user}", a superuser, who can alter the audit log: give it a user with the role strongroom_service.`,
      ),
    ];
  return [
    ownsTables
      ? warning(
          'rights',
          `The service signs in as "${user}", who owns the tables and can alter the audit log: give it another user with the role strongroom_service.`,
        )
      : ok('rights', `The service signs in as "${user}", who owns none of its tables.`),
  ];
}

/** What "durable" means here: on how many machines a change is that was acknowledged. */
function describeDurability({ synchronousCommit, fsync, standbyNames }: Facts): Finding[] {
  const found: Finding[] = [];
  if (fsync !== 'on')
    found.push(
      fault('durability', 'fsync is off: a crash of the machine loses or damages what was stored.'),
    );
  if (synchronousCommit === 'off')
    found.push(
      fault(
        'durability',
        'synchronous_commit is off: a crash loses changes and audit records that were acknowledged.',
      ),
    );
  else if (standbyNames === '')
    found.push(
      warning(
        'durability',
        'There is no synchronous standby (synchronous_standby_names is empty): what was acknowledged is lost with this one machine.',
      ),
    );
  else if (synchronousCommit === 'local')
    found.push(
      warning(
        'durability',
        'synchronous_commit is local: the synchronous standby is not waited for, and may lack what was acknowledged.',
      ),
    );
  else
    found.push(
      ok(
        'durability',
        `A commit waits for synchronous standbys (${standbyNames}), synchronous_commit is ${synchronousCommit}.`,
      ),
    );
  return found;
}

function describeClock(ms: number): Finding {
  const sentence = `The database's clock is ${Math.abs(ms)} ms ${ms < 0 ? 'behind' : 'ahead of'} this machine's.`;
  return Math.abs(ms) > CLOCK_LIMIT_MS ? warning('clock', sentence) : ok('clock', sentence);
}

/** By an echo, as the service proves it: a pooler in the way loses notifications without a word. */
async function describeNotifications(url: string, isPooled: boolean): Promise<readonly Finding[]> {
  return findings('notifications', async () => {
    const feed = await connectFeed({
      servers: readServers(url),
      limitMs: LIMITS_MS.notification,
      onChange: () => undefined,
      onError: () => undefined,
    });
    try {
      const began = performance.now();
      await feed.prove();
      const ms = Math.round(performance.now() - began);
      return [
        ok(
          'notifications',
          `A notification came back after ${ms} ms: ${isPooled ? 'the pooler in the way keeps sessions, and needs room for 14 of each worker process (PgBouncer: default_pool_size and max_client_conn)' : 'no pooler is in the way'}.`,
        ),
      ];
    } finally {
      await feed.end();
    }
  });
}
