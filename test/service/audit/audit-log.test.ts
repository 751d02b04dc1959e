import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { linkHash, canonicalRecord } from '../../../src/core/audit/chain.ts';
import { toLinkedRecord } from '../../../src/store/audit/audit-rows.ts';
import type { AuditEventRow } from '../../../src/store/tables.ts';
import { useProduction } from '../../support/use-service.ts';

const run = promisify(execFile);
const MAIN = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));
const VALUE = Buffer.alloc(32, 7).toString('base64url');
const TABLES = ['audit_event', 'audit_chain', 'audit_checkpoint', 'audit_checkpoint_head'];

const { production, admin, atEnd } = useProduction({ STRONGROOM_WORKERS: '1' });
let owner: pg.Client;
let chain = '';
beforeAll(async () => {
  owner = new pg.Client({ connectionString: production.database.ownerUrl });
  await owner.connect();
  atEnd(() => owner.end());
  await admin('POST', '/keys/one/create', { kty: 'oct-HSM' });
  for (let round = 0; round < 3; round += 1) {
    for (let call = 0; call < 20; call += 1)
      await admin('POST', '/keys/one/wrapkey', { alg: 'A256KW', value: VALUE });
    await signed();
  }
  const { rows } = await owner.query<{ chain: string }>(
    `select chain from audit_event where operation = 'KeyWrap' limit 1`,
  );
  chain = rows[0]?.chain ?? '';
}, 120_000);

/** Waits until every record that is there now is covered by a signature. */
async function signed(): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    const { rows } = await owner.query<{ open: string }>(
      `select count(*) as open from audit_event e where not exists (
         select from audit_checkpoint_head h where h.chain = e.chain and h.sequence >= e.sequence)`,
    );
    if (rows[0]?.open === '0') return;
    await delay(200);
  }
  throw new Error('the audit log is not signed');
}

interface Report {
  readonly verified: boolean;
  readonly checkpoints: number;
  readonly records: number;
  readonly unsigned: number;
  readonly rows: number;
  readonly problem?: Readonly<Record<string, unknown>>;
}

async function verify(body: object = {}): Promise<Report> {
  const answer = await admin('POST', '/audit/verify', body);
  expect(answer.status).toBe(200);
  return answer.json();
}

/** As it was before it was tampered with; the process goes on adding to it meanwhile. */
async function restore(): Promise<void> {
  await owner.query('begin');
  for (const table of ['audit_event', 'audit_chain', 'audit_checkpoint_head', 'audit_checkpoint']) {
    // What the running process has added since stays: it follows on what is put back.
    await owner.query(
      `delete from ${table} t where exists (select from kept_${table} k where ${SAME[table] ?? ''})`,
    );
  }
  for (const table of ['audit_chain', 'audit_checkpoint', 'audit_checkpoint_head', 'audit_event']) {
    const { rows } = await owner.query<{ columns: string }>(
      `select string_agg(quote_ident(column_name), ', ') as columns from information_schema.columns
       where table_name = $1`,
      [table],
    );
    const columns = rows[0]?.columns ?? '';
    await owner.query(
      `insert into ${table} (${columns}) overriding system value select ${columns} from kept_${table} on conflict do nothing`,
    );
  }
  await owner.query('commit');
}
const SAME: Readonly<Record<string, string>> = {
  audit_event:
    'k.chain = t.chain and t.sequence <= (select max(sequence) from kept_audit_event m where m.chain = t.chain)',
  audit_chain: 'k.chain = t.chain',
  audit_checkpoint: 'k.number = t.number',
  audit_checkpoint_head: 'k.number = t.number',
};

describe('an audit log that nobody has touched', () => {
  test('verifies, whole and in part', async () => {
    const whole = await verify();
    expect(whole).toMatchObject({ verified: true });
    expect(whole.records).toBeGreaterThan(60);
    expect(whole.checkpoints).toBeGreaterThanOrEqual(4);
    const { rows } = await owner.query<{ time: Date }>(
      'select time from audit_checkpoint where number = 3',
    );
    const from = rows[0]?.time.toISOString();
    const part = await verify({ from });
    expect(part).toMatchObject({ verified: true });
    expect(part.records).toBeLessThan(whole.records);
    expect(await verify({ to: from })).toMatchObject({
      verified: true,
      checkpoints: 3,
      unsigned: 0,
    });
  });

  test('holds a checkpoint that was kept elsewhere', async () => {
    const page = (await admin('GET', '/audit/checkpoints?maxresults=2')).json<{
      value: { number: number; statement: string }[];
      nextLink?: string;
    }>();
    expect(page.value.map(({ number }) => number)).toEqual([1, 2]);
    expect(page.nextLink).toContain('skiptoken');
    expect(await verify({ checkpoint: page.value[1]?.statement })).toMatchObject({
      verified: true,
    });
    expect(await verify({ checkpoint: 'a.b.c' })).toMatchObject({
      verified: false,
      problem: { kind: 'checkpoint differs from the known one' },
    });
  });

  test('verifies with the command, for whoever holds the database and the HSM', async () => {
    const { stdout } = await run(process.execPath, [MAIN, 'audit', 'verify'], {
      env: production.settings,
    });
    expect(stdout).toMatch(/^The audit log is what was written: \d+ records and \d+ checkpoints/);
  });
});

describe('is found, and the first record named:', () => {
  beforeEach(async () => {
    for (const table of TABLES) {
      await owner.query(`drop table if exists kept_${table}`);
      await owner.query(`create table kept_${table} as select * from ${table}`);
    }
  });
  afterEach(restore);

  const at = (sequence: number) => ({ chain, sequence });
  const requestOf = async (sequence: number) => {
    const { rows } = await owner.query<{ request_id: string }>(
      'select request_id from kept_audit_event where chain = $1 and sequence = $2',
      [chain, sequence],
    );
    return rows[0]?.request_id;
  };

  test.each([
    ['operation', `operation = 'KeyRead'`],
    ['principal', `principal_id = 'somebody'`],
    ['outcome', `outcome = 'failure'`],
    ['time', `time = time - interval '1 hour'`],
    ['change', `change = '{}'`],
    ['client address', 'client_address = null'],
    ['hash', `hash = sha256('x')`],
  ])('a record whose %s was changed', async (_, change) => {
    await owner.query(`update audit_event set ${change} where chain = $1 and sequence = 7`, [
      chain,
    ]);
    expect(await verify()).toMatchObject({
      verified: false,
      problem: { kind: 'changed', ...at(7), requestId: await requestOf(7) },
    });
  });

  test('one that was deleted', async () => {
    await owner.query('delete from audit_event where chain = $1 and sequence = 9', [chain]);
    expect(await verify()).toMatchObject({ problem: { kind: 'removed', ...at(9) } });
  });

  test('the first one of a chain, deleted', async () => {
    await owner.query('delete from audit_event where chain = $1 and sequence = 1', [chain]);
    expect(await verify()).toMatchObject({ problem: { kind: 'removed', ...at(1) } });
  });

  test('all of a chain, deleted', async () => {
    await owner.query('delete from audit_event where chain = $1', [chain]);
    await owner.query('delete from audit_chain where chain = $1', [chain]);
    expect(await verify()).toMatchObject({ problem: { kind: 'removed', ...at(1) } });
  });

  test('one that was deleted, with those after it moved up', async () => {
    await owner.query('delete from audit_event where chain = $1 and sequence = 9', [chain]);
    await owner.query(
      'update audit_event set sequence = sequence - 1 where chain = $1 and sequence > 9',
      [chain],
    );
    expect(await verify()).toMatchObject({
      problem: { kind: 'changed', ...at(9), requestId: await requestOf(10) },
    });
  });

  test('one that was inserted beside another', async () => {
    await owner.query(
      `insert into audit_event select pool_id, chain, sequence, time + interval '1 ms', gen_random_uuid(),
         client_request_id, tenant_id, principal_id, application_id, principal_name, client_address, user_agent,
         operation, action, scope, key_name, key_version, algorithm, outcome, status, error_code, reason,
         duration_ms, change, hash from audit_event where chain = $1 and sequence = 5`,
      [chain],
    );
    expect(await verify()).toMatchObject({ problem: { kind: 'inserted', ...at(5) } });
  });

  test('two that were swapped', async () => {
    await swap(4, 6);
    expect(await verify()).toMatchObject({ problem: { kind: 'reordered', ...at(4) } });
  });

  async function swap(a: number, b: number): Promise<void> {
    for (const [from, to] of [
      [a, 1e9],
      [b, a],
      [1e9, b],
    ])
      await owner.query('update audit_event set sequence = $3 where chain = $1 and sequence = $2', [
        chain,
        from,
        to,
      ]);
  }

  test('the tail, cut off', async () => {
    await signed();
    const { rows } = await owner.query<{ end: string }>(
      'select max(sequence) as end from kept_audit_event where chain = $1',
      [chain],
    );
    const end = Number(rows[0]?.end);
    await owner.query('delete from audit_event where chain = $1 and sequence > $2', [
      chain,
      end - 3,
    ]);
    expect(await verify()).toMatchObject({ problem: { kind: 'removed', ...at(end - 2) } });
  });

  test('one that was changed, with the hashes of all after it made anew', async () => {
    await owner.query(`update audit_event set status = 403 where chain = $1 and sequence = 3`, [
      chain,
    ]);
    const { rows } = await owner.query<AuditEventRow>(
      'select * from audit_event where chain = $1 order by sequence',
      [chain],
    );
    let before: Uint8Array = new Uint8Array(32);
    for (const row of rows) {
      const canonical = canonicalRecord(
        row.pool_id,
        { chain, sequence: Number(row.sequence) },
        toLinkedRecord(row),
      );
      before = linkHash(before, canonical);
      await owner.query('update audit_event set hash = $3 where chain = $1 and sequence = $2', [
        chain,
        row.sequence,
        Buffer.from(before),
      ]);
    }
    const { problem } = await verify();
    expect(problem).toMatchObject({ kind: 'changed', chain });
    expect(problem?.['sequence']).toBeLessThanOrEqual(3);
    expect(problem?.['upTo']).toBeGreaterThanOrEqual(3);
  });

  test('a record after the end of a chain', async () => {
    const { rows } = await owner.query<{ chain: string; sequence: string }>(
      'select chain, sequence from audit_checkpoint_head where ends limit 1',
    );
    await owner.query(
      `insert into audit_event (pool_id, chain, sequence, time, request_id, operation, outcome, status, duration_ms, hash)
       select pool_id, chain, sequence + 1, time, gen_random_uuid(), 'KeySign', 'success', 200, 1, hash
       from audit_event where chain = $1 and sequence = $2`,
      [rows[0]?.chain, rows[0]?.sequence],
    );
    expect(await verify()).toMatchObject({ problem: { kind: 'inserted', chain: rows[0]?.chain } });
    await owner.query('delete from audit_event where chain = $1 and sequence > $2', [
      rows[0]?.chain,
      rows[0]?.sequence,
    ]);
  });

  test('a chain that no process has written', async () => {
    const forged = '00000000-0000-4000-8000-000000000000';
    await owner.query(
      `insert into audit_event (pool_id, chain, sequence, time, request_id, operation, outcome, status, duration_ms, hash)
       select pool_id, $2, 1, time - interval '2 hours', gen_random_uuid(), 'KeySign', 'success', 200, 1, hash
       from audit_event where chain = $1 and sequence = 1`,
      [chain, forged],
    );
    expect(await verify()).toMatchObject({
      verified: false,
      problem: { chain: forged, sequence: 1 },
    });
    await owner.query('delete from audit_event where chain = $1', [forged]);
  });

  test.each([
    [
      'changed',
      `update audit_checkpoint set statement = replace(statement, '.', '.A') where number = 2`,
      'checkpoint changed',
      2,
    ],
    [
      'with another time',
      `update audit_checkpoint set time = time - interval '1 s' where number = 2`,
      'checkpoint changed',
      2,
    ],
    [
      'put in the place of another',
      `update audit_checkpoint a set statement = b.statement, time = b.time from audit_checkpoint b where a.number = 2 and b.number = 3`,
      'checkpoint changed',
      2,
    ],
    ['deleted', 'delete from audit_checkpoint where number = 2', 'checkpoint removed', 2],
    [
      'the first, deleted',
      'delete from audit_checkpoint where number = 1',
      'checkpoint removed',
      1,
    ],
  ])('a checkpoint that was %s', async (_, statement, kind, number) => {
    await owner.query(statement);
    expect(await verify()).toMatchObject({ verified: false, problem: { kind, number } });
  });

  test('the newest checkpoints, taken away: the next one that is signed leaves the gap', async () => {
    const { rows } = await owner.query<{ number: string }>(
      'select max(number) as number from audit_checkpoint',
    );
    const newest = Number(rows[0]?.number);
    await owner.query('delete from audit_checkpoint where number >= $1', [newest]);
    let report = await verify();
    for (let tries = 0; tries < 60 && report.verified; tries += 1) {
      await delay(250);
      report = await verify();
    }
    expect(report.problem).toEqual({ kind: 'checkpoint removed', number: newest });
  });

  test('with the command, whose status tells', async () => {
    await owner.query(`update audit_event set status = 403 where chain = $1 and sequence = 3`, [
      chain,
    ]);
    const failed = await run(process.execPath, [MAIN, 'audit', 'verify'], {
      env: production.settings,
    }).catch((error: unknown) => error as { code: number; stdout: string });
    expect(failed).toMatchObject({ code: 2 });
    expect(failed.stdout).toContain(
      `The audit log is NOT what was written: record changed: chain ${chain}, sequence 3, request ${String(await requestOf(3))}`,
    );
  });
});

describe('what the service keeps besides the audit log', () => {
  /** Undoes what a test has done to a row: the owner's own changes leave no record. */
  async function tampered(change: string, undo: string): Promise<Report> {
    await owner.query(change);
    try {
      return await verify();
    } finally {
      await owner.query(undo);
    }
  }

  test('is what its records say, row by row, whatever was asked of it', async () => {
    const asked: [string, string, object?][] = [
      ['POST', '/keys/life/create', { kty: 'RSA-HSM', tags: { a: 'b' } }],
      ['POST', '/keys/life/rotate', {}],
      ['PATCH', '/keys/life', { attributes: { enabled: false, exp: 4_000_000_000 } }],
      [
        'PUT',
        '/keys/life/rotationpolicy',
        {
          lifetimeActions: [{ trigger: { timeAfterCreate: 'P90D' }, action: { type: 'Rotate' } }],
          attributes: {},
        },
      ],
      ['DELETE', '/keys/life'],
      ['POST', '/deletedkeys/life/recover', {}],
      ['POST', '/keys/gone/create', { kty: 'EC-HSM', crv: 'P-256' }],
      ['DELETE', '/keys/gone'],
      ['DELETE', '/deletedkeys/gone'],
      ['PATCH', '/settings/AllowRsa15', { value: 'false' }],
      ['PATCH', '/settings/AllowRsa15', { value: 'true' }],
    ];
    for (const [method, path, body] of asked)
      expect([path, (await admin(method, path, body)).status < 300]).toEqual([path, true]);
    const report = await verify();
    expect(report).toMatchObject({ verified: true });
    expect(report.rows).toBeGreaterThan(90);
  });

  test('and a row that its owner changes is named, with the record that says otherwise', async () => {
    const report = await tampered(
      `update key_version set enabled = true where name_key = 'life' and not enabled`,
      `update key_version set enabled = false where name_key = 'life' and expires is not null`,
    );
    expect(report).toMatchObject({
      verified: false,
      problem: {
        kind: 'row changed',
        table: 'key_version',
        row: expect.stringContaining('life'),
        record: { operation: 'KeyUpdate', requestId: expect.any(String) },
      },
    });
  });

  test('and a role that its owner grants is found, by the command too', async () => {
    const id = '11111111-2222-4333-8444-555555555555';
    await owner.query(
      `insert into role_assignment (pool_id, id, principal_id, role_id, scope)
       select pool_id, $1, 'mallory', role_id, '/' from role_assignment limit 1`,
      [id],
    );
    const failed = await run(process.execPath, [MAIN, 'audit', 'verify'], {
      env: production.settings,
    }).catch((error: unknown) => error as { code: number; stdout: string });
    await owner.query('delete from role_assignment where id = $1', [id]);
    expect(failed).toMatchObject({ code: 2 });
    expect(failed.stdout).toContain(
      `The store is NOT what was written: row inserted: role_assignment ["${id}"]; no record speaks of it`,
    );
    expect(await verify()).toMatchObject({ verified: true });
  });
});
