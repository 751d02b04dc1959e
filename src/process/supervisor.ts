import cluster from 'node:cluster';
import { availableParallelism } from 'node:os';
import { setTimeout as delayed } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import { every } from '../core/repeating.ts';
import { PinRefusedError } from '../core/operator-error.ts';
import type { Patience } from '../http/server/drain.ts';
import type { ReadinessReport } from '../http/pool/health.routes.ts';
import { startMetricsServer } from '../observability/metrics-server.ts';
import { openFileLimit, openFilesWarning } from './open-files.ts';
import { cannotListen } from './error-sentence.ts';
import { createMutex } from './mutex.ts';
import { createTicketKeys } from './ticket-keys.ts';
import {
  endWorker,
  failureOf,
  hasOutgrown,
  isSilent,
  newWatchedWorker,
  sendTo,
  type WatchedWorker,
} from './watched-worker.ts';
import { workerOptions } from './worker-options.ts';
import type { FromWorker, WorkerSettings } from './worker-protocol.ts';
import { stateOf } from './workers-state.ts';

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
  /**
   * Puts workers with these settings in the place of those that there are, one after the other, while requests are served.
   * @returns false where a later one doesn't start: those that are not replaced yet stay as they are, which is logged
   * @throws Error of the first where that doesn't become ready: all stay, with the settings that they had
   */
  reload(settings: SupervisorOptions['settings']): Promise<boolean>;
  /** Rejects once nobody serves, and nobody will: since the HSM refuses the PIN. */
  readonly failure: Promise<never>;
  /** Lets the workers finish what they do, and ends them. */
  stop(): Promise<void>;
}

const STOPPING: Patience = { idleMs: 500, limitMs: 30_000 };
/** A hung driver doesn't drain: what else the process has under way gets this long. */
const HUNG: Patience = { idleMs: 500, limitMs: 2_000 };
/** Nobody waits for one that has grown, or that has earlier settings: its clients' connections may live as long as they are promised to. */
const GROWN: Patience = { limitMs: 180_000 };
const WATCH_EVERY_MS = 1_000;
/** After the start, of the processes' word how they are. */
const SETTLED_LIMIT_MS = 10_000;
const RESTART_DELAY_MS = { first: 250, most: 10_000 };

/**
 * Starts the worker processes and keeps their number: one that dies, hangs or grows too large is replaced while the
 * others serve. Rejects with the first worker's own words when it can't start at all.
 */
export async function startSupervisor(options: SupervisorOptions): Promise<Supervisor> {
  const { log, workers } = options;
  let { settings } = options;
  const watched = new Map<number, WatchedWorker>();
  /** One starts after the other: SoftHSM fails at times where two open a token at once, and a wrong PIN is tried once. */
  const oneStart = createMutex();
  let isStopping = false;
  let delay = RESTART_DELAY_MS.first;
  let hasStarted = false;
  let isStartOver = false;
  let refusal: PinRefusedError | undefined;
  let port = settings.listen.port;
  let identityPort: number | undefined;
  let fail: (reason: Error) => void = () => undefined;
  const failure = new Promise<never>((_resolve, reject) => {
    fail = reject;
  });
  // Whoever waits for it hears of it; until then nobody may be there.
  failure.catch(() => undefined);

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
  const onError = (error: unknown) => {
    log.error({ err: error }, 'the watch over the worker processes failed: it is tried again');
  };
  const ticketKeys = createTicketKeys((keys) => {
    for (const entry of watched.values()) sendTo(entry, { kind: 'ticketKeys', ticketKeys: keys });
  }, onError);

  function readState() {
    return stateOf(watched.values(), {
      wanted: workers,
      isStartOver,
      reason: refusal?.message,
    });
  }

  async function start(): Promise<WatchedWorker> {
    if (refusal !== undefined) throw refusal;
    if (isStopping) throw new Error('the service is ending');
    const worker = cluster.fork(options.environment);
    const entry = newWatchedWorker(worker);
    watched.set(worker.id, entry);
    worker.on('error', (error) => {
      log.error({ err: error, worker: worker.process.pid }, 'worker process error');
    });
    return new Promise((resolve, reject) => {
      let reason = new Error('a worker process ended before it was ready');
      worker.on('message', (message: FromWorker) => {
        entry.lastHeard = performance.now();
        switch (message.kind) {
          case 'listening':
            sendTo(entry, {
              kind: 'start',
              settings: { ...settings, ticketKeys: ticketKeys.current, isStartOver },
            });
            break;
          case 'ready':
            entry.isReady = true;
            port = message.port;
            identityPort = message.identityPort;
            delay = RESTART_DELAY_MS.first;
            resolve(entry);
            break;
          case 'failed':
            reason = failureOf(message);
            if (reason instanceof PinRefusedError) startNoMore(reason);
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
        const rejectWithReason = () => {
          reject(reason);
          endWhereNobodyServes();
        };
        // Its last words may still be on their way.
        if (worker.isConnected()) worker.once('disconnect', rejectWithReason);
        else rejectWithReason();
        if (isStopping || entry.isLeaving) return;
        log.error({ worker: worker.process.pid, code, signal }, 'worker process ended');
        metrics?.replaced('ended');
        if (entry.isReady || hasStarted) restartLater();
      });
    });
  }

  function startNoMore(reason: PinRefusedError): void {
    if (refusal !== undefined) return;
    refusal = reason;
    if (hasStarted)
      log.error(
        `${reason.message} No worker process is started with it any more: put the right one into PKCS11_PIN_FILE and send SIGHUP, or restart the service with it.`,
      );
  }

  function endWhereNobodyServes(): void {
    if (refusal !== undefined && hasStarted && watched.size === 0) fail(refusal);
  }

  function isTooLarge(entry: WatchedWorker, residentBytes: number | undefined): boolean {
    if (!entry.isReady || entry.isLeaving || residentBytes === undefined) return false;
    // One after the other: a fresh process has to be there before the next one leaves.
    const isAlone = ![...watched.values()].some(({ isReady }) => !isReady);
    const isLarge = hasOutgrown(entry, residentBytes, options.memoryLimit);
    return isAlone && isLarge && refusal === undefined;
  }

  /** The number is looked at when the time has come: meanwhile one that was to leave may have stayed. */
  function restartLater(): void {
    const wait = delay;
    delay = Math.min(delay * 2, RESTART_DELAY_MS.most);
    setTimeout(() => {
      oneStart(async () => {
        const staying = [...watched.values()].filter(({ isLeaving }) => !isLeaving);
        if (!isStopping && staying.length < workers) await start();
      }).catch(() => undefined);
    }, wait);
  }

  /** The new one serves before the old one leaves; where it doesn't come to that, one that still works stays. */
  function replace(entry: WatchedWorker, patience: Patience): void {
    if (entry.isLeaving || isStopping) return;
    entry.isLeaving = true;
    oneStart(start).then(
      () => {
        endWorker(entry, patience);
      },
      (error: unknown) => {
        log.error({ err: error }, 'replacement did not start');
        if (patience === GROWN) entry.isLeaving = false;
        else endWorker(entry, patience);
      },
    );
  }

  async function reload(fresh: SupervisorOptions['settings']): Promise<boolean> {
    const earlier = { settings, refusal };
    const old = [...watched.values()].filter(({ isLeaving }) => !isLeaving);
    settings = fresh;
    refusal = undefined;
    let started = 0;
    try {
      for (; started < workers; started += 1) {
        await oneStart(start);
        const replaced = old.shift();
        if (replaced === undefined || replaced.isLeaving) continue;
        replaced.isLeaving = true;
        endWorker(replaced, GROWN);
      }
      return true;
    } catch (error) {
      if (started > 0) {
        log.error(
          { err: error, started, wanted: workers },
          'SIGHUP: some worker processes still go by the files as they were',
        );
        return false;
      }
      ({ settings, refusal } = earlier);
      throw error;
    }
  }

  const watch = every(
    WATCH_EVERY_MS,
    () => {
      for (const entry of watched.values()) {
        if (!isSilent(entry)) continue;
        log.error({ worker: entry.process.process.pid }, 'worker process is silent: it is killed');
        entry.process.process.kill('SIGKILL');
      }
    },
    onError,
  );

  async function endStart(): Promise<ReadinessReport> {
    isStartOver = true;
    for (const entry of watched.values()) sendTo(entry, { kind: 'startIsOver' });
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
    ticketKeys.stop();
    await metrics?.close();
    await Promise.all(
      [...watched.values()].map(
        (entry) =>
          new Promise<void>((resolve) => {
            entry.process.once('exit', () => {
              resolve();
            });
            endWorker(entry, STOPPING);
          }),
      ),
    );
  }

  try {
    for (let number = 0; number < workers; number += 1) await oneStart(start);
  } catch (error) {
    await stop();
    throw error;
  }
  hasStarted = true;
  return {
    port,
    ...(identityPort !== undefined && { identityPort }),
    endStart,
    reload,
    failure,
    stop,
  };
}
