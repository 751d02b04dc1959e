import { createServer, type IncomingMessage, type Server } from 'node:http';
import { AggregatorRegistry, Counter, Gauge, Registry } from 'prom-client';
import { parseTarget } from '../network/authority.ts';
import { createOwnHostCheck } from '../network/own-host.ts';

/** What the supervisor knows of its processes. */
export interface WorkersState {
  readonly wanted: number;
  readonly ready: number;
  /** Each part's name, and whether it could serve in every process that has told. */
  readonly parts: Readonly<Record<string, boolean>>;
  /** A sentence for the operator, where a part can't serve however long one waits. */
  readonly reason?: string;
}

export interface MetricsServer {
  /** A process has been replaced, and why. */
  replaced(reason: 'ended' | 'hung' | 'memory' | 'restored'): void;
  close(): Promise<void>;
}

export interface MetricsServerOptions {
  readonly host: string;
  readonly port: number;
  /** Names by which it may be called besides localhost and addresses, in lower case. */
  readonly names: readonly string[];
  readonly readState: () => WorkersState;
}

/** Plain HTTP for Prometheus and for probes: nothing here is secret, and it listens on loopback unless told otherwise. */
export async function startMetricsServer(options: MetricsServerOptions): Promise<MetricsServer> {
  const { host, port, names, readState } = options;
  const isOwnHost = createOwnHostCheck({ listensOn: host, names });
  const own = new Registry();
  const workers = new AggregatorRegistry();
  const registers = [own];
  new Gauge({
    name: 'strongroom_workers_wanted',
    help: 'Worker processes that there should be.',
    registers,
    collect() {
      this.set(readState().wanted);
    },
  });
  new Gauge({
    name: 'strongroom_workers_ready',
    help: 'Worker processes that serve.',
    registers,
    collect() {
      this.set(readState().ready);
    },
  });
  const replacements = new Counter({
    name: 'strongroom_workers_replaced_total',
    help: 'Worker processes that were replaced, by reason.',
    labelNames: ['reason'] as const,
    registers,
  });
  for (const reason of ['ended', 'hung', 'memory', 'restored']) replacements.inc({ reason }, 0);
  const incomplete = new Counter({
    name: 'strongroom_metrics_incomplete_total',
    help: 'Times that a worker process did not give its metrics in time.',
    registers,
  });

  async function metrics(): Promise<string> {
    // One that hangs must not hide the others' supervisor.
    const theirs = await workers.clusterMetrics().catch(() => {
      incomplete.inc();
      return '';
    });
    return `${await own.metrics()}${theirs}`;
  }

  const answers: Readonly<Record<string, () => Promise<[number, string, string]>>> = {
    '/metrics': async () => [200, own.contentType, await metrics()],
    '/healthz': () => Promise.resolve([200, JSON_TYPE, JSON.stringify({ status: 'alive' })]),
    '/readyz': () => {
      const { ready, parts, reason } = readState();
      const isReady = ready > 0 && Object.values(parts).every(Boolean);
      const body = {
        parts: { ...parts, workers: ready > 0 },
        ...(reason !== undefined && { reason }),
        status: isReady ? 'ready' : 'not ready',
      };
      return Promise.resolve([isReady ? 200 : 503, JSON_TYPE, JSON.stringify(body)]);
    },
  };

  const answerTo = ({ url = '', method = '', headers, httpVersion }: IncomingMessage) => {
    const target = parseTarget(url, 'http');
    const host = headers.host === '' && httpVersion === '1.0' ? undefined : headers.host;
    // Only HTTP/1.0, which browsers don't speak, may name no host, or an empty one: Node refuses others without.
    const isForUs = [target?.authority ?? host, host].every(
      (name) => name === undefined || isOwnHost(name),
    );
    if (target === undefined || !isForUs) return Promise.resolve(FOR_ANOTHER_HOST);
    const path = target.path.split('?')[0] ?? '';
    const answer = Object.hasOwn(answers, path) ? answers[path] : undefined;
    return METHODS.includes(method) && answer !== undefined ? answer() : Promise.resolve(NOT_FOUND);
  };

  const server: Server = createServer({ joinDuplicateHeaders: true }, (req, res) => {
    answerTo(req).then(
      ([status, type, body]) => {
        const headers = { 'Content-Type': type, 'Cache-Control': 'no-store' };
        res.writeHead(status, headers).end(body);
      },
      () => {
        res.writeHead(500).end();
      },
    );
  });
  server.maxConnections = 100;
  server.requestTimeout = 10_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  server.unref();

  return {
    replaced(reason) {
      replacements.inc({ reason });
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

/** OPTIONS is what HAProxy's `option httpchk <path>` sends. */
const METHODS = ['GET', 'HEAD', 'OPTIONS'];
const NOT_FOUND: [number, string, string] = [404, 'text/plain', 'Not found\n'];
const FOR_ANOTHER_HOST: [number, string, string] = [
  400,
  'text/plain',
  'The request is for another host: see STRONGROOM_METRICS_HOSTS.\n',
];
const JSON_TYPE = 'application/json; charset=utf-8';
