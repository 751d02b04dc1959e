import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { prepareDevelopmentCertificate } from '../../src/setup/trust/development-ca.ts';
import { migrate } from '../../src/store/migrate.ts';
import { type Answer, type Caller, createCaller, fetchToken } from '../support/client.ts';
import { freePort } from '../support/free-port.ts';
import { type PgBouncer, pgBouncerIsMissing, startPgBouncer } from '../support/pgbouncer.ts';
import { type PostgresPair, startPostgresPair } from '../support/postgres-pair.ts';
import { ROLE } from '../support/roles.ts';
import { type RunningService, startService } from '../support/service.ts';
import { makeToken } from '../support/softhsm.ts';
import { until } from '../support/until.ts';

/**
 * A service before a primary and a synchronous standby, through a PgBouncer in session mode for each where the machine has it,
 * which reads the audit log on the standby, through one in transaction mode. Callers look for each of their answers in the log at once, while the standby
 * cancels reads, stands still and is promoted.
 */
const run = promisify(execFile);
const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const DOMAIN = 'hsm.example';
const CALLERS = 4;
const CALM_MS = 6_000;
const MINUTES_MS = 60_000;
const INSIST_MS = 60_000;

if (pgBouncerIsMissing !== undefined)
  console.info(`without poolers, straight to PostgreSQL: ${pgBouncerIsMissing}`);

let place: string;
let pair: PostgresPair;
let poolers: readonly PgBouncer[] = [];
let token: Awaited<ReturnType<typeof makeToken>>;
let settings: Record<string, string>;
let service: RunningService;
let call: Caller & { close(): void };
let metricsPort: number;

beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), 'strongroom-standby-'));
  pair = await startPostgresPair();
  await migrate(pair.ownerUrl);
  token = await makeToken();
  metricsPort = await freePort();
  const { certificate, privateKey, caFile } = await prepareDevelopmentCertificate(place, {
    domain: DOMAIN,
  });
  const file = async (name: string, content: string) => {
    await writeFile(join(place, name), content);
    return join(place, name);
  };
  settings = {
    PATH: process.env['PATH'] ?? '',
    ...token.environment,
    DATABASE_URL: await wayTo(pair),
    STRONGROOM_AUDIT_DATABASE_URL: await wayToStandby(pair),
    STRONGROOM_DOMAIN: DOMAIN,
    STRONGROOM_TLS_CERT_FILE: await file('cert.pem', certificate),
    STRONGROOM_TLS_KEY_FILE: await file('key.pem', privateKey),
    STRONGROOM_WORKERS: '1',
    STRONGROOM_KEYS: 'sealed',
    STRONGROOM_METRICS_LISTEN: `127.0.0.1:${metricsPort}`,
  };
  const credentialsFile = join(place, 'administrator.json');
  await strongroom('bootstrap', '--credentials', credentialsFile, '--no-security-domain');
  const credentials = JSON.parse(await readFile(credentialsFile, 'utf8')) as {
    readonly clientId: string;
    readonly clientSecret: string;
    readonly principalId: string;
  };
  service = await startService(join(place, 'unused'), settings, { caFile });
  call = createCaller(service, await fetchToken(service, credentials, `https://${DOMAIN}`));
  for (const role of [ROLE.officer, ROLE.user])
    await call('PUT', `/providers/Microsoft.Authorization/roleAssignments/${role}`, {
      properties: { roleDefinitionId: role, principalId: credentials.principalId },
    });
  expect((await call('POST', '/keys/shared/create', { kty: 'oct-HSM' })).status).toBe(200);
}, 5 * MINUTES_MS);
afterAll(async () => {
  for (const close of closing) close();
  call.close();
  await service.stop();
  await Promise.all(poolers.map((pooler) => pooler.close()));
  await pair.remove();
  await token.remove();
  await rm(place, { recursive: true, force: true });
}, MINUTES_MS);

async function wayTo({ urls, serviceUrl }: PostgresPair): Promise<string> {
  if (pgBouncerIsMissing !== undefined) return serviceUrl;
  poolers = [await startPgBouncer(urls[0], 'session'), await startPgBouncer(urls[1], 'session')];
  const [first, second] = poolers.map(({ url }) => new URL(url));
  return `postgres://${first?.username}:${first?.password}@${first?.host},${second?.host}${first?.pathname}`;
}

/** Each read there is a transaction of its own, so a pooler may lend its sessions to others. */
async function wayToStandby({ urls, serviceUrl }: PostgresPair): Promise<string> {
  if (pgBouncerIsMissing !== undefined) return serviceUrl;
  const pooler = await startPgBouncer(urls[1], 'transaction');
  poolers = [...poolers, pooler];
  return pooler.url;
}

const strongroom = async (...words: readonly string[]) =>
  (await run(process.execPath, [MAIN, ...words], { env: settings })).stdout;

/** Where the audit log was read, as the metrics count it. */
async function readsOf(server: 'standby' | 'primary'): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const line = new RegExp(`^strongroom_audit_reads_total\\{server="${server}"\\} (\\d+)`, 'm');
  return Number(line.exec(text)?.[1] ?? 0);
}

const closing: (() => unknown)[] = [];
const wrong: string[] = [];
const acknowledged: string[] = [];
let longestReadMs = 0;

/** As Azure's libraries: again after 503 and after a connection that broke. */
async function insist(...given: Parameters<Caller>): Promise<Answer> {
  const deadline = performance.now() + INSIST_MS;
  while (performance.now() < deadline) {
    const answer = await call(...given).catch(() => undefined);
    if (answer !== undefined && answer.status < 300) {
      acknowledged.push(String(answer.headers['x-ms-request-id']));
      return answer;
    }
    if (answer !== undefined && answer.status !== 503) wrong.push(`${given[1]}: ${answer.text}`);
    if (answer?.status === 503 && answer.headers['retry-after'] === undefined)
      wrong.push(`${given[1]}: no Retry-After`);
    await delay(100);
  }
  throw new Error(`no answer to ${given[1]}`);
}

interface Listed {
  readonly value: readonly { readonly id: string; readonly requestId: string }[];
  readonly nextLink?: string;
}

async function wrapAndLook(isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    const value = randomBytes(32).toString('base64url');
    const wrapped = await insist('POST', '/keys/shared/wrapkey', { alg: 'A256KW', value });
    const id = String(wrapped.headers['x-ms-request-id']);
    const began = performance.now();
    const page = (
      await insist('GET', '/audit/events?operation=KeyWrap&maxresults=50')
    ).json<Listed>();
    longestReadMs = Math.max(longestReadMs, performance.now() - began);
    if (!page.value.some(({ requestId }) => requestId === id)) wrong.push(`${id} is not listed`);
  }
}

/** @throws where a record is there twice; a request has two where its answer was withheld */
async function listAll(): Promise<readonly string[]> {
  const records: Listed['value'][number][] = [];
  let path: string | undefined = '/audit/events?maxresults=100';
  while (path !== undefined) {
    const page: Listed = (await insist('GET', path)).json();
    records.push(...page.value);
    path = page.nextLink?.replace(/^https:\/\/[^/]+/, '');
  }
  expect(new Set(records.map(({ id }) => id)).size).toBe(records.length);
  return records.map(({ requestId }) => requestId);
}

const report: string[] = [];
async function during(what: string, fault: () => Promise<void>): Promise<void> {
  const [standby, primary, count] = [
    await readsOf('standby'),
    await readsOf('primary'),
    acknowledged.length,
  ];
  longestReadMs = 0;
  await fault();
  await delay(CALM_MS);
  report.push(
    `${what}: ${acknowledged.length - count} answers, reads on the standby ${(await readsOf('standby')) - standby}, on the primary ${(await readsOf('primary')) - primary}, the longest took ${Math.round(longestReadMs)} ms`,
  );
}

test(
  'what was answered is in the list at once, wherever it is read, and nothing twice',
  async () => {
    let isOver = false;
    closing.push(() => (isOver = true));
    const all = Promise.all(Array.from({ length: CALLERS }, () => wrapAndLook(() => isOver)));
    await during('calm', () => Promise.resolve());
    expect(await readsOf('standby')).toBeGreaterThan(20);
    await during('the standby starts anew, and cancels reads at once', async () => {
      await pair.stopStandby();
      await pair.startStandby({ max_standby_streaming_delay: '0' });
    });
    await during('the standby stands still', async () => {
      pair.freezeStandby();
      await delay(3_000);
      pair.thawStandby();
    });
    await during('the standby serves again', async () => {
      const before = await readsOf('standby');
      await until(async () => (await readsOf('standby')) > before);
    });
    const listed = await listAll();
    const exported = join(place, 'exported');
    await strongroom('audit', 'export', '--directory', exported);
    await during('the primary dies, and the standby is promoted', async () => {
      await pair.killPrimary();
      await delay(1_000);
      await pair.promoteStandby();
    });
    isOver = true;
    await all;
    console.log(report.join('\n'));
    expect(wrong).toEqual([]);

    const files = await readdir(exported);
    const text = (
      await Promise.all(files.map((name) => readFile(join(exported, name), 'utf8')))
    ).join('');
    expect(listed.filter((id) => !text.includes(id))).toEqual([]);
    // The listing's own requests come after what it lists.
    const known = [...acknowledged];
    const there = new Set(await listAll());
    expect(known.filter((id) => !there.has(id))).toEqual([]);
    expect(await strongroom('audit', 'verify')).toMatch(/is what was written/);
  },
  10 * MINUTES_MS,
);
