import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Caller, createCaller } from '../support/client.ts';
import {
  addSecret,
  assignRole,
  created,
  makeClient,
  signInAdministrator,
} from '../support/directory.ts';
import { guess, signIn } from '../support/sign-in-attempts.ts';
import {
  makeDataFolder,
  removeDataFolder,
  type RunningService,
  startService,
} from '../support/service.ts';
import { ROLE } from '../support/roles.ts';

/**
 * What guessing of secrets costs others: an honest client at another address signs in, wraps (in the event loop) and signs
 * with RSA (in libuv's threads, which scrypt uses too), first alone and then beside attackers. Printed, not asserted.
 */

const MEASURED_MS = 15_000;
const VALUE = Buffer.alloc(32, 7).toString('base64url');
const HERE = '127.0.0.1';
const ELSEWHERE = '127.0.0.2';
/** As many as may have things under way. */
const CROWD = Array.from({ length: 100 }, (_, n) => `127.0.1.${n + 1}`);

let service: RunningService;
let admin: Caller & { close(): void };
let honest: Caller & { close(): void };

beforeAll(async () => {
  service = await startService(await makeDataFolder(), { STRONGROOM_WORKERS: '1' });
  admin = await signInAdministrator(service);
  honest = createCaller(service, undefined, { localAddress: ELSEWHERE });
  await created(admin('POST', '/keys/aes/create', { kty: 'oct-HSM' }));
  await created(admin('POST', '/keys/rsa/create', { kty: 'RSA-HSM' }));
}, 90_000);
afterAll(async () => {
  honest.close();
  admin.close();
  await service.stop();
  await removeDataFolder(service.dataFolder);
});

/** Clients that have never signed in, one after the other; each uses both keys five times. */
async function measure() {
  const times: Record<string, number[]> = { 'sign in': [], wrap: [], 'RSA sign': [] };
  const refused: Record<string, number> = {};
  const timed = async (name: string, work: () => ReturnType<Caller>) => {
    const began = performance.now();
    const answer = await work();
    times[name]?.push(performance.now() - began);
    if (answer.status !== 200) {
      const kind = `${name} ${answer.status}`;
      refused[kind] = (refused[kind] ?? 0) + 1;
    }
    return answer;
  };
  const cpu = await cpuSeconds();
  const until = performance.now() + MEASURED_MS;
  while (performance.now() < until) {
    const client = await makeClient(admin, 'honest');
    await assignRole(admin, ROLE.user, client.principalId);
    const secret = await addSecret(admin, client);
    const signedIn = await timed('sign in', () => signIn(honest, client.appId, secret));
    if (signedIn.status !== 200) continue;
    const { access_token: token } = signedIn.json<{ access_token: string }>();
    const headers = { Authorization: `Bearer ${token}` };
    for (let uses = 0; uses < 5; uses += 1) {
      const wrap = { alg: 'A256KW', value: VALUE };
      const sign = { alg: 'RS256', value: VALUE };
      await timed('wrap', () => honest('POST', '/keys/aes/wrapkey', wrap, headers));
      await timed('RSA sign', () => honest('POST', '/keys/rsa/sign', sign, headers));
    }
  }
  const quantiles = Object.entries(times).map(([name, all]) => {
    const sorted = all.sort((a, b) => a - b);
    const at = (share: number) => (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(1);
    return `${name} p50 ${at(0.5)} p99 ${at(0.99)} ms (${sorted.length})`;
  });
  const used = ((await cpuSeconds()) - cpu).toFixed(1);
  return { line: `${quantiles.join(', ')}; CPU ${used} s of ${MEASURED_MS / 1000}`, refused };
}

/** Of the service's processes, PostgreSQL's apart. */
async function cpuSeconds(): Promise<number> {
  const supervisor = service.process.pid ?? 0;
  const children = await readFile(`/proc/${supervisor}/task/${supervisor}/children`, 'utf8');
  let ticks = 0;
  for (const pid of children.trim().split(' ')) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    if (!stat.includes('(node)')) continue;
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / 100;
}

test('what guesses cost others', async () => {
  const lines: string[] = [];
  const refused: object[] = [];
  const alone = await measure();
  lines.push(`alone: ${alone.line}`);
  const victim = await makeClient(admin, 'victim');
  await addSecret(admin, victim);
  for (const [name, addresses, atOnce, clientId] of [
    ['one address guesses for one application', [HERE], 16, () => victim.appId],
    ['one address guesses for many', [HERE], 16, randomUUID],
    ['a hundred addresses guess for many', CROWD, 2, randomUUID],
  ] as const) {
    let isOver = false;
    const guessing = guess(service, addresses, clientId, () => isOver, atOnce);
    await delay(50);
    const beside = await measure();
    isOver = true;
    const { statuses } = await guessing;
    lines.push(`${name} (${JSON.stringify(statuses)}): ${beside.line}`);
    lines.push(`  refused of the honest: ${JSON.stringify(beside.refused)}`);
    refused.push(beside.refused);
  }
  console.info(lines.join('\n'));
  // The crowd's own may be told to wait.
  expect(refused.slice(0, 2)).toEqual([{}, {}]);
}, 300_000);
