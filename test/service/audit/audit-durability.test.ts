import { beforeAll, beforeEach, expect, test } from '@jest/globals';
import type { Answer } from '../../support/client.ts';
import { openPostgresProxy, type PostgresProxy } from '../../support/postgres-proxy.ts';
import { useProduction } from '../../support/use-service.ts';
import { until } from '../../support/until.ts';

const VALUE = Buffer.alloc(32, 7).toString('base64url');

let proxy: PostgresProxy;
const { admin } = useProduction(
  { STRONGROOM_WORKERS: '1' },
  {
    wayTo: async (url) => {
      proxy = await openPostgresProxy(url);
      return proxy.url;
    },
    closeWay: () => proxy.close(),
  },
);
beforeAll(async () => {
  await admin('POST', '/keys/one/create', { kty: 'oct-HSM' });
}, 120_000);
beforeEach(async () => {
  await until(async () => (await admin('GET', '/readyz')).status === 200);
});

interface Recorded {
  readonly requestId: string;
  readonly operation: string;
  readonly outcome: string;
  readonly status: number;
  readonly errorCode?: string;
}

async function recordsOf(answer: Answer): Promise<Recorded[]> {
  const { value } = (await admin('GET', '/audit/events?maxresults=1000')).json<{
    value: Recorded[];
  }>();
  return value.filter(({ requestId }) => requestId === answer.headers['x-ms-request-id']);
}

const wrap = () => admin('POST', '/keys/one/wrapkey', { alg: 'A256KW', value: VALUE });

test('a change that was committed, and whose answer was withheld, is told as both', async () => {
  let answer: Answer | undefined;
  let name = '';
  // The commit that is lost may be another's: of a checkpoint, say.
  for (let tries = 0; tries < 10 && answer?.status !== 503; tries += 1) {
    name = `lost-${String(tries)}`;
    proxy.loseNextCommit();
    answer = await admin('POST', `/keys/${name}/create`, { kty: 'oct-HSM' });
  }
  if (answer === undefined) throw new Error('nothing was asked');
  const withheld = answer;
  expect(withheld.status).toBe(503);
  expect(withheld.headers['retry-after']).toMatch(/^\d+$/);
  expect(withheld.text).not.toContain('kid');
  await until(async () => (await recordsOf(withheld)).length === 2);
  expect((await recordsOf(withheld)).map(({ status, errorCode }) => [status, errorCode])).toEqual([
    [503, 'AnswerWithheld'],
    [200, undefined],
  ]);
  expect((await admin('GET', `/keys/${name}`)).status).toBe(200);
  expect((await admin('POST', '/audit/verify', {})).json()).toMatchObject({
    verified: true,
  });
}, 60_000);

test('while Postgres says nothing, results are withheld, and probes name the parts', async () => {
  await wrap();
  proxy.swallow(true);
  const asked = Array.from({ length: 20 }, wrap);
  await until(async () => {
    const probe = await admin('GET', '/readyz');
    const { parts } = probe.json<{ parts: Record<string, boolean> }>();
    return probe.status === 503 && parts['audit'] === false && parts['store'] === false;
  });
  expect((await admin('GET', '/healthz')).status).toBe(200);
  const answers = await Promise.all(asked);
  proxy.swallow(false);
  for (const answer of answers) {
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toMatch(/^\d+$/);
    expect(answer.text).not.toContain('"value"');
  }
  await until(async () => (await wrap()).status === 200);
  for (const answer of answers)
    await until(async () =>
      (await recordsOf(answer)).some(({ errorCode }) => errorCode === 'AnswerWithheld'),
    );
}, 90_000);

test('while Postgres is slow, answers wait for their records, many for one commit', async () => {
  await until(async () => (await wrap()).status === 200);
  proxy.slowDown(150);
  const answers = await Promise.all(Array.from({ length: 60 }, wrap));
  proxy.slowDown(0);
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  for (const answer of answers) expect(await recordsOf(answer)).toHaveLength(1);
}, 60_000);
