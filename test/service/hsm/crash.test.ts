import { afterAll, expect, test } from '@jest/globals';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Caller, createCaller, fetchToken } from '../../support/client.ts';
import { postmasterOf } from '../../support/cluster.ts';
import { isFullExtent } from '../../support/extent.ts';
import { makePreparedFolder } from '../../support/prepared-folder.ts';
import { removeDataFolder, type RunningService, startService } from '../../support/service.ts';
import { until } from '../../support/until.ts';

/** Answers by which it is seen that the service is at work. */
const ENOUGH = isFullExtent ? 500 : 30;

const folder = await makePreparedFolder();
let service: RunningService | undefined;
afterAll(async () => {
  await service?.stop();
  await removeDataFolder(folder);
});

const startOne = () => startService(folder, { STRONGROOM_WORKERS: '1' });

async function signIn(running: RunningService) {
  const { AZURE_CLIENT_ID: clientId = '', AZURE_CLIENT_SECRET: clientSecret = '' } = running.client;
  return createCaller(running, await fetchToken(running, { clientId, clientSecret }));
}

/** Eight callers that create keys and use them until the service is killed under them, once there are so many keys. */
async function loadUntilKilled(running: RunningService, keys: number) {
  const call = await signIn(running);
  const created: string[] = [];
  const answered: string[] = [];
  let kill: Promise<void> | undefined;
  const value = Buffer.alloc(32, 7).toString('base64url');
  await Promise.all(
    Array.from({ length: 8 }, async (_, caller) => {
      for (let turn = 0; kill === undefined; turn += 1) {
        const name = `crash-${caller}-${turn}`;
        try {
          const made = await call('POST', `/keys/${name}/create`, { kty: 'oct-HSM' });
          if (made.status === 200) created.push(name);
          if (created.length === keys) kill = running.kill();
          answered.push(String(made.headers['x-ms-request-id']));
          for (let use = 0; use < 5; use += 1) {
            const wrapped = await call('POST', `/keys/${name}/wrapkey`, { alg: 'A256KW', value });
            answered.push(String(wrapped.headers['x-ms-request-id']));
          }
        } catch {
          // The connection broke: nothing was answered, so nothing is promised.
        }
      }
    }),
  );
  await kill;
  call.close();
  return { created, answered };
}

async function readRequestIds(call: Caller): Promise<Set<string>> {
  const recorded = new Set<string>();
  let path: string | undefined = '/audit/events?maxresults=1000';
  while (path !== undefined) {
    const page: { value: { requestId: string }[]; nextLink?: string } = (
      await call('GET', path)
    ).json();
    for (const event of page.value) recorded.add(event.requestId);
    path = page.nextLink?.replace(/^https:\/\/[^/]+/, '');
  }
  return recorded;
}

test('after kill -9 under load every acknowledged key works, and every answer has its audit record', async () => {
  service = await startService(folder);
  const { created, answered } = await loadUntilKilled(service, ENOUGH);
  expect(created.length).toBeGreaterThanOrEqual(ENOUGH);

  service = await startOne();
  const call = await signIn(service);
  const value = Buffer.alloc(32, 7).toString('base64url');
  for (const name of created) {
    const wrapped = await call('POST', `/keys/${name}/wrapkey`, { alg: 'A256KW', value });
    const { value: ciphertext } = wrapped.json<{ value: string }>();
    const unwrapped = await call('POST', `/keys/${name}/unwrapkey`, {
      alg: 'A256KW',
      value: ciphertext,
    });
    expect(unwrapped.json()).toMatchObject({ value });
  }

  const recorded = await readRequestIds(call);
  const missing = answered.filter((requestId) => !recorded.has(requestId));
  console.info(
    `${created.length} keys and ${answered.length} answers before the kill, ${missing.length} without a record`,
  );
  expect(missing).toEqual([]);
  call.close();
}, 120_000);

test('with Postgres killed under load nothing is answered without a record, and the service comes back by itself', async () => {
  service ??= await startOne();
  const call = await signIn(service);
  await call('POST', '/keys/steady/create', { kty: 'oct' });
  const value = Buffer.alloc(32, 7).toString('base64url');
  const answered: string[] = [];
  const refused = new Map<string, number>();
  let isOver = false;
  const load = Promise.all(
    Array.from({ length: 8 }, async () => {
      while (!isOver) {
        const answer = await call('POST', '/keys/steady/wrapkey', { alg: 'A256KW', value });
        if (answer.status === 200) answered.push(String(answer.headers['x-ms-request-id']));
        else {
          const isProper =
            answer.status === 503 &&
            /^\d+$/.test(String(answer.headers['retry-after'])) &&
            !answer.text.includes('"value"');
          const kind = isProper ? '503 with Retry-After' : `${answer.status} ${answer.text}`;
          refused.set(kind, (refused.get(kind) ?? 0) + 1);
          await delay(100);
        }
      }
    }),
  );
  await until(() => answered.length >= ENOUGH);
  const before = answered.length;
  process.kill(await postmasterOf(folder), 'SIGKILL');
  const recovered = async () => {
    const { status } = await call('POST', '/keys/steady/wrapkey', { alg: 'A256KW', value });
    return status === 200;
  };
  await until(() => refused.size > 0);
  await until(recovered);
  await until(() => answered.length >= before + ENOUGH);
  isOver = true;
  await load;
  expect(await recovered()).toBe(true);
  const recorded = await readRequestIds(call);
  const missing = answered.filter((requestId) => !recorded.has(requestId));
  console.info(
    `${before} answers before, ${answered.length - before} after, refused meanwhile: ${JSON.stringify([...refused])}, ${missing.length} without a record`,
  );
  expect(missing).toEqual([]);
  expect([...refused.keys()]).toEqual(['503 with Retry-After']);
  expect(answered.length).toBeGreaterThan(before);
  call.close();
}, 120_000);

test('with the token away for a while under load, and back, every answer is whole and says what happened', async () => {
  service ??= await startOne();
  const call = await signIn(service);
  const answers = new Map<string, number>();
  let created = 0;
  let isOver = false;
  const load = Promise.all(
    Array.from({ length: 16 }, async (_, caller) => {
      for (let turn = 0; !isOver; turn += 1) {
        const path = `/keys/away-${String(caller)}-${String(turn)}/create`;
        // A connection that is cut makes this throw, and the test fail.
        const answer = await call('POST', path, { kty: 'EC-HSM', crv: 'P-256' });
        const { error } = answer.json<{ error?: { code: string } }>();
        const kind = `${String(answer.status)} ${error?.code ?? ''}`.trimEnd();
        answers.set(kind, (answers.get(kind) ?? 0) + 1);
        if (answer.status === 200) created += 1;
        else await delay(20);
      }
    }),
  );
  await until(() => created >= ENOUGH);
  const tokens = join(folder, 'tokens');
  for (let times = 0; times < 2; times += 1) {
    await rename(tokens, `${tokens}-away`);
    const before = answers.get('503 HsmUnavailable') ?? 0;
    await until(() => (answers.get('503 HsmUnavailable') ?? 0) >= before + 20);
    await rename(`${tokens}-away`, tokens);
    const made = created;
    await until(() => created >= made + ENOUGH);
  }
  isOver = true;
  await load;
  call.close();
  console.info(`the token was away twice: ${JSON.stringify([...answers])}`);
  expect(new Set(answers.keys())).toEqual(new Set(['200', '503 HsmUnavailable']));
}, 120_000);
