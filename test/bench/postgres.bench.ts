import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import type { AuditRecord } from '../../src/core/audit/record.ts';
import { createAuditWriter } from '../../src/store/audit/audit-store.ts';
import { openDatabase } from '../../src/store/database.ts';
import { createKeyWriter } from '../../src/store/keys/key-writer.ts';
import { migrate } from '../../src/store/migrate.ts';
import { type PostgresPair, startPostgresPair } from '../support/postgres-pair.ts';
import { type Db, makePool, newChange, newVersion, processOf } from '../support/store.ts';
import { cpuBetween, cpuTimes, processTree } from './cpu-time.ts';

/**
 * What one PostgreSQL takes and bears: `npm run bench:postgres` prints CPU, WAL and disk of audit records by how many go
 * together in a commit, and of keys, on a primary with a synchronous standby.
 */

const ROUND_MS = Number(process.env['STRONGROOM_BENCH_ROUND_MS'] ?? 5_000);
const WARM_MS = 2_000;
const KEYS = 500;
/** Processes of the service, and records in a commit of each. */
const LOADS = [
  [1, 1],
  [4, 1],
  [4, 5],
  [4, 25],
  [8, 25],
  [4, 100],
] as const;

let pair: PostgresPair;
let db: Db;
let pool: { readonly id: string };
beforeAll(async () => {
  pair = await startPostgresPair();
  await migrate(pair.ownerUrl);
  db = openDatabase({ url: pair.urls[0], connections: 12, onIdleError: () => undefined });
  pool = await makePool(db);
}, 120_000);
afterAll(async () => {
  await db.destroy();
  await pair.remove();
});

/** As a wrap leaves one. */
const record = (): AuditRecord => ({
  time: new Date(),
  requestId: randomUUID(),
  tenantId: pool.id,
  principalId: randomUUID(),
  principalName: 'payments-service',
  applicationId: randomUUID(),
  clientAddress: '192.0.2.17',
  userAgent: 'azsdk-net-Security.KeyVault.Keys/4.6.0 (.NET 8.0.5; Ubuntu 22.04.4 LTS)',
  operation: 'KeyWrap',
  action: 'Microsoft.KeyVault/managedHsm/keys/wrap/action',
  scope: '/keys/payments-2026',
  keyName: 'payments-2026',
  keyVersion: randomBytes(16).toString('hex'),
  algorithm: 'A256KW',
  outcome: 'success',
  status: 200,
  durationMs: 2.125,
});

interface Cost {
  readonly count: number;
  readonly seconds: number;
  readonly primaryUs: number;
  readonly standbyUs: number;
  readonly walBytes: number;
  readonly diskBytes: number;
}

async function measure(work: () => Promise<number>): Promise<Cost> {
  const cpu = () => ({
    primary: cpuTimes(processTree(pair.primaryPid ?? NaN)),
    standby: cpuTimes(processTree(pair.standbyPid ?? NaN)),
  });
  const state = async () => {
    const { rows } = await sql<{ wal: string; disk: string }>`
      select pg_current_wal_insert_lsn() - '0/0' as wal,
        (select sum(pg_total_relation_size(oid)) from pg_class
         where relkind = 'r' and relnamespace = 'public'::regnamespace) as disk`.execute(db);
    return { wal: Number(rows[0]?.wal), disk: Number(rows[0]?.disk) };
  };
  const [before, cpuBefore, began] = [await state(), cpu(), performance.now()];
  const count = await work();
  const seconds = (performance.now() - began) / 1_000;
  const [after, cpuAfter] = [await state(), cpu()];
  return {
    count,
    seconds,
    primaryUs: cpuBetween(cpuBefore.primary, cpuAfter.primary),
    standbyUs: cpuBetween(cpuBefore.standby, cpuAfter.standby),
    walBytes: after.wal - before.wal,
    diskBytes: after.disk - before.disk,
  };
}

async function write(writers: number, batch: number, milliseconds: number): Promise<number> {
  const end = performance.now() + milliseconds;
  let written = 0;
  await Promise.all(
    Array.from({ length: writers }, async () => {
      const writer = createAuditWriter(processOf(db, pool));
      while (performance.now() < end) {
        await writer.write(Array.from({ length: batch }, record));
        written += batch;
      }
    }),
  );
  return written;
}

const row = ({ count, seconds, primaryUs, standbyUs, walBytes, diskBytes }: Cost) => ({
  'a second': Math.round(count / seconds),
  'primary us': Math.round(primaryUs / count),
  'standby us': Math.round(standbyUs / count),
  'WAL bytes': Math.round(walBytes / count),
  'disk bytes': Math.round(diskBytes / count),
});

test('audit records, by how many go together', async () => {
  await write(4, 25, WARM_MS);
  const table: Record<string, ReturnType<typeof row>> = {};
  for (const [writers, batch] of LOADS)
    table[`${writers} writers, ${batch} in a commit`] = row(
      await measure(() => write(writers, batch, ROUND_MS)),
    );
  console.table(table);
  expect(Object.keys(table)).toHaveLength(LOADS.length);
}, 600_000);

test('keys', async () => {
  const keys = createKeyWriter(processOf(db, pool));
  const create = async () => {
    for (let made = 0; made < KEYS; made += 1)
      await keys.insertVersion(newVersion(pool.id, `key-${randomUUID()}`), newChange());
    return KEYS;
  };
  await create();
  const table = { 'P-256, created': row(await measure(create)) };
  console.table(table);
  expect(Object.keys(table)).toHaveLength(1);
}, 600_000);
