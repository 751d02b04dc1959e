import cluster, { type Worker } from 'node:cluster';
import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { setTimeout as delayed } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import { every } from '../core/repeating.ts';
import { OperatorError } from '../core/operator-error.ts';
import type { Patience } from '../http/server/drain.ts';
import type { ReadinessReport } from '../http/pool/health.routes.ts';
import { startMetricsServer } from '../observability/metrics-server.ts';
import { openFileLimit, openFilesWarning } from './open-files.ts';
import { cannotListen } from './error-sentence.ts';
import { workerOptions } from './worker-options.ts';
import type { FromWorker, ToWorker, WorkerSettings } from './worker-protocol.ts';

export interface SupervisorOptions {
  readonly workers: number;
  /** Of a worker process's resident memory, in bytes: one that has grown past it gives way to a fresh one. */
  readonly memoryLimit: number;
  /** NODE_OPTIONS, which worker processes have too. */
  readonly nodeOptions: string;
  readonly settings: Omit<WorkerSettings, 'ticketKeys' | 'isStartOver'>;
  /** Of the worker processes: what the PKCS#11 module reads itself, and nothing secret. */
  readonly environment: Readonly<Record<string, string>>;
  /** Where metrics and probes are served; nowhere where absent. */
  readonly metrics?: {
    readonly host: string;
    readonly port: number;
    readonly names: readonly string[];
  };
  readonly log: Logger;
}

export interface Supervisor {
  /** The port that the workers share. */
  readonly port: number;
  /** Of the managed identity endpoint, where there is one. */
  readonly identityPort?: number;
  /**
   * All that a client needs is there: the processes may call themselves ready. Resolves when they have become so, or with
   * what keeps them from it.
   */
  endStart(): Promise<ReadinessReport>;
  /** Lets the workers finish what they do, and ends them. */
  stop(): Promise<void>;
}

/** A process that hasn't said a word for so long is inside a driver call that won't come back, and can't be cancelled. */
const SILENCE_LIMIT_MS = 10_000;
const START_LIMIT_MS = 60_000;
const STOPPING: Patience = { idleMs: 500, limitMs: 30_000 };
/** A hung driver doesn't drain: what else the process has under way gets this long. */
const HUNG: Patience = { idleMs: 500, limitMs: 2_000 };
/** Nobody waits for one that has grown: its clients' connections may live as long as they are promised to. */
const GROWN: Patience = { limitMs: 180_000 };
/** From the last request's end to the process's: what is waiting is written, and the HSM given up. */
const CLOSING_MS = 5_000;
const WATCH_EVERY_MS = 1_000;
/** After the start, of the processes' word how they are. */
const SETTLED_LIMIT_MS = 10_000;
/**
 * Sessions of TLS 1.2 that are resumed by a ticket are as secret as the key that it is encrypted by (RFC 9325 §3.4); they
 * live for five minutes, so nearly all outlast a change of it.
 */
const TICKET_KEYS_EVERY_MS = 3_600_000;
const TICKET_KEYS_BYTES = 48;
const RESTART_DELAY_MS = { first: 250, most: 10_000 };
/**
 * SoftHSM 2.6.1 leaks about 240 bytes for each object that is created and destroyed, which wrap and unwrap do. However low
 * the limit is, a process must have grown by so much since its start, lest one that begins beyond it is replaced for ever.
 */
const LEAST_GROWTH = 1.1;

interface Watched {
  readonly process: Worker;
  lastHeard: number;
  isReady: boolean;
  isLeaving: boolean;
  /** Resident bytes when it began to serve; absent before. */
  residentAtFirst?: number;
  report: ReadinessReport;
  /** Told when it has said how it is after the start. */
  onSettled: () => void;
}

/**
 * Starts the worker processes and keeps their number: one that dies, hangs or grows too large is replaced while the
 * others serve. Rejects with the first worker's own words when it can't start at all.
 */
export async function startSupervisor(options: SupervisorOptions): Promise<Supervisor> {
  const { log, settings, workers } = options;
  const watched = new Map<number, Watched>();
  let ticketKeys = newTicketKeys();
  let isStopping = false;
  let delay = RESTART_DELAY_MS.first;
  let hasStarted = false;
  let isStartOver = false;
  let port = settings.listen.port;
  let identityPort: number | undefined;

  cluster.setupPrimary({
    exec: fileURLToPath(new URL('./worker.js', import.meta.url)),
    execArgv: [
      ...workerOptions({
        workers,
        cores: availableParallelism(),
        memoryLimit: options.memoryLimit,
        given: [...process.execArgv, options.nodeOptions],
      }),
      ...process.execArgv,
    ],
    silent: false,
  });

  const openFiles = openFilesWarning(openFileLimit());
  if (openFiles !== undefined) log.warn(openFiles);
  const { metrics: address } = options;
  const metrics =
    address === undefined
      ? undefined
      : await startMetricsServer({ ...address, readState }).catch((error: unknown) => {
          throw cannotListen('STRONGROOM_METRICS_LISTEN', address, error);
        });

  function readState() {
    const serving = [...watched.values()].filter(({ isReady, isLeaving }) => isReady && !isLeaving);
    const parts: Record<string, boolean> = {};
    for (const { report } of serving)
      for (const [name, isReady] of Object.entries(report.parts))
        parts[name] = (parts[name] ?? true) && isReady;
    // What they say of the start may be a second old.
    if (isStartOver) delete parts['start'];
    else parts['start'] = false;
    const reason = serving.find(({ report }) => report.reason !== undefined)?.report.reason;
    return {
      wanted: workers,
      ready: serving.length,
      parts,
      ...(reason !== undefined && { reason }),
    };
  }

  function start(): Promise<Watched> {
    const worker = cluster.fork(options.environment);
    const entry: Watched = {
      process: worker,
      lastHeard: performance.now(),
      isReady: false,
      isLeaving: false,
      report: { parts: {} },
      onSettled: () => undefined,
    };
    watched.set(worker.id, entry);
    worker.on('error', (error) => {
      log.error({ err: error, worker: worker.process.pid }, 'worker process error');
    });
    return new Promise((resolve, reject) => {
      let failure = new Error('a worker process ended before it was ready');
      worker.on('message', (message: FromWorker) => {
        entry.lastHeard = performance.now();
        switch (message.kind) {
          case 'listening':
            tell(entry, { kind: 'start', settings: { ...settings, ticketKeys, isStartOver } });
            break;
          case 'ready':
            entry.isReady = true;
            port = message.port;
            identityPort = message.identityPort;
            delay = RESTART_DELAY_MS.first;
            resolve(entry);
            break;
          case 'failed':
            failure = failureOf(message);
            break;
          case 'settled':
            entry.report = message.report;
            entry.onSettled();
            break;
          case 'hung':
            log.error(
              { worker: worker.process.pid, operation: message.operation },
              'driver call hangs',
            );
            metrics?.replaced('hung');
            replace(entry, HUNG);
            break;
          case 'alive':
            entry.report = message.report ?? entry.report;
            if (isTooLarge(entry, message.residentBytes)) {
              log.warn(
                { worker: worker.process.pid, bytes: message.residentBytes },
                'worker has grown too large',
              );
              metrics?.replaced('memory');
              replace(entry, GROWN);
            }
            break;
        }
      });
      worker.on('exit', (code, signal) => {
        watched.delete(worker.id);
        entry.onSettled();
        const tellWhy = () => {
          reject(failure);
        };
        // Its last words may still be on their way.
        if (worker.isConnected()) worker.once('disconnect', tellWhy);
        else tellWhy();
        if (isStopping || entry.isLeaving) return;
        log.error({ worker: worker.process.pid, code, signal }, 'worker process ended');
        metrics?.replaced('ended');
        if (entry.isReady || hasStarted) restartLater();
      });
    });
  }

  function isTooLarge(entry: Watched, residentBytes: number | undefined): boolean {
    if (!entry.isReady || entry.isLeaving || residentBytes === undefined) return false;
    entry.residentAtFirst ??= residentBytes;
    // One after the other: a fresh process has to be there before the next one leaves.
    const isAlone = ![...watched.values()].some(({ isReady }) => !isReady);
    return (
      isAlone &&
      residentBytes > options.memoryLimit &&
      residentBytes > LEAST_GROWTH * entry.residentAtFirst
    );
  }

  /** The number is looked at when the time has come: meanwhile one that was to leave may have stayed. */
  function restartLater(): void {
    const wait = delay;
    delay = Math.min(delay * 2, RESTART_DELAY_MS.most);
    setTimeout(() => {
      const staying = [...watched.values()].filter(({ isLeaving }) => !isLeaving);
      if (!isStopping && staying.length < workers) start().catch(() => undefined);
    }, wait);
  }

  /** The new one serves before the old one leaves; where it doesn't come to that, one that still works stays. */
  function replace(entry: Watched, patience: Patience): void {
    if (entry.isLeaving || isStopping) return;
    entry.isLeaving = true;
    start().then(
      () => {
        end(entry, patience);
      },
      (error: unknown) => {
        log.error({ err: error }, 'replacement did not start');
        if (patience === GROWN) entry.isLeaving = false;
        else end(entry, patience);
      },
    );
  }

  function end(entry: Watched, patience: Patience): void {
    tell(entry, { kind: 'drain', patience });
    const cut = setTimeout(
      () => entry.process.process.kill('SIGKILL'),
      patience.limitMs + CLOSING_MS,
    );
    entry.process.once('exit', () => {
      clearTimeout(cut);
    });
  }

  const onError = (error: unknown) => {
    log.error({ err: error }, 'the watch over the worker processes failed: it is tried again');
  };
  const watch = every(
    WATCH_EVERY_MS,
    () => {
      for (const entry of watched.values()) {
        const limit = entry.isReady ? SILENCE_LIMIT_MS : START_LIMIT_MS;
        if (performance.now() - entry.lastHeard <= limit) continue;
        log.error({ worker: entry.process.process.pid }, 'worker process is silent: it is killed');
        entry.process.process.kill('SIGKILL');
      }
    },
    onError,
  );

  const ticketKeysChange = every(
    TICKET_KEYS_EVERY_MS,
    () => {
      ticketKeys = newTicketKeys();
      for (const entry of watched.values()) tell(entry, { kind: 'ticketKeys', ticketKeys });
    },
    onError,
  );

  async function endStart(): Promise<ReadinessReport> {
    isStartOver = true;
    for (const entry of watched.values()) tell(entry, { kind: 'startIsOver' });
    const settled = [...watched.values()]
      .filter(({ isReady }) => isReady)
      .map(
        (entry) =>
          new Promise<void>((resolve) => {
            entry.onSettled = resolve;
          }),
      );
    await Promise.race([
      Promise.all(settled),
      delayed(SETTLED_LIMIT_MS, undefined, { ref: false }),
    ]);
    const { parts, reason } = readState();
    return { parts, ...(reason !== undefined && { reason }) };
  }

  async function stop(): Promise<void> {
    isStopping = true;
    clearInterval(watch);
    clearInterval(ticketKeysChange);
    await metrics?.close();
    await Promise.all(
      [...watched.values()].map(
        (entry) =>
          new Promise<void>((resolve) => {
            entry.process.once('exit', () => {
              resolve();
            });
            end(entry, STOPPING);
          }),
      ),
    );
  }

  try {
    await start();
    // One after the other: SoftHSM fails at times where two processes open a token at once.
    for (let more = 1; more < workers; more += 1) await start();
  } catch (error) {
    await stop();
    throw error;
  }
  hasStarted = true;
  return { port, ...(identityPort !== undefined && { identityPort }), endStart, stop };
}

/** A sentence for the operator stays one on its way here, and a fault of ours keeps its stack. */
function failureOf({ reason, stack }: Extract<FromWorker, { kind: 'failed' }>): Error {
  if (stack === undefined) return new OperatorError(reason);
  const failure = new Error(reason);
  failure.stack = stack;
  return failure;
}

function newTicketKeys(): string {
  return randomBytes(TICKET_KEYS_BYTES).toString('base64');
}

function tell(entry: Watched, message: ToWorker): void {
  // A process that has just died can't be told anything; its exit event says the rest.
  if (entry.process.isConnected()) entry.process.send(message, () => undefined);
}
