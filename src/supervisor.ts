import cluster, { type Worker } from 'node:cluster';
import { type Logger } from 'pino';
import { ConfigError } from './config.ts';
import { startMetricsServer } from './observability/metrics-server.ts';
import { type FromWorker, type ToWorker, type WorkerSettings } from './worker-protocol.ts';

export interface SupervisorOptions {
  readonly workers: number;
  readonly settings: WorkerSettings;
  /** Of the worker processes: what the PKCS#11 module reads itself, and nothing secret. */
  readonly environment: Readonly<Record<string, string>>;
  /** Where metrics and probes are served; nowhere where absent. */
  readonly metrics?: { readonly host: string; readonly port: number };
  readonly log: Logger;
}

export interface Supervisor {
  /** The port that the workers share. */
  readonly port: number;
  /** Of the managed identity endpoint, where there is one. */
  readonly identityPort?: number;
  /** Lets the workers finish what they do, and ends them. */
  stop(): Promise<void>;
}

/** A process that hasn't said a word for so long is inside a driver call that won't come back, and can't be cancelled. */
const SILENCE_LIMIT_MS = 10_000;
const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 35_000;
/** A hung driver doesn't drain: what else the process has under way gets this long. */
const HUNG_GRACE_MS = 2_000;
const WATCH_EVERY_MS = 1_000;
const RESTART_DELAY_MS = { first: 250, most: 10_000 };
/**
 * SoftHSM 2.6.1 leaks about 240 bytes for each object that is created and destroyed, which wrap and unwrap do: a process
 * that has grown past this gives way to a fresh one.
 */
const MEMORY_LIMIT_BYTES = 1.5 * 1024 ** 3;

interface Watched {
  readonly process: Worker;
  lastHeard: number;
  isReady: boolean;
  isLeaving: boolean;
  parts: Readonly<Record<string, boolean>>;
}

/**
 * Starts the worker processes and keeps their number: one that dies, hangs or grows too large is replaced while the
 * others serve. Rejects with the first worker's own words when it can't start at all.
 */
export async function startSupervisor(options: SupervisorOptions): Promise<Supervisor> {
  const { log, settings, workers } = options;
  const watched = new Map<number, Watched>();
  let isStopping = false;
  let delay = RESTART_DELAY_MS.first;
  let hasStarted = false;
  let port = settings.listen.port;
  let identityPort: number | undefined;

  cluster.setupPrimary({ exec: new URL('./worker.js', import.meta.url).pathname, silent: false });

  const metrics =
    options.metrics === undefined
      ? undefined
      : await startMetricsServer({ ...options.metrics, readState }).catch((error: unknown) => {
          throw new ConfigError(
            `STRONGROOM_METRICS_LISTEN: ${error instanceof Error ? error.message : String(error)}`,
          );
        });

  function readState() {
    const serving = [...watched.values()].filter(({ isReady, isLeaving }) => isReady && !isLeaving);
    const parts: Record<string, boolean> = {};
    for (const entry of serving)
      for (const [name, isReady] of Object.entries(entry.parts))
        parts[name] = (parts[name] ?? true) && isReady;
    return { wanted: workers, ready: serving.length, parts };
  }

  function start(): Promise<Watched> {
    const worker = cluster.fork(options.environment);
    const entry: Watched = {
      process: worker,
      lastHeard: performance.now(),
      isReady: false,
      isLeaving: false,
      parts: {},
    };
    watched.set(worker.id, entry);
    worker.on('error', (error) => {
      log.error({ err: error, worker: worker.process.pid }, 'worker process error');
    });
    return new Promise((resolve, reject) => {
      let words = 'it ended before it was ready';
      worker.on('message', (message: FromWorker) => {
        entry.lastHeard = performance.now();
        switch (message.kind) {
          case 'listening':
            tell(entry, { kind: 'start', settings });
            break;
          case 'ready':
            entry.isReady = true;
            port = message.port;
            identityPort = message.identityPort;
            delay = RESTART_DELAY_MS.first;
            resolve(entry);
            break;
          case 'failed':
            words = message.reason;
            break;
          case 'hung':
            log.error(
              { worker: worker.process.pid, operation: message.operation },
              'driver call hangs',
            );
            metrics?.replaced('hung');
            replace(entry, HUNG_GRACE_MS);
            break;
          case 'alive':
            entry.parts = message.parts ?? entry.parts;
            if (message.residentBytes > MEMORY_LIMIT_BYTES && !entry.isLeaving) {
              log.warn(
                { worker: worker.process.pid, bytes: message.residentBytes },
                'worker has grown too large',
              );
              metrics?.replaced('memory');
              replace(entry, STOP_LIMIT_MS);
            }
            break;
        }
      });
      worker.on('exit', (code, signal) => {
        watched.delete(worker.id);
        reject(new Error(words));
        if (isStopping || entry.isLeaving) return;
        log.error({ worker: worker.process.pid, code, signal }, 'worker process ended');
        metrics?.replaced('ended');
        if (entry.isReady || hasStarted) restartLater();
      });
    });
  }

  function restartLater(): void {
    const wait = delay;
    delay = Math.min(delay * 2, RESTART_DELAY_MS.most);
    setTimeout(() => {
      if (!isStopping) start().catch(() => undefined);
    }, wait);
  }

  /** The new one serves before the old one leaves. */
  function replace(entry: Watched, limitMs: number): void {
    if (entry.isLeaving || isStopping) return;
    entry.isLeaving = true;
    start()
      .catch((error: unknown) => {
        log.error({ err: error }, 'replacement did not start');
        if (!isStopping) restartLater();
      })
      .finally(() => {
        end(entry, limitMs);
      });
  }

  function end(entry: Watched, limitMs: number): void {
    tell(entry, { kind: 'drain' });
    const cut = setTimeout(() => entry.process.process.kill('SIGKILL'), limitMs);
    entry.process.once('exit', () => {
      clearTimeout(cut);
    });
  }

  const watch = setInterval(() => {
    for (const entry of watched.values()) {
      const limit = entry.isReady ? SILENCE_LIMIT_MS : START_LIMIT_MS;
      if (performance.now() - entry.lastHeard <= limit) continue;
      log.error({ worker: entry.process.process.pid }, 'worker process is silent: it is killed');
      entry.process.process.kill('SIGKILL');
    }
  }, WATCH_EVERY_MS);

  async function stop(): Promise<void> {
    isStopping = true;
    clearInterval(watch);
    await metrics?.close();
    await Promise.all(
      [...watched.values()].map(
        (entry) =>
          new Promise<void>((resolve) => {
            entry.process.once('exit', () => {
              resolve();
            });
            end(entry, STOP_LIMIT_MS);
          }),
      ),
    );
  }

  try {
    await start();
    await Promise.all(Array.from({ length: workers - 1 }, () => start()));
  } catch (error) {
    await stop();
    throw error;
  }
  hasStarted = true;
  return { port, ...(identityPort !== undefined && { identityPort }), stop };
}

function tell(entry: Watched, message: ToWorker): void {
  // A process that has just died can't be told anything; its exit event says the rest.
  if (entry.process.isConnected()) entry.process.send(message, () => undefined);
}
