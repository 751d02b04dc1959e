import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { AuditFilter, AuditRecord } from '../../../src/core/audit/record.ts';
import { ServiceError } from '../../../src/core/errors.ts';
import { createAuditReader, createAuditWriter } from '../../../src/store/audit/audit-store.ts';
import { auditOfStandby } from '../../../src/store/audit/standby-audit.ts';
import { createStandbyMarks } from '../../../src/store/audit/standby-marks.ts';
import {
  createStandbyReader,
  type StandbyReader,
} from '../../../src/store/audit/standby-reader.ts';
import { openDatabase, reading } from '../../../src/store/database.ts';
import { migrate, requireCurrentSchema } from '../../../src/store/migrate.ts';
import { examineAuditStandby } from '../../../src/store/diagnosis/standby-diagnosis.ts';
import { readServers } from '../../../src/store/servers.ts';
import { fromGlobalSetup } from '../../support/environment.ts';
import { type PostgresPair, startPostgresPair } from '../../support/postgres-pair.ts';
import { type Db, makePool, processOf, readPages, withClient } from '../../support/store.ts';
import { until } from '../../support/until.ts';

const FILTERS: readonly AuditFilter[] = [{}, { oldestFirst: true }];

let pair: PostgresPair;
let primary: Db;
let context: ReturnType<typeof processOf>;
beforeAll(async () => {
  pair = await startPostgresPair();
  await migrate(pair.ownerUrl);
  primary = openDatabase({ url: pair.serviceUrl, connections: 6, onIdleError: () => undefined });
  context = processOf(primary, await makePool(primary));
}, 120_000);
afterAll(async () => {
  await primary.destroy();
  await pair.remove();
});

const ownerUrl = () => readServers(pair.ownerUrl).urls[0] ?? '';

let reader: StandbyReader;
let standby: Db;
/** Where reads were answered, and why the standby was left. */
let seen: string[] = [];
beforeEach(() => {
  open(pair.urls[1]);
});
afterEach(() => standby.destroy());

function open(url: string): void {
  seen = [];
  standby = openDatabase({
    url,
    servers: readServers(url, 'STRONGROOM_AUDIT_DATABASE_URL'),
    role: 'standby',
    connections: 4,
    onIdleError: () => undefined,
  });
  reader = createStandbyReader({
    primary,
    standby,
    marks: createStandbyMarks(primary, context.poolId, randomUUID()),
    onRead: (from) => seen.push(from),
    onLeft: (cause) => {
      const { cause: inner = cause } = cause as { cause?: unknown };
      const { code, message } = inner as { code?: string; message: string };
      seen.push(`left: ${code ?? message}`);
    },
    onBack: () => seen.push('back'),
  });
}

const record = (): AuditRecord => ({
  time: new Date(),
  requestId: randomUUID(),
  operation: 'KeySign',
  outcome: 'success',
  status: 200,
  durationMs: 1,
});
async function write(count = 1): Promise<string[]> {
  const records = Array.from({ length: count }, record);
  await createAuditWriter(context).write(records);
  return records.map(({ requestId }) => requestId);
}
const isOnStandby = (db: Db) =>
  sql<{ isStandby: boolean }>`select pg_is_in_recovery() as "isStandby"`
    .execute(db)
    .then(({ rows }) => rows[0]?.isStandby);

describe('a read of the audit log', () => {
  test('finds on the standby whatever was acknowledged before it', async () => {
    const events = auditOfStandby(reader, context);
    for (let round = 0; round < 20; round += 1) {
      const written = await write(3);
      const { items } = await events.listEvents({}, { limit: 3 });
      expect(items.map(({ requestId }) => requestId).sort()).toEqual(written.sort());
    }
    expect(seen).toEqual(Array(20).fill('standby'));
    expect(await reader.read(isOnStandby)).toBe(true);
  });

  test('goes on page by page, whichever server has which page, while records are added: none twice, none left out', async () => {
    const own = { ...context, poolId: (await makePool(primary)).id };
    const writer = createAuditWriter({
      ...own,
      chain: processOf(primary, { id: own.poolId }).chain,
    });
    const writeOwn = async (count: number) => {
      const records = Array.from({ length: count }, record);
      await writer.write(records);
      return records.map(({ requestId }) => requestId);
    };
    const written = await writeOwn(40);
    const readers = [auditOfStandby(reader, own), createAuditReader(own)];
    for (const filter of FILTERS) {
      const before = [...written];
      let page = 0;
      const pages = await readPages(
        (at) => (readers[page % 2] ?? createAuditReader(own)).listEvents(filter, at),
        7,
        async () => {
          page += 1;
          if (page < 6) written.push(...(await writeOwn(2)));
        },
      );
      const read = pages.flat().map(({ requestId }) => requestId);
      expect(new Set(read).size).toBe(read.length);
      // Newest first, what is added comes before the first page.
      const expected = filter.oldestFirst === true ? written : before;
      expect([...read].sort()).toEqual([...expected].sort());
    }
    expect(new Set(seen)).toEqual(new Set(['standby']));
  });

  test('that many ask for at once shares few numbers', async () => {
    await reader.read(isOnStandby);
    const marksWritten = async () => {
      const { rows } = await sql<{ number: string }>`
        select number from standby_mark order by written_at desc limit 1`.execute(primary);
      return Number(rows[0]?.number);
    };
    const before = await marksWritten();
    await Promise.all(Array.from({ length: 30 }, () => reader.read(isOnStandby)));
    expect((await marksWritten()) - before).toBeLessThanOrEqual(3);
  });

  test('can change nothing there', async () => {
    await expect(
      standby
        .insertInto('standby_mark')
        .values({ pool_id: context.poolId, process: randomUUID(), number: '1' })
        .execute(),
    ).rejects.toMatchObject({ code: '25006' });
  });

  test.each(['BadParameter', 'KeyNotFound'] as const)(
    'that is refused by %s is not asked again',
    async (code) => {
      const refuse = () => Promise.reject(new ServiceError(code, 'no'));
      await expect(reader.read(refuse)).rejects.toMatchObject({ code });
      expect(seen).toEqual([]);
    },
  );

  test('that takes too long there does not burden the primary', async () => {
    const slow = (db: Db) =>
      reading({ db }, (on) =>
        sql`set local statement_timeout = 50; select pg_sleep(5)`.execute(on),
      );
    await expect(reader.read(slow)).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect(seen).toEqual([]);
  });

  test('that the standby cancels, since it has to go on, is answered by the primary', async () => {
    await pair.stopStandby();
    await pair.startStandby({ max_standby_streaming_delay: '50ms' });
    await withClient(ownerUrl(), (owner) =>
      owner.query('create table victim (); grant select on victim to strongroom_service'),
    );
    let tries = 0;
    const answer = await reader.read((db) =>
      reading({ db }, async (on) => {
        await sql`select from victim`.execute(on);
        if ((tries += 1) > 1) return 'answered';
        // The standby replays the lock, for which this transaction is in the way.
        await withClient(ownerUrl(), (owner) =>
          owner.query(
            'drop table victim; create table victim (); grant select on victim to strongroom_service',
          ),
        );
        await sql`select pg_sleep(5)`.execute(on);
        return 'not cancelled';
      }),
    );
    // The standby serves on: the next one is read there.
    expect(await reader.read(isOnStandby)).toBe(true);
    expect([answer, ...seen]).toEqual(['answered', 'primary', 'standby']);
    await pair.stopStandby();
    await pair.startStandby();
  });
});

describe('the primary answers', () => {
  const wasLeft = async (cause: RegExp) => {
    const written = await write();
    const began = performance.now();
    const { items } = await auditOfStandby(reader, context).listEvents({}, { limit: 1 });
    const tookMs = performance.now() - began;
    expect(items.map(({ requestId }) => requestId)).toEqual(written);
    expect(seen).toEqual([expect.stringMatching(cause), 'primary']);
    // Those who come next don't wait for it.
    await reader.read(isOnStandby);
    expect(seen.at(-1)).toBe('primary');
    return tookMs;
  };

  test('where the standby is more than a second behind, and the standby again once it has caught up', async () => {
    await pair.stopStandby();
    await pair.startStandby({ recovery_min_apply_delay: '3s' });
    expect(await wasLeft(/^left: .* has not shown/)).toBeLessThan(5_000);
    await pair.stopStandby();
    await pair.startStandby();
    await until(async () => (await reader.read(isOnStandby)) === true);
    expect(seen.slice(-2)).toEqual(['standby', 'back']);
  }, 60_000);

  test('where the standby stands still', async () => {
    // A connection is there that says nothing any more.
    await reader.read(isOnStandby);
    seen.length = 0;
    pair.freezeStandby();
    try {
      const began = performance.now();
      expect(await reader.read(isOnStandby)).toBe(false);
      expect(performance.now() - began).toBeLessThan(5_000);
      expect(seen).toEqual([expect.stringMatching(/^left: .* has not shown/), 'primary']);
    } finally {
      pair.thawStandby();
    }
  });

  test('where the named server is a primary', async () => {
    await standby.destroy();
    open(pair.urls[0]);
    expect(await reader.read(isOnStandby)).toBe(false);
    expect(seen).toEqual(['left: it is the primary, and no standby', 'primary']);
  });

  test('where a database has the tables and does not follow the primary', async () => {
    // Not even if it holds a number of that process.
    const process = randomUUID();
    const marks = createStandbyMarks(primary, context.poolId, process);
    await marks.write();
    const stray: string[] = [];
    const strayed = createStandbyReader({
      primary,
      standby,
      marks: {
        ...marks,
        // It stays here, as one that was written to another primary.
        write: () => Promise.resolve({ poolId: context.poolId, process, number: 2 }),
      },
      onLeft: ({ message }: Error) => stray.push(message),
      onBack: () => undefined,
    } as Parameters<typeof createStandbyReader>[0]);
    expect(await strayed.read(isOnStandby)).toBe(false);
    expect(stray).toEqual([expect.stringContaining('has not shown')]);
  });

  test('where the standby is away', async () => {
    await pair.stopStandby();
    try {
      expect(await reader.read(isOnStandby)).toBe(false);
      expect(seen).toEqual([expect.stringMatching(/^left: (ENOENT|ECONNREFUSED)/), 'primary']);
    } finally {
      await pair.startStandby();
    }
  });
});

test('of several servers the standby is found, and the one of before once it was promoted is none', async () => {
  await standby.destroy();
  open(pair.serviceUrl);
  expect(await reader.read(isOnStandby)).toBe(true);
});

test('where no number can be written, the primary answers, or says itself what is wrong with it', async () => {
  const causes: unknown[] = [];
  const unmarked = createStandbyReader({
    primary,
    standby,
    marks: {
      write: () => Promise.reject(new Error('no right')),
      remove: () => Promise.resolve(),
    },
    onLeft: (cause) => causes.push(cause),
    onBack: () => undefined,
  });
  const isAway = () => Promise.reject(new ServiceError('StoreUnavailable', 'away'));
  await expect(unmarked.read(isAway)).rejects.toMatchObject({ code: 'StoreUnavailable' });
  expect(causes).toEqual([]);
  expect(await unmarked.read(isOnStandby)).toBe(false);
  expect(causes).toEqual([new Error('no right')]);
});

describe('doctor', () => {
  const told = async (url: string) =>
    (await examineAuditStandby(url, pair.serviceUrl)).map(
      ({ severity, sentence }) => `${severity}: ${sentence}`,
    );

  test('says of each server what it is, and what its user may do there', async () => {
    await write();
    expect(await told(pair.serviceUrl)).toEqual([
      expect.stringMatching(/^ok: .* is the primary, on which nothing is read by this setting\.$/),
      expect.stringMatching(
        /^ok: .* is a standby, where "strongroom" signs in, who may change what the service may change\. The last change that it has is \d+ s old\.$/,
      ),
    ]);
  });

  test('warns of a server that follows another primary, and of one that is away', async () => {
    expect(await told(fromGlobalSetup('STRONGROOM_TEST_SERVICE_URL'))).toEqual([
      expect.stringMatching(/^warning: .* is no standby of the database in DATABASE_URL\.$/),
    ]);
    expect(await told('postgres://nobody@127.0.0.1:1/none')).toEqual([
      expect.stringMatching(/^warning: 127\.0\.0\.1:1: /),
    ]);
  });

  test('warns of a user who may not read', async () => {
    await withClient(ownerUrl(), (client) =>
      client.query(`create role blind login password 'blind'`),
    );
    const blind = pair.urls[1].replace(/\/\/[^@]+@/, '//blind:blind@');
    await until(async () => (await told(blind))[0]?.includes('"blind"') === true);
    expect(await told(blind)).toEqual([
      expect.stringMatching(/^warning: .*"blind" may not read standby_mark, .*key_version: /),
    ]);
  });
});

test('a command that verifies the log is refused on the standby', async () => {
  await expect(requireCurrentSchema(pair.urls[1])).rejects.toMatchObject({ code: '25006' });
});
