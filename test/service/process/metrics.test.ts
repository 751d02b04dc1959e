import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { parser } from '@prometheus-io/lezer-promql';
import { parse } from 'yaml';
import { freePort } from '../../support/free-port.ts';
import { rawRequest } from '../../support/raw-request.ts';
import {
  type Span,
  startTraceCollector,
  type TraceCollector,
} from '../../support/trace-collector.ts';
import { until } from '../../support/until.ts';
import { useProduction } from '../../support/use-service.ts';

const run = promisify(execFile);
const RULES = new URL('../../../src/observability/alerts.yaml', import.meta.url);
const DASHBOARD = new URL('../../../src/observability/dashboard.json', import.meta.url);
/** Of each of two processes. */
const LOADED_KEYS = 16;
const VALUE = Buffer.alloc(32, 7).toString('base64url');

let base: string;
let collector: TraceCollector;
const { production, admin, atEnd } = useProduction(async () => {
  collector = await startTraceCollector();
  const port = await freePort();
  base = `http://127.0.0.1:${String(port)}`;
  return {
    STRONGROOM_METRICS_LISTEN: `127.0.0.1:${String(port)}`,
    STRONGROOM_LOADED_KEYS: String(LOADED_KEYS),
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
  };
});
beforeAll(async () => {
  atEnd(collector);
  await admin('POST', '/keys/secret-name/create', { kty: 'oct-HSM' });
  for (let call = 0; call < 20; call += 1)
    await admin('POST', '/keys/secret-name/wrapkey', { alg: 'A256KW', value: VALUE });
  await admin('GET', '/keys/absent');
}, 120_000);

const read = async (path: string) => {
  const answer = await fetch(`${base}${path}`);
  return {
    status: answer.status,
    type: answer.headers.get('content-type'),
    text: await answer.text(),
  };
};

/** The value of one line of the exposition; undefined where there is no such line. */
function valueOf(text: string, line: string): number | undefined {
  const found = text.split('\n').find((one) => one.startsWith(`${line} `));
  return found === undefined ? undefined : Number(found.slice(line.length + 1));
}

/** A line of the exposition: name, labels, value. */
const SAMPLE =
  /^([a-zA-Z_:][\w:]*)(?:\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (?:[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|Inf)|NaN)$/;

describe('metrics', () => {
  test('are counted over all processes', async () => {
    const { status, type, text } = await read('/metrics');
    expect(status).toBe(200);
    expect(type).toContain('text/plain; version=0.0.4');
    expect(
      valueOf(text, 'strongroom_requests_total{operation="KeyWrap",status="200",pool="main"}'),
    ).toBe(20);
    expect(
      valueOf(text, 'strongroom_requests_total{operation="KeyGet",status="404",pool="main"}'),
    ).toBe(1);
    expect(
      valueOf(
        text,
        'strongroom_hsm_operation_duration_seconds_count{operation="encrypt",algorithm="A256KW",pool="main"}',
      ),
    ).toBe(20);
    expect(valueOf(text, 'strongroom_workers_ready')).toBe(2);
    expect(valueOf(text, 'strongroom_hsm_ready{pool="main"}')).toBe(2);
    expect(valueOf(text, 'strongroom_audit_commit_records_sum{pool="main"}')).toBeGreaterThan(20);
    expect(valueOf(text, 'strongroom_decision_cache_hits_total{pool="main"}')).toBeGreaterThan(10);
    expect(valueOf(text, 'strongroom_database_connections')).toBeGreaterThan(0);
  });

  test('tell that no more keys are loaded than may be, while all of them work', async () => {
    const names = Array.from({ length: 3 * LOADED_KEYS }, (_, index) => `many-${index}`);
    for (const name of names) await admin('POST', `/keys/${name}/create`, { kty: 'oct-HSM' });
    const call = async (name: string, operation: string, value: string) => {
      const answer = await admin('POST', `/keys/${name}/${operation}`, { alg: 'A256KW', value });
      expect(answer.status).toBe(200);
      return answer.json<{ value: string }>().value;
    };
    for (const name of [...names, ...names])
      expect(await call(name, 'unwrapkey', await call(name, 'wrapkey', VALUE))).toBe(VALUE);
    const { text } = await read('/metrics');
    expect(valueOf(text, 'strongroom_hsm_keys_loaded{pool="main"}')).toBeLessThanOrEqual(
      2 * LOADED_KEYS,
    );
    expect(valueOf(text, 'strongroom_hsm_key_loads_total{pool="main"}')).toBeGreaterThan(
      names.length,
    );
  });

  test('name no key, no principal and no address', async () => {
    const { text } = await read('/metrics');
    for (const secret of ['secret-name', production.adminPrincipalId, '127.0.0.1', VALUE])
      expect(text).not.toContain(secret);
  });

  test('are lines of the text format, each of a family that has its type and its help', async () => {
    const { text } = await read('/metrics');
    const types = new Map(
      [...text.matchAll(/^# TYPE (\S+) (counter|gauge|histogram)$/gm)].map(([, name, type]) => [
        name,
        type,
      ]),
    );
    const helps = new Set([...text.matchAll(/^# HELP (\S+) \S.*$/gm)].map(([, name]) => name));
    for (const line of text.split('\n').filter((one) => one !== '' && !one.startsWith('#'))) {
      const [, name = ''] = SAMPLE.exec(line) ?? [];
      const family = types.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '');
      expect([line, types.has(family), helps.has(family)]).toEqual([line, true, true]);
      expect([line, types.get(family) === 'histogram']).toEqual([line, family !== name]);
    }
    const own = [...types].filter(([name = '']) => name.startsWith('strongroom_'));
    const misnamed = own.filter(
      ([name = '', type]) => (type === 'counter') !== name.endsWith('_total'),
    );
    expect(misnamed).toEqual([]);
  });

  test('tell of each part that can be the bottleneck', async () => {
    const { text } = await read('/metrics');
    const families = new Set([...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name));
    for (const name of [
      'requests_total',
      'request_duration_seconds',
      'hsm_operation_duration_seconds',
      'hsm_sessions_in_use',
      'hsm_sessions_waiting',
      'hsm_keys_loaded',
      'audit_queue_records',
      'audit_commit_duration_seconds',
      'decision_cache_hits_total',
      'decision_cache_misses_total',
      'database_connections',
      'database_connections_idle',
      'database_waiting',
    ])
      expect(families).toContain(`strongroom_${name}`);
  });

  test("pass Prometheus's own check", async () => {
    const { text } = await read('/metrics');
    const promtool = await run('promtool', ['--version']).catch(() => undefined);
    if (promtool === undefined) {
      console.info("skipped: promtool (Debian's package prometheus) is not here");
      return;
    }
    const child = run('promtool', ['check', 'metrics']);
    child.child.stdin?.end(text);
    await expect(child).resolves.toMatchObject({ stderr: '' });
    const rules = await run('promtool', ['check', 'rules', RULES.pathname]);
    expect(rules.stdout).toContain('SUCCESS');
  });

  const ask = (...lines: string[]) => rawRequest({ port: Number(new URL(base).port) }, ...lines);

  // A page whose name its owner points at 127.0.0.1 could have a browser read them.
  test.each([
    ...['attacker.example', 'localhost.attacker.example', '192.0.2.1', '[2001:db8::1]', '0.0.0.0'],
    ...['a.1', 'localhost, attacker.example', 'notstrongroom.localhost.example', '[::ffff:a00:1]'],
  ])('are not for who calls %s', async (host) => {
    for (const path of ['/metrics', '/healthz', '/readyz', '/none']) {
      const lines = [`Host: ${host}`, 'Connection: close'];
      expect((await ask(`GET ${path} HTTP/1.1`, ...lines)).status).toBe(400);
      const elsewhere = await ask(
        `GET http://${host}${path} HTTP/1.1`,
        'Host: localhost',
        'Connection: close',
      );
      expect(elsewhere.status).toBe(400);
    }
  });

  test.each([
    ...['localhost', 'LOCALHOST:9464', 'localhost.', '127.0.0.1', '127.0.0.1:1', '127.9.9.9'],
    ...['[::1]:9464', '[::ffff:127.0.0.1]', '127.1', 'main.strongroom.localhost:9464'],
  ])('are for who calls this machine %s', async (host) => {
    for (const target of ['/healthz', `http://${host}/healthz?x`]) {
      const answer = await ask(`GET ${target} HTTP/1.1`, `Host: ${host}`, 'Connection: close');
      expect([target, answer.status]).toEqual([target, 200]);
    }
  });

  test.each([
    ['two Host headers', ['Host: localhost', 'Host: localhost']],
    ['no Host header', []],
  ])('are refused with %s', async (_what, lines) => {
    expect((await ask('GET /metrics HTTP/1.1', ...lines, 'Connection: close')).status).toBe(400);
  });

  test.each(['GET', 'HEAD', 'OPTIONS'])('answer %s in HTTP/1.0 without a host', async (method) => {
    for (const path of ['/healthz', '/readyz', '/metrics'])
      for (const host of [[], ['Host:']])
        expect((await ask(`${method} ${path} HTTP/1.0`, ...host)).status).toBe(200);
  });

  test('stand beside probes that say which part is not ready', async () => {
    expect(await read('/healthz')).toMatchObject({ status: 200, text: '{"status":"alive"}' });
    const ready = await read('/readyz');
    expect([ready.status, JSON.parse(ready.text)]).toEqual([
      200,
      {
        status: 'ready',
        parts: { hsm: true, store: true, audit: true, changeFeed: true, workers: true },
      },
    ]);
    expect((await read('/keys')).status).toBe(404);
  });
});

/** Metric names, and the labels that are matched or grouped by, of a PromQL expression; throws where it is none. */
function namesOf(expression: string): { readonly metrics: string[]; readonly labels: string[] } {
  const metrics: string[] = [];
  const labels: string[] = [];
  parser.parse(expression).iterate({
    enter: ({ type, from, to }) => {
      if (type.isError) throw new SyntaxError(`at ${String(from)} of ${expression}`);
      if (type.name === 'VectorSelector')
        metrics.push(/^[\w:]+/.exec(expression.slice(from, to))?.[0] ?? '');
      if (type.name === 'LabelName') labels.push(expression.slice(from, to));
    },
  });
  return { metrics, labels };
}

interface Rules {
  readonly groups: readonly {
    readonly rules: readonly {
      readonly alert: string;
      readonly expr: string;
      readonly annotations: { readonly summary: string; readonly description: string };
    }[];
  }[];
}
interface Dashboard {
  readonly panels: readonly {
    readonly title: string;
    readonly targets?: readonly { readonly expr: string }[];
  }[];
}

describe('the dashboard and the alert rules', () => {
  const load = async () => {
    const { groups } = parse(await readFile(RULES, 'utf8')) as Rules;
    const { panels } = JSON.parse(await readFile(DASHBOARD, 'utf8')) as Dashboard;
    return [
      ...groups.flatMap(({ rules }) => rules.map(({ alert, expr }) => [alert, expr] as const)),
      ...panels.flatMap(({ title, targets = [] }) =>
        targets.map(({ expr }) => [title, expr.replaceAll('$__rate_interval', '5m')] as const),
      ),
    ];
  };

  test('use nothing but metrics and labels that the running service has', async () => {
    const { text } = await read('/metrics');
    const types = new Map(
      [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]),
    );
    const known = new Set(
      [...types].flatMap(([name, type]) =>
        type === 'histogram'
          ? ['_bucket', '_sum', '_count'].map((end) => `${String(name)}${end}`)
          : [name],
      ),
    );
    const labels = new Set([...text.matchAll(/[{,](\w+)="/g)].map(([, name]) => name));
    const expressions = await load();
    expect(expressions.length).toBeGreaterThan(20);
    for (const [title, expression] of expressions) {
      const used = namesOf(expression);
      expect([title, used.metrics.filter((name) => !known.has(name) && name !== 'up')]).toEqual([
        title,
        [],
      ]);
      expect([title, used.labels.filter((name) => !labels.has(name) && name !== 'job')]).toEqual([
        title,
        [],
      ]);
    }
  });

  test('a rule that is no PromQL would be found', () => {
    expect(() => namesOf('sum(rate(x[5m]')).toThrow(SyntaxError);
    expect(namesOf('sum by (le) (rate(a_bucket{b="c"}[5m]))')).toEqual({
      metrics: ['a_bucket'],
      labels: ['le', 'b'],
    });
  });
});

describe('traces', () => {
  const SECRET = Buffer.from('a data key of thirty-two bytes!!').toString('base64url');
  const TRACE = '0af7651916cd43dd8448eb211c80319c';
  const PARENT = 'b7ad6b7169203331';

  test('follow a request step by step, under the span of its caller, and no span tells what was in it', async () => {
    await admin('POST', '/keys/traced/create', { kty: 'oct-HSM' });
    const body = { alg: 'A256KW', value: SECRET };
    const answer = await admin('POST', '/keys/traced/wrapkey', body, {
      traceparent: `00-${TRACE}-${PARENT}-01`,
    });
    expect(answer.status).toBe(200);
    let mine: readonly Span[] = [];
    await until(() => {
      mine = collector.spansOf(TRACE);
      return mine.some(({ name }) => name === 'KeyWrap');
    });
    const root = mine.find(({ name }) => name === 'KeyWrap');
    expect(root?.parentSpanId).toBe(PARENT);
    const steps = mine.filter(({ parentSpanId }) => parentSpanId === root?.spanId);
    expect(new Set(steps.map(({ name }) => name))).toEqual(
      new Set(['authenticate', 'authorise', 'read body', 'operation', 'audit']),
    );
    const operation = steps.find(({ name }) => name === 'operation');
    const inside = mine.filter(({ parentSpanId }) => parentSpanId === operation?.spanId);
    expect(inside.map(({ name }) => name)).toEqual(['hsm encrypt']);
    expect(root?.attributes.map(({ key }) => key).sort()).toEqual([
      'http.response.status_code',
      'strongroom.request_id',
    ]);
    const { value } = answer.json<{ value: string }>();
    for (const secret of [
      SECRET,
      value,
      production.adminToken,
      'traced',
      production.adminPrincipalId,
    ])
      expect(collector.text()).not.toContain(secret);
  });
});
