import type pg from 'pg';
import { type Finding, findings, ok, warning } from '../../core/diagnosis/finding.ts';
import { describeDatabaseError, fromDriver } from '../errors.ts';
import { nameOfServer, openClient, readServers } from '../servers.ts';

const LIMITS_MS = { connect: 5_000, query: 10_000 };
const SETTING = 'STRONGROOM_AUDIT_DATABASE_URL';
/** What is read there. */
const TABLES = [
  'standby_mark',
  'audit_event',
  'audit_checkpoint',
  'audit_usage',
  'audit_key_use',
  'key',
  'key_version',
];

interface Facts {
  readonly user: string;
  readonly isStandby: boolean;
  readonly cluster: string;
  /** Since the last transaction that was replayed; null where none was. */
  readonly replayedSecondsAgo: number | null;
  readonly unreadable: readonly string[];
  readonly mayWrite: boolean;
}

/**
 * Looks at the standby on which the audit log is read: changes nothing. Without it all is read on the primary, so that nothing
 * here is a fault.
 * @param url of the setting @param databaseUrl of the primary
 */
export async function examineAuditStandby(
  url: string,
  databaseUrl: string,
): Promise<readonly Finding[]> {
  return findings('audit standby', async () => {
    const primary = await readCluster(readServers(databaseUrl).urls);
    return Promise.all(
      readServers(url, SETTING).urls.map(async (one) => {
        const name = nameOfServer(one);
        try {
          return describe(name, await readFacts(one), primary);
        } catch (error) {
          const words = describeDatabaseError(fromDriver(error)) ?? "it can't be examined";
          return warning('audit standby', `${name}: ${words}.`);
        }
      }),
    );
  });
}

function describe(name: string, facts: Facts, primary: string | undefined): Finding {
  const { user, isStandby, cluster, replayedSecondsAgo, unreadable, mayWrite } = facts;
  if (primary !== undefined && cluster !== primary)
    return warning('audit standby', `${name} is no standby of the database in DATABASE_URL.`);
  if (!isStandby)
    return ok('audit standby', `${name} is the primary, on which nothing is read by this setting.`);
  if (unreadable.length > 0)
    return warning(
      'audit standby',
      `${name}: "${user}" may not read ${unreadable.join(', ')}: the primary is read instead.`,
    );
  const since =
    replayedSecondsAgo === null
      ? ''
      : ` The last change that it has is ${Math.round(replayedSecondsAgo)} s old.`;
  const rights = mayWrite ? 'may change what the service may change' : 'may only read';
  return ok(
    'audit standby',
    `${name} is a standby, where "${user}" signs in, who ${rights}.${since}`,
  );
}

async function readCluster(urls: readonly string[]): Promise<string | undefined> {
  for (const url of urls)
    try {
      return await ask(url, async (client) => {
        const { rows } = await client.query<{ cluster: string }>(
          'select system_identifier::text as cluster from pg_control_system()',
        );
        return rows[0]?.cluster;
      });
    } catch {
      // The database's own section says so.
    }
  return undefined;
}

function readFacts(url: string): Promise<Facts> {
  return ask(url, async (client) => {
    const { rows } = await client.query<Facts>(
      `select current_user as user, pg_is_in_recovery() as "isStandby",
         (select system_identifier::text from pg_control_system()) as cluster,
         extract(epoch from now() - pg_last_xact_replay_timestamp())::float8 as "replayedSecondsAgo",
         (select coalesce(array_agg(name), '{}') from unnest($1::text[]) as name
          where to_regclass(name) is null or not has_any_column_privilege(name, 'select')) as unreadable,
         coalesce((select has_table_privilege(oid, 'insert') from pg_class
          where oid = to_regclass('audit_event')), false) as "mayWrite"`,
      [TABLES],
    );
    const [facts] = rows;
    if (facts === undefined) throw new Error('PostgreSQL said nothing of itself');
    return facts;
  });
}

async function ask<T>(url: string, question: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = openClient(
    {
      connectionString: url,
      connectionTimeoutMillis: LIMITS_MS.connect,
      query_timeout: LIMITS_MS.query,
      application_name: 'strongroom doctor',
    },
    SETTING,
  );
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await question(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}
