import { beforeAll, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { Agent, request } from 'node:https';
import fc from 'fast-check';
import { isFullExtent } from '../../support/extent.ts';
import { holdEveryRole } from '../../support/administrator.ts';
import {
  FIXTURES,
  type HostileRequest,
  hostileRequests,
  queryStart,
  singleFaults,
} from '../../support/hostile-requests.ts';
import { type KnownRoute, listRoutes } from '../../support/routes.ts';
import { textsOf } from '../../support/schema-texts.ts';
import { freePort } from '../../support/free-port.ts';
import { useService } from '../../support/use-service.ts';

/** Requests a route; STRONGROOM_TEST_RUNS asks for another number. */
const RUNS = Number(process.env['STRONGROOM_TEST_RUNS'] ?? (isFullExtent ? 100 : 3));
const ANSWER_LIMIT_MS = 20_000;
/** A stream of events has no end: its head is answer enough. */
const STREAM = 'text/event-stream';

let metrics: string;
const { service, admin, adminToken, atEnd } = useService(async () => {
  const port = await freePort();
  metrics = `http://127.0.0.1:${port}/metrics`;
  return { STRONGROOM_WORKERS: '1', STRONGROOM_METRICS_LISTEN: `127.0.0.1:${port}` };
});
let agent: Agent;

beforeAll(async () => {
  await holdEveryRole(admin, service);
  agent = new Agent({ ca: service.ca, keepAlive: true });
  atEnd(() => {
    agent.destroy();
  });
  for (const [name, body] of Object.entries({ ...FIXTURES.used, ...FIXTURES.changed }))
    expect((await admin('POST', `/keys/${name}/create`, body)).status).toBe(200);
});

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

function send({ method, path, headers, body }: HostileRequest): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({
      agent,
      host: 'localhost',
      // Not what the Host header says.
      servername: 'localhost',
      port: service.port,
      method,
      path,
      timeout: ANSWER_LIMIT_MS,
      headers: {
        ...headers,
        ...(body.length > 0 && { 'Content-Length': body.length }),
        Authorization: `Bearer ${adminToken()}`,
      },
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer')));
    outgoing.on('error', reject);
    outgoing.on('response', (incoming) => {
      const status = incoming.statusCode ?? 0;
      const type = incoming.headers['content-type'] ?? '';
      let text = '';
      if (type.startsWith(STREAM)) {
        incoming.destroy();
        resolve({ status, type, text });
        return;
      }
      incoming.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      incoming.on('error', reject).on('end', () => {
        resolve({ status, type, text });
      });
    });
    outgoing.end(body);
  });
}

/** What a caller may make of it: an answer, or an error of the caller's own in Azure's (or OAuth's) shape. */
function expectOrderly({ status, type, text }: Answer, method: string): void {
  if (status === 501) expect(text).toContain('"code":"NotImplemented"');
  else expect(status).toBeLessThan(500);
  if (status < 400 || status === 401 || method === 'HEAD') return;
  expect(type).toMatch(/^application\/(json|problem\+json)/);
  const { error } = JSON.parse(text) as { error: string | { code: string; message: string } };
  expect(typeof (typeof error === 'string' ? error : error.code)).toBe('string');
  // Nothing of how the service is made.
  expect(text).not.toMatch(/node_modules|\.[jt]s:\d|at \w+ \(|select |insert into|CKR_/i);
}

/** Reads the whole audit log, which grows with every request here: it comes first. */
const READS_ALL = '/audit/verify';
const ROUTES = listRoutes();
const BODIED = ROUTES.filter(
  ({ method, path }) => !['GET', 'HEAD'].includes(method) && !path.includes('/:version'),
);
const rowsOf = (routes: readonly KnownRoute[]) =>
  routes.map((route) => [route.method, route.path, route] as const);
const expectOrderlyAnswers = (route: KnownRoute) =>
  fc.assert(
    fc.asyncProperty(hostileRequests(route), async (hostile) => {
      expectOrderly(await send(hostile), hostile.method);
    }),
    { numRuns: RUNS },
  );

test.each(rowsOf(ROUTES.filter(({ path }) => path === READS_ALL)))(
  'no request makes a 500: %s %s',
  async (_method, _path, route) => {
    await expectOrderlyAnswers(route);
  },
  300_000,
);

test.each(rowsOf(BODIED))(
  'no single fault in a sound body makes a 500: %s %s',
  async (_method, _path, route) => {
    const waiting = singleFaults(route).values();
    const failures: string[] = [];
    const sendOnes = async () => {
      for (const hostile of waiting)
        try {
          expectOrderly(await send(hostile), hostile.method);
        } catch (error) {
          failures.push(
            `${hostile.path} ${hostile.body.toString().slice(0, 300)}: ${String(error)}`,
          );
        }
    };
    await Promise.all(Array.from({ length: 8 }, sendOnes));
    expect(failures).toEqual([]);
  },
  300_000,
);

test.each(rowsOf(ROUTES.filter(({ definition }) => definition?.body !== undefined)))(
  'a text that cannot be stored is refused wherever it stands, with a record: %s %s',
  async (method, path, { definition }) => {
    const target = path
      .replace(/:(?:name|key)\b/, 'aes')
      .replace(/:version\b/, '0'.repeat(32))
      .replace(/:\w+/g, randomUUID());
    const since = new Date().toISOString();
    const refused: unknown[] = [];
    for (const { put } of textsOf(definition?.body))
      for (const hostile of ['\ud800', '\udc00x', '\u0000']) {
        const answer = await admin(method, `${target}?${queryStart(path)}`, put(hostile));
        expect([answer.status, answer.text]).toEqual([
          400,
          expect.stringContaining('must be well-formed Unicode'),
        ]);
        refused.push(answer.headers['x-ms-request-id']);
      }
    const { value } = (
      await admin('GET', `/audit/events?from=${since}&outcome=failure&maxresults=1000`)
    ).json<{ value: { requestId: string; status: number }[] }>();
    const recorded = value.filter(({ status }) => status === 400).map(({ requestId }) => requestId);
    expect(recorded).toEqual(expect.arrayContaining(refused));
  },
  60_000,
);

test.each([
  ['a query parameter', '/audit/events?operation=%00'],
  ['one that nobody reads', '/keys?other=a%00b'],
  ['a query of bytes that are no UTF-8', '/audit/events?keyName=%ED%A0%80'],
  ['a path parameter', '/settings/a%00b'],
  ['a path of bytes that are no UTF-8', '/settings/%ED%A0%80'],
])('a text that cannot be stored is refused in %s, with a record', async (_place, path) => {
  const answer = await admin('GET', path);
  expect(answer.status).toBe(400);
  const { value } = (await admin('GET', '/audit/events?outcome=failure&maxresults=50')).json<{
    value: { requestId: string }[];
  }>();
  expect(value.map(({ requestId }) => requestId)).toContain(answer.headers['x-ms-request-id']);
});

// After the bodies: some of these delete the keys that bodies are sent to.
test.each(rowsOf(ROUTES.filter(({ path }) => path !== READS_ALL)))(
  'no request makes a 500: %s %s',
  async (_method, _path, route) => {
    await expectOrderlyAnswers(route);
  },
  300_000,
);

test('what a caller wrote has kept no record from the audit log', async () => {
  const counts = (await (await fetch(metrics)).text()).match(
    /^strongroom_audit_records_lost_total.*$/gm,
  );
  expect(counts?.length).toBeGreaterThan(0);
  expect(counts?.filter((line) => !line.endsWith(' 0'))).toEqual([]);
});

test('the service has met nothing that it did not expect, and works as before', async () => {
  const surprises = service
    .output()
    .split('\n')
    .filter((line) => line.includes('request failed') && !line.includes('"NotImplemented"'));
  expect(surprises).toEqual([]);
  expect((await admin('GET', '/readyz')).status).toBe(200);
  const value = Buffer.alloc(32).toString('base64url');
  const answer = await admin('POST', '/keys/aes/wrapkey', { alg: 'A256KW', value });
  expect(answer.status).toBe(200);
});
