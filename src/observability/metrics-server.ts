import { createServer, type Server } from 'node:http';
import { AggregatorRegistry, Counter, Gauge, Registry } from 'prom-client';

/** What the supervisor knows of its processes. */
interface WorkersState {
  readonly wanted: number;
  readonly ready: number;
  /** Each part's name, and whether it could serve in every process that has told. */
  readonly parts: Readonly<Record<string, boolean>>;
  /** A sentence for the operator, where a part can't serve however long one waits. */
  readonly reason?: string;
}

export interface MetricsServer {
  /** A process has been replaced, and why. */
  replaced(reason: 'ended' | 'hung' | 'memory'): void;
  close(): Promise<void>;
}

export interface MetricsServerOptions {
  readonly host: string;
  readonly port: number;
  readonly readState: () => WorkersState;
}

/** Plain HTTP for Prometheus and for probes: nothing here is secret, and it listens on loopback unless told otherwise. */
export async function startMetricsServer(options: MetricsServerOptions): Promise<MetricsServer> {
  const { host, port, readState } = options;
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
  for (const reason of ['ended', 'hung', 'memory']) replacements.inc({ reason }, 0);
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

  const server: Server = createServer((req, res) => {
    const answer = answers[req.url?.split('?')[0] ?? ''];
    const given =
      req.method === 'GET' && answer !== undefined
        ? answer()
        : Promise.resolve([404, 'text/plain', 'Not found\n'] as const);
    given.then(
      ([status, type, body]) => {
        res.writeHead(status, { 'Content-Type': type, 'Cache-Control': 'no-store' }).end(body);
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

const JSON_TYPE = 'application/json; charset=utf-8';
