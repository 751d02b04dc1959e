import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { freePort } from '../support/free-port.ts';
import { type ProductionService, startProduction } from '../support/production.ts';

/** Callers, each with a connection that it keeps, and how often each asks between two looks at the metrics. */
const CALLERS = 8;
const REPLACEMENTS = 3;
const ROUNDS_AT_MOST = 200;
const ROUND = 20;
const VALUE = Buffer.alloc(32, 7).toString('base64url');

let production: ProductionService;
let metrics: string;
beforeAll(async () => {
  const port = await freePort();
  metrics = `http://127.0.0.1:${String(port)}/metrics`;
  production = await startProduction({
    // Lower than any process begins with: each is replaced as soon as it has grown by a tenth.
    STRONGROOM_WORKER_MEMORY_LIMIT_MB: '64',
    STRONGROOM_METRICS_LISTEN: `127.0.0.1:${String(port)}`,
  });
  await production.admin('POST', '/keys/steady/create', { kty: 'oct-HSM' });
}, 120_000);
afterAll(() => production.stop());

async function metric(line: string): Promise<number> {
  const text = await (await fetch(metrics)).text();
  return Number(
    text
      .split('\n')
      .find((one) => one.startsWith(`${line} `))
      ?.split(' ')[1] ?? 0,
  );
}
const replacements = () => metric('strongroom_workers_replaced_total{reason="memory"}');

test('worker processes that have grown are replaced under load, and no request is lost', async () => {
  const counts = { sent: 0, answered: 0 };
  const failures: string[] = [];
  async function ask(path: string, value: string): Promise<string> {
    counts.sent += 1;
    try {
      const answer = await production.admin('POST', path, { alg: 'A256KW', value });
      if (answer.status === 200) {
        counts.answered += 1;
        return answer.json<{ value: string }>().value;
      }
      failures.push(`${String(answer.status)} ${answer.text}`);
    } catch (error) {
      failures.push(String(error));
    }
    return '';
  }
  let rounds = 0;
  for (; rounds < ROUNDS_AT_MOST && (await replacements()) < REPLACEMENTS; rounds += 1)
    await Promise.all(
      Array.from({ length: CALLERS }, async () => {
        for (let turn = 0; turn < ROUND; turn += 1) {
          const wrapped = await ask('/keys/steady/wrapkey', VALUE);
          if (wrapped === '') continue;
          const unwrapped = await ask('/keys/steady/unwrapkey', wrapped);
          if (unwrapped !== '' && unwrapped !== VALUE) failures.push('another value came back');
        }
      }),
    );
  const replaced = await replacements();
  console.info(
    `${String(counts.sent)} requests, ${String(counts.answered)} answered, ${String(failures.length)} failed, ${String(replaced)} processes replaced`,
  );
  expect(failures).toEqual([]);
  expect(counts.answered).toBe(counts.sent);
  expect(replaced).toBeGreaterThanOrEqual(REPLACEMENTS);
}, 240_000);
