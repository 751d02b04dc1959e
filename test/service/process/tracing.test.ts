import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { afterAll, expect, test } from '@jest/globals';
import { useProduction } from '../../support/use-service.ts';

const SECRET = Buffer.from('a data key of thirty-two bytes!!').toString('base64url');
const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly attributes: readonly { readonly key: string; readonly value: unknown }[];
}

/** What an OpenTelemetry collector would have been sent. */
const received: string[] = [];
const collector = createServer((req, res) => {
  const parts: Buffer[] = [];
  req.on('data', (part: Buffer) => parts.push(part));
  req.on('end', () => {
    const body = Buffer.concat(parts);
    received.push(
      (req.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString(),
    );
    res.writeHead(200, { 'Content-Type': 'application/json' }).end('{}');
  });
});

const { production, admin } = useProduction(async () => {
  await new Promise<void>((resolve) => {
    collector.listen(0, '127.0.0.1', resolve);
  });
  const { port } = collector.address() as AddressInfo;
  return {
    STRONGROOM_WORKERS: '1',
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${String(port)}`,
  };
});
afterAll(() => {
  collector.close();
});

const spans = (): readonly Span[] =>
  received.flatMap((text) =>
    (
      JSON.parse(text) as { resourceSpans: { scopeSpans: { spans: Span[] }[] }[] }
    ).resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)),
  );

test('a request is followed step by step, under the span of its caller, and no span tells what was in it', async () => {
  await admin('POST', '/keys/traced/create', { kty: 'oct-HSM' });
  const body = { alg: 'A256KW', value: SECRET };
  const answer = await admin('POST', '/keys/traced/wrapkey', body, {
    traceparent: `00-${TRACE}-${PARENT}-01`,
  });
  expect(answer.status).toBe(200);
  let mine: readonly Span[] = [];
  for (let tries = 0; tries < 100 && !mine.some(({ name }) => name === 'KeyWrap'); tries += 1) {
    await delay(100);
    mine = spans().filter(({ traceId }) => traceId === TRACE);
  }
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
  const all = received.join('');
  for (const secret of [
    SECRET,
    value,
    production.adminToken,
    'traced',
    production.adminPrincipalId,
  ])
    expect(all).not.toContain(secret);
});
