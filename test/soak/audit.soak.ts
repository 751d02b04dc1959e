import { readFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, expect, test } from '@jest/globals';
import { signInAsAdministrator } from '../support/administrator.ts';
import { type Caller, fetchToken } from '../support/client.ts';
import { postmasterOf } from '../support/cluster.ts';
import {
  makeDataFolder,
  removeDataFolder,
  type RunningService,
  startService,
} from '../support/service.ts';

/** Faults under load, for minutes: `npm run test:soak`. What was answered must be in the audit log, and the audit log must verify. */

const KILLS = 20;
const STOPPED_MS = 10_000;
const VALUE = Buffer.alloc(32, 7).toString('base64url');

const folder = await makeDataFolder();
let service: RunningService | undefined;
afterAll(async () => {
  await service?.stop();
  await removeDataFolder(folder);
});

async function readRequestIds(call: Caller): Promise<Map<string, string>> {
  const recorded = new Map<string, string>();
  let path: string | undefined = '/audit/events?maxresults=1000';
  while (path !== undefined) {
    const page: { value: { requestId: string; errorCode?: string }[]; nextLink?: string } = (
      await call('GET', path)
    ).json();
    for (const { requestId, errorCode = '' } of page.value)
      recorded.set(requestId, `${recorded.get(requestId) ?? ''} ${errorCode}`);
    path = page.nextLink?.replace(/^https:\/\/[^/]+/, '');
  }
  return recorded;
}

async function verify(call: Caller): Promise<{ verified: boolean; records: number }> {
  let after = 0;
  let records = 0;
  for (;;) {
    const report = (await call('POST', '/audit/verify', { after })).json<{
      verified: boolean;
      records: number;
      next?: number;
    }>();
    records += report.records;
    if (report.next === undefined || !report.verified) return { ...report, records };
    after = report.next;
  }
}

test(`kill -9 at random moments under load, ${String(KILLS)} times`, async () => {
  const answered: string[] = [];
  for (let kill = 0; kill < KILLS; kill += 1) {
    const running = await startService(folder);
    service = running;
    const call = await signInAsAdministrator(running);
    let isAlive = true;
    const killed = delay(300 + Math.random() * 2_500).then(() => {
      isAlive = false;
      return running.kill();
    });
    await Promise.all(
      Array.from({ length: 8 }, async (_, caller) => {
        for (let turn = 0; isAlive; turn += 1)
          try {
            const name = `soak-${String(kill)}-${String(caller)}-${String(turn)}`;
            const made = await call('POST', `/keys/${name}/create`, { kty: 'oct-HSM' });
            answered.push(String(made.headers['x-ms-request-id']));
            for (let use = 0; use < 5; use += 1) {
              const body = { alg: 'A256KW', value: VALUE };
              const wrapped = await call('POST', `/keys/${name}/wrapkey`, body);
              answered.push(String(wrapped.headers['x-ms-request-id']));
            }
          } catch {
            // The connection broke: nothing was answered, so nothing is promised.
          }
      }),
    );
    await killed;
    call.close();
  }
  service = await startService(folder);
  const call = await signInAsAdministrator(service);
  const recorded = await readRequestIds(call);
  const missing = answered.filter((requestId) => !recorded.has(requestId));
  const report = await verify(call);
  console.info(
    `${String(KILLS)} kills, ${String(answered.length)} answers, ${String(missing.length)} without a record; ${JSON.stringify(report)}`,
  );
  expect(missing).toEqual([]);
  expect(report.verified).toBe(true);
  call.close();
}, 600_000);

test('Postgres stopped for ten seconds under load', async () => {
  service ??= await startService(folder);
  const call = await signInAsAdministrator(service);
  await call('POST', '/keys/steady/create', { kty: 'oct-HSM' });
  const answered: string[] = [];
  const withheld: string[] = [];
  const leaked: string[] = [];
  const seen = new Map<string, number>();
  let isOver = false;
  const load = Promise.all(
    Array.from({ length: 8 }, async () => {
      while (!isOver) {
        const answer = await call('POST', '/keys/steady/wrapkey', { alg: 'A256KW', value: VALUE });
        const requestId = String(answer.headers['x-ms-request-id']);
        const kind = `${String(answer.status)}${answer.status === 503 ? ` ${answer.json<{ error: { code: string } }>().error.code}, Retry-After ${String(answer.headers['retry-after'])}` : ''}`;
        seen.set(kind, (seen.get(kind) ?? 0) + 1);
        if (answer.status === 200) answered.push(requestId);
        else {
          withheld.push(requestId);
          if (answer.text.includes('"value"')) leaked.push(requestId);
          await delay(50);
        }
      }
    }),
  );
  await delay(1_500);
  const postmaster = await postmasterOf(folder);
  const before = answered.length;
  // Its children too: a stopped postmaster alone leaves the connections that there are.
  const processes = [postmaster, ...(await childrenOf(postmaster))];
  for (const pid of processes) process.kill(pid, 'SIGSTOP');
  await delay(STOPPED_MS);
  const during = answered.length - before;
  for (const pid of processes) process.kill(pid, 'SIGCONT');
  const recovered = performance.now();
  while ((await call('GET', '/keys/steady')).status !== 200) await delay(50);
  const backAfter = performance.now() - recovered;
  await delay(3_000);
  isOver = true;
  await load;
  const recorded = await readRequestIds(call);
  const missing = answered.filter((requestId) => !recorded.has(requestId));
  const told = withheld.filter((id) => recorded.get(id)?.includes('AnswerWithheld') === true);
  const report = await verify(call);
  console.info(
    `${String(before)} answers before, ${String(during)} while it was stopped, ${String(answered.length - before - during)} after; clients saw ${JSON.stringify([...seen])}; back after ${String(Math.round(backAfter))} ms; ${String(missing.length)} answers without a record; ${String(told.length)} of ${String(withheld.length)} withheld ones are told; ${JSON.stringify(report)}`,
  );
  expect([missing, leaked]).toEqual([[], []]);
  expect(told).toHaveLength(withheld.length);
  expect(report.verified).toBe(true);
  call.close();
}, 300_000);

const CALLERS = 3_000;
const HANG_MS = 45_000;

test('Postgres hangs under a flood: what waits is bounded, and the rest is refused at once', async () => {
  service ??= await startService(folder);
  const call = await signInAsAdministrator(service);
  await call('POST', '/keys/flooded/create', { kty: 'oct-HSM' });
  const token = await tokenOfAdministrator(service);
  const agent = new Agent({ ca: service.ca, keepAlive: true, maxSockets: CALLERS });
  const before = await residentOf(service);
  const postmaster = await postmasterOf(folder);
  const processes = [postmaster, ...(await childrenOf(postmaster))];
  for (const pid of processes) process.kill(pid, 'SIGSTOP');
  const seen = new Map<string, number>();
  let isOver = false;
  let atOnce = 0;
  const flood = Promise.all(
    Array.from({ length: CALLERS }, async () => {
      while (!isOver) {
        const began = performance.now();
        const kind = await wrapOver(agent, token, service?.port ?? 0);
        if (performance.now() - began < 5_000 && kind.startsWith('503')) atOnce += 1;
        seen.set(kind, (seen.get(kind) ?? 0) + 1);
        await delay(500);
      }
    }),
  );
  let most = before;
  for (let waited = 0; waited < HANG_MS; waited += 500) {
    await delay(500);
    most = Math.max(most, await residentOf(service));
  }
  isOver = true;
  for (const pid of processes) process.kill(pid, 'SIGCONT');
  await flood;
  agent.destroy();
  while ((await call('GET', '/keys/flooded')).status !== 200) await delay(200);
  const report = await verify(call);
  console.info(
    `${String(CALLERS)} callers for ${String(HANG_MS / 1000)} s saw ${JSON.stringify([...seen])}, ${String(atOnce)} of them within 5 s; the processes grew from ${String(before)} to ${String(most)} MB; ${JSON.stringify(report)}`,
  );
  const refusals = [...seen.keys()].filter((kind) => /^[1-5]\d\d /.test(kind));
  expect(refusals.filter((kind) => !/^503 \w+, Retry-After \d+$/.test(kind))).toEqual([]);
  expect(report.verified).toBe(true);
  call.close();
}, 300_000);

/** Status, and of a refusal its code. */
function wrapOver(agent: Agent, token: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const outgoing = request(
      {
        ...{ agent, host: 'localhost', port, method: 'POST', path: '/keys/flooded/wrapkey' },
        headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      },
      (incoming) => {
        let text = '';
        incoming.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        incoming.on('end', () => {
          const code = /"code":"(\w+)"/.exec(text)?.[1] ?? '';
          const retry = String(incoming.headers['retry-after']);
          const status = String(incoming.statusCode);
          resolve(status === '200' ? status : `${status} ${code}, Retry-After ${retry}`);
        });
      },
    );
    outgoing.on('error', (error) => {
      resolve(error.message);
    });
    outgoing.end(JSON.stringify({ alg: 'A256KW', value: VALUE }));
  });
}

function tokenOfAdministrator(running: RunningService): Promise<string> {
  const { AZURE_CLIENT_ID: clientId = '', AZURE_CLIENT_SECRET: clientSecret = '' } = running.client;
  return fetchToken(running, { clientId, clientSecret });
}

/** Megabytes of the service's worker processes. */
async function residentOf({ process: { pid = 0 } }: RunningService): Promise<number> {
  let kilobytes = 0;
  for (const child of await childrenOf(pid)) {
    const status = await readFile(`/proc/${String(child)}/status`, 'utf8').catch(() => '');
    if (status.startsWith('Name:\tnode'))
      kilobytes += Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0);
  }
  return Math.round(kilobytes / 1024);
}

async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${String(pid)}/task/${String(pid)}/children`, 'utf8');
  return text.trim().split(' ').filter(Boolean).map(Number);
}
