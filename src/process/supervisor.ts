import cluster from 'node:cluster';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { every } from '../core/repeating.ts';
import type { ReadinessReport } from '../http/pool/health.routes.ts';
import { startMetricsServer } from '../observability/metrics-server.ts';
import { cannotListen } from './error-sentence.ts';
import { openFileLimit, openFilesWarning } from './open-files.ts';
import { createTicketKeys } from './ticket-keys.ts';
import { type FleetOptions, type FleetSettings, WorkerFleet } from './worker-fleet.ts';
import { workerOptions } from './worker-options.ts';

export interface SupervisorOptions extends Omit<FleetOptions, 'ticketKeys' | 'onReplaced'> {
  /** NODE_OPTIONS, which worker processes have too. */
  readonly nodeOptions: string;
  /** Where metrics and probes are served; nowhere where absent. */
  readonly metrics?: {
    readonly host: string;
    readonly port: number;
    readonly names: readonly string[];
  };
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
  reload(settings: FleetSettings): Promise<boolean>;
  /** Rejects once nobody serves, and nobody will: since the HSM refuses the PIN. */
  readonly failure: Promise<never>;
  /** Lets the workers finish what they do, and ends them. */
  stop(): Promise<void>;
}

const WATCH_EVERY_MS = 1_000;

/**
 * Starts the worker processes and keeps their number, and serves their metrics and probes. Rejects with the first worker's
 * own words when it can't start at all.
 */
export async function startSupervisor(options: SupervisorOptions): Promise<Supervisor> {
  const { log, workers } = options;
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
  const fleet = new WorkerFleet({
    ...options,
    ticketKeys: () => ticketKeys.current,
    onReplaced: (reason) => {
      metrics?.replaced(reason);
    },
  });
  const onError = (error: unknown) => {
    log.error({ err: error }, 'the watch over the worker processes failed: it is tried again');
  };
  const { metrics: address } = options;
  const metrics =
    address === undefined
      ? undefined
      : await startMetricsServer({ ...address, readState: () => fleet.state }).catch(
          (error: unknown) => {
            throw cannotListen('STRONGROOM_METRICS_LISTEN', address, error);
          },
        );
  const ticketKeys = createTicketKeys((keys) => {
    fleet.tellAll({ kind: 'ticketKeys', ticketKeys: keys });
  }, onError);
  const watch = every(
    WATCH_EVERY_MS,
    () => {
      fleet.killSilent();
    },
    onError,
  );

  async function stop(): Promise<void> {
    const ended = fleet.stop();
    clearInterval(watch);
    ticketKeys.stop();
    await metrics?.close();
    await ended;
  }

  try {
    await fleet.startAll();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    ...fleet.ports,
    async endStart() {
      await fleet.endStart();
      const { parts, reason } = fleet.state;
      return { parts, ...(reason !== undefined && { reason }) };
    },
    reload: (settings) => fleet.reload(settings),
    failure: fleet.failure,
    stop,
  };
}
