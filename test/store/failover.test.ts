import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { migrate, requireCurrentSchema } from '../../src/store/migrate.ts';
import { type OpenPoolFeed, openPoolFeed } from '../support/change-feed.ts';
import { openDatabase } from '../../src/store/database.ts';
import { examineDatabase } from '../../src/store/diagnosis/database-diagnosis.ts';
import { createSettingStore } from '../../src/store/pool/setting-store.ts';
import { readServers, type Servers } from '../../src/store/servers.ts';
import { type PostgresPair, startPostgresPair } from '../support/postgres-pair.ts';
import { type Db, makePool, newChange, processOf, withClient } from '../support/store.ts';
import { until } from '../support/until.ts';

const STATEMENT_LIMIT_MS = 1_500;

let pair: PostgresPair;
let servers: Servers;
let db: Db;
let feed: OpenPoolFeed;
let pool: { id: string };
beforeAll(async () => {
  pair = await startPostgresPair();
  await migrate(pair.ownerUrl);
  servers = readServers(pair.serviceUrl);
  const url = pair.serviceUrl;
  const onIdleError = () => undefined;
  db = openDatabase({
    url,
    servers,
    connections: 4,
    statementLimitMs: STATEMENT_LIMIT_MS,
    onIdleError,
  });
  pool = await makePool(db);
  feed = await openPoolFeed({ url, servers, poolId: pool.id, onError: () => undefined });
}, 120_000);
afterAll(async () => {
  await feed.close();
  await db.destroy();
  await pair.remove();
});

let count = 0;
const acknowledged: string[] = [];
const refused: unknown[] = [];
/** Resolves when it is known what has become of it. */
async function write(): Promise<boolean> {
  const name = `setting-${(count += 1)}`;
  try {
    await createSettingStore(processOf(db, pool), feed).putSetting(name, true, newChange());
    acknowledged.push(name);
    return true;
  } catch (error) {
    refused.push(error);
    return false;
  }
}
async function requireNothingLost(): Promise<void> {
  const rows = await db
    .selectFrom('setting')
    .select('name')
    .where('pool_id', '=', pool.id)
    .execute();
  const there = new Set(rows.map(({ name }) => name));
  expect(acknowledged.filter((name) => !there.has(name))).toEqual([]);
}

describe('TLS to the database', () => {
  const connectTo = async (url: string) => {
    const tls = openDatabase({ url, connections: 1, onIdleError: () => undefined });
    try {
      const { rows } = await sql<{ ssl: boolean }>`
        select ssl from pg_stat_ssl where pid = pg_backend_pid()`.execute(tls);
      return rows[0]?.ssl;
    } finally {
      await tls.destroy();
    }
  };
  const connect = (host: string, parameters: Readonly<Record<string, string>>) =>
    connectTo(pair.tlsUrl(host, parameters));
  const full = () => {
    const { authority, client } = pair.certificates;
    return { sslrootcert: authority, sslcert: client.certificate, sslkey: client.key };
  };

  test.each(['verify-full', 'require'])(
    'checks whose server it is, and shows a certificate of its own, by sslmode=%s',
    async (sslmode) => {
      expect(await connect('localhost', { ...full(), sslmode })).toBe(true);
    },
  );

  test.each<[string, string, () => Readonly<Record<string, string>>]>([
    [
      'an authority that has not signed the certificate of the server',
      'localhost',
      () => ({ ...full(), sslmode: 'verify-full', sslrootcert: pair.certificates.stranger }),
    ],
    [
      'a name that the certificate of the server does not have',
      '127.0.0.1',
      () => ({ ...full(), sslmode: 'verify-full' }),
    ],
    [
      'no certificate of the client',
      'localhost',
      () => ({ sslmode: 'verify-full', sslrootcert: pair.certificates.authority }),
    ],
    ['no TLS at all', 'localhost', () => ({ sslmode: 'disable' })],
  ])('is refused with %s', async (_, host, parameters) => {
    await expect(connect(host, parameters())).rejects.toThrow();
  });

  test('finds the primary among several servers, past one whose certificate has another name', async () => {
    const parameters = { ...full(), sslmode: 'verify-full' };
    const standbyFirst = pair.tlsUrlOf(
      [
        ['second', 'localhost'],
        ['first', 'localhost'],
      ],
      parameters,
    );
    expect(await connectTo(standbyFirst)).toBe(true);
    const impostorFirst = pair.tlsUrlOf(
      [
        ['first', '127.0.0.1'],
        ['first', 'localhost'],
      ],
      parameters,
    );
    expect(await connectTo(impostorFirst)).toBe(true);
    // Commands and the change feed go the same way.
    expect((await requireCurrentSchema(standbyFirst)).newer).toEqual([]);
    const listening = await openPoolFeed({
      url: standbyFirst,
      poolId: pool.id,
      onError: () => undefined,
    });
    await until(() => listening.isCoherent());
    await listening.close();
    const found = await examineDatabase(standbyFirst);
    expect(
      found.filter(({ subject }) => subject === 'servers').map(({ sentence }) => sentence),
    ).toEqual([
      expect.stringMatching(/^localhost:\d+ is a standby\.$/),
      expect.stringMatching(/^localhost:\d+ is the primary\.$/),
    ]);
  });

  test('of none of several servers that show who they are leads nowhere', async () => {
    const url = pair.tlsUrlOf(
      [
        ['first', '127.0.0.1'],
        ['second', '127.0.0.1'],
      ],
      { ...full(), sslmode: 'verify-full' },
    );
    await expect(connectTo(url)).rejects.toThrow();
  });
});

test('a change that the synchronous standby has not confirmed is not acknowledged, though its wait is cancelled', async () => {
  expect(await write()).toBe(true);
  await pair.stopStandby();
  const writing = write();
  // PostgreSQL says then that the commit is done.
  await until(() =>
    withClient(pair.urls[0], async (client) => {
      const { rowCount } = await client.query(
        `select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'`,
      );
      return rowCount === 1;
    }),
  );
  expect(await writing).toBe(false);
  expect(refused.pop()).toMatchObject({ code: 'StoreUnavailable' });
  await pair.startStandby();
  await until(() => write());
});

test('where the primary stands still and its standby is promoted, all goes on there, and what waited is told at once', async () => {
  await until(() => feed.isCoherent());
  pair.freezePrimary();
  const writing = Promise.all([write(), write(), write()]);
  await pair.promoteStandby();
  expect(await writing).toEqual([false, false, false]);
  await until(() => write());
  expect(servers.current).toBe(pair.urls[1]);
  await until(() => feed.isCoherent());
  expect(refused.every((error) => (error as { code?: string }).code === 'StoreUnavailable')).toBe(
    true,
  );
  await requireNothingLost();
  // Changes of others are heard of there.
  const heard: unknown[] = [];
  feed.subscribe((change) => heard.push(change));
  await write();
  await until(() => heard.length > 0);
});

test('the promoted one is found by TLS too', async () => {
  const { authority, client } = pair.certificates;
  const url = pair.tlsUrlOf([['second', 'localhost']], {
    sslmode: 'verify-full',
    sslrootcert: authority,
    sslcert: client.certificate,
    sslkey: client.key,
  });
  expect((await requireCurrentSchema(url)).newer).toEqual([]);
});

test('the primary of before, which has come back, gets nothing more', async () => {
  pair.thawPrimary();
  for (let writes = 0; writes < 5; writes += 1) expect(await write()).toBe(true);
  expect(servers.current).toBe(pair.urls[1]);
  await requireNothingLost();
});
