import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';

export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly attributes: readonly { readonly key: string; readonly value: unknown }[];
}

/** Takes what an OpenTelemetry collector would be sent. */
export interface TraceCollector {
  readonly url: string;
  /** All of it, as JSON. */
  text(): string;
  spansOf(traceId: string): readonly Span[];
  close(): void;
}

interface Export {
  readonly resourceSpans: readonly { readonly scopeSpans: readonly { spans: readonly Span[] }[] }[];
}

export async function startTraceCollector(): Promise<TraceCollector> {
  const received: string[] = [];
  const server = createServer((req, res) => {
    void buffer(req).then((body) => {
      const isZipped = req.headers['content-encoding'] === 'gzip';
      received.push((isZipped ? gunzipSync(body) : body).toString());
      res.writeHead(200, { 'Content-Type': 'application/json' }).end('{}');
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    text: () => received.join(''),
    spansOf: (traceId) =>
      received
        .flatMap((text) => (JSON.parse(text) as Export).resourceSpans)
        .flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans))
        .filter((span) => span.traceId === traceId),
    close: () => server.close(),
  };
}
