import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createUsageReader, countUsage } from '../../src/store/audit/usage-store.ts';
import { createAuditReader } from '../../src/store/audit/audit-store.ts';
import { findPool } from '../../src/store/pool/pool-store.ts';
import { type Caller, createCaller } from '../support/client.ts';
import { modulesFolder } from '../support/modules.ts';
import { type ProductionService, startProduction } from '../support/production.ts';
import { openConnections, processOf, withClient } from '../support/store.ts';

/**
 * What the audit log costs: `npm run bench:audit` prints A256KW wraps with the audit log on and off, as ratios of rounds that
 * take turns, and the times of usage queries over many records (STRONGROOM_BENCH_RECORDS, a million where absent).
 */

const CHILD = fileURLToPath(new URL('service-process.mjs', import.meta.url));
const VALUE = Buffer.alloc(32, 7).toString('base64url');
const ROUNDS = 7;
const ROUND_MS = 2_000;
const CALLS_AT_ONCE = 32;
const RECORDS = Number(process.env['STRONGROOM_BENCH_RECORDS'] ?? 1_000_000);

let production: ProductionService;
beforeAll(async () => {
  await modulesFolder();
  production = await startProduction({ STRONGROOM_WORKERS: '1' }, { isMeasured: true });
  await production.admin('POST', '/keys/wrapping/create', { kty: 'oct-HSM' });
}, 60_000);
afterAll(() => production.stop());

interface Measured {
  readonly child: ChildProcess;
  readonly call: Caller & { close(): void };
}

async function start(audited: boolean): Promise<Measured> {
  const { settings, service, adminToken } = production;
  const child = fork(CHILD, { env: { ...settings }, execArgv: [] });
  const file = (name: string) => readFile(settings[name] ?? '', 'utf8');
  child.send({
    audited,
    settings: {
      domain: 'hsm.example',
      pool: 'main',
      databaseUrl: settings['DATABASE_URL'],
      replica: { id: randomUUID(), name: 'bench', version: '0', schema: '0' },
      pkcs11: {
        module: settings['PKCS11_MODULE'],
        tokenLabel: settings['PKCS11_TOKEN_LABEL'],
        pin: settings['PKCS11_PIN'],
      },
      limits: { perPrincipal: 1e6, perAddress: 1e6, refusedCredentials: 1e6 },
      tls: {
        certificate: await file('STRONGROOM_TLS_CERT_FILE'),
        privateKey: await file('STRONGROOM_TLS_KEY_FILE'),
      },
    },
  });
  const [{ port }] = (await once(child, 'message')) as [{ port: number }];
  return { child, call: createCaller({ port, ca: service.ca }, adminToken) };
}

/** Requests of one round, and the microseconds of CPU that each took in the service's process. */
async function round({ child, call }: Measured): Promise<{ perSecond: number; cpuUs: number }> {
  const cpu = async () => {
    child.send('cpu');
    const [{ user, system }] = (await once(child, 'message')) as [NodeJS.CpuUsage];
    return user + system;
  };
  const before = await cpu();
  const end = performance.now() + ROUND_MS;
  let done = 0;
  await Promise.all(
    Array.from({ length: CALLS_AT_ONCE }, async () => {
      while (performance.now() < end) {
        const { status } = await call('POST', '/keys/wrapping/wrapkey', {
          alg: 'A256KW',
          value: VALUE,
        });
        if (status !== 200) throw new Error(`answered with ${status}`);
        done += 1;
      }
    }),
  );
  return { perSecond: (done * 1000) / ROUND_MS, cpuUs: ((await cpu()) - before) / done };
}

const median = (values: readonly number[]) =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

test('A256KW wrap with the audit log on and off', async () => {
  const [on, off] = [await start(true), await start(false)];
  await round(on);
  await round(off);
  const rows = [];
  for (let turn = 0; turn < ROUNDS; turn += 1) {
    const [audited, bare] = [await round(on), await round(off)];
    rows.push({
      'on a second': Math.round(audited.perSecond),
      'off a second': Math.round(bare.perSecond),
      ratio: Number((audited.perSecond / bare.perSecond).toFixed(2)),
      'on CPU us': Math.round(audited.cpuUs),
      'off CPU us': Math.round(bare.cpuUs),
      'CPU ratio': Number((bare.cpuUs / audited.cpuUs).toFixed(2)),
    });
  }
  console.table(rows);
  console.info(
    `on to off: ${median(rows.map(({ ratio }) => ratio))} by requests a second, ${median(rows.map((row) => row['CPU ratio']))} by CPU of the process`,
  );
  for (const { child, call } of [on, off]) {
    call.close();
    child.disconnect();
  }
  expect(rows).toHaveLength(ROUNDS);
}, 300_000);

test('usage over many records', async () => {
  const db = openConnections(production.database.serviceUrl, 2);
  const poolId = (await findPool(db, 'main'))?.id ?? '';
  const context = processOf(db, { id: poolId });
  const chain = '99999999-9999-4999-8999-999999999999';
  const filled = performance.now();
  await withClient(production.database.ownerUrl, async (client) => {
    await client.query(
      'insert into audit_chain (pool_id, chain, begun_at) values ($1, $2, now())',
      [poolId, chain],
    );
    for (let done = 0; done < RECORDS; done += 250_000)
      await client.query(
        `insert into audit_event (pool_id, chain, sequence, time, request_id, principal_id, operation, key_name,
           outcome, status, duration_ms, hash)
         select $1, $2, i, now() - interval '20 days' * (1 - i::float / $5), gen_random_uuid(),
           'principal-' || (i * 7919) % 100, (array['KeyWrap', 'KeyUnwrap', 'KeySign', 'KeyGet'])[1 + i % 4],
           'key-' || (i * 104729) % 1000, case when i % 50 = 0 then 'failure' else 'success' end,
           200, 1, '\\x0000000000000000000000000000000000000000000000000000000000000000'
         from generate_series($3::bigint, $4::bigint) i`,
        [poolId, chain, done + 1, Math.min(RECORDS, done + 250_000), RECORDS],
      );
  });
  const counted = performance.now();
  while (await countUsage({ db, poolId }));
  const ready = performance.now();
  await withClient(production.database.ownerUrl, (client) => client.query('analyze'));
  const { rows } = await withClient(production.database.ownerUrl, (client) =>
    client.query<{ records: string; rows: string }>(
      `select (select count(*) from audit_event where chain = $1) as records, (select count(*) from audit_usage) as rows`,
      [chain],
    ),
  );
  console.info(
    `${String(rows[0]?.records)} records written in ${Math.round((counted - filled) / 1000)} s, counted into ${String(rows[0]?.rows)} rows in ${Math.round((ready - counted) / 1000)} s`,
  );
  const usage = createUsageReader(context);
  const events = createAuditReader(context);
  const page = { limit: 1000 };
  const from = new Date(Date.now() - 10 * 86_400_000);
  const queries = {
    'one key by day': () => usage.listUsage({ period: 'day', keyName: 'key-7' }, page),
    'one key by hour, ten days': () =>
      usage.listUsage({ period: 'hour', keyName: 'key-7', from }, page),
    'one principal by day': () =>
      usage.listUsage({ period: 'day', principalId: 'principal-3' }, page),
    'everything by hour, first page': () => usage.listUsage({ period: 'hour' }, page),
    'unused keys': () => usage.listUnusedKeys(new Date(), page),
    'events of one key': () => events.listEvents({ keyName: 'key-7' }, page),
    'events of one principal until ten days ago': () =>
      events.listEvents({ principalId: 'principal-3', to: from }, page),
    'all events until ten days ago': () => events.listEvents({ to: from }, page),
  };
  const table = [];
  for (const [name, query] of Object.entries(queries)) {
    const times: number[] = [];
    let items = 0;
    for (let turn = 0; turn < 11; turn += 1) {
      const began = performance.now();
      items = (await query()).items.length;
      times.push(performance.now() - began);
    }
    table.push({
      query: name,
      items,
      'median ms': Number(median(times).toFixed(1)),
      'slowest ms': Number(Math.max(...times).toFixed(1)),
    });
  }
  console.table(table);
  expect(table).toHaveLength(Object.keys(queries).length);
  await db.destroy();
}, 3_000_000);
