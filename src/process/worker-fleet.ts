import cluster from 'node:cluster';
import { setTimeout as delayed } from 'node:timers/promises';
import type { Logger } from 'pino';
import { PinRefusedError } from '../core/operator-error.ts';
import type { TriedModule } from '../hsm/capabilities/tried-module.ts';
import type { Patience } from '../http/server/drain.ts';
import type { WorkersState } from '../observability/metrics-server.ts';
import { createMutex } from './mutex.ts';
import {
  endWorker,
  failureOf,
  hasOutgrown,
  isSilent,
  newWatchedWorker,
  sendTo,
  type WatchedWorker,
} from './watched-worker.ts';
import type { FromWorker, ToWorker, WorkerSettings } from './worker-protocol.ts';
import { stateOf } from './workers-state.ts';

/** What a worker is told; what changes while the service runs comes at its start. */
export type FleetSettings = Omit<WorkerSettings, 'ticketKeys' | 'isStartOver' | 'tried'>;

export interface FleetOptions {
  readonly workers: number;
  /** Of a worker process's resident memory, in bytes: one that has grown past it gives way to a fresh one. */
  readonly memoryLimit: number;
  readonly settings: FleetSettings;
  /** Of the worker processes: what the PKCS#11 module reads itself, and nothing secret. */
  readonly environment: Readonly<Record<string, string>>;
  readonly log: Logger;
  /** Of this moment. */
  readonly ticketKeys: () => string;
  readonly onReplaced: (reason: 'ended' | 'hung' | 'memory' | 'restored') => void;
}

const STOPPING: Patience = { idleMs: 500, limitMs: 30_000 };
/** A hung driver doesn't drain: what else the process has under way gets this long. */
const HUNG: Patience = { idleMs: 500, limitMs: 2_000 };
/** What it answers is of a pool that is another one by now. */
const OUTDATED: Patience = { idleMs: 500, limitMs: 10_000 };
/** Nobody waits for one that has grown, or that has earlier settings: its clients' connections may live as long as they are promised to. */
const GROWN: Patience = { limitMs: 180_000 };
/** After the start, of the processes' word how they are. */
const SETTLED_LIMIT_MS = 10_000;
const RESTART_DELAY_MS = { first: 250, most: 10_000 };

/** The worker processes, whose number is kept: one that dies, hangs or grows too large is replaced while the others serve. */
export class WorkerFleet {
  readonly #options: FleetOptions;
  readonly #watched = new Map<number, WatchedWorker>();
  /** One starts after the other: SoftHSM fails at times where two open a token at once, and a wrong PIN is tried once. */
  readonly #oneStart = createMutex();
  #settings: FleetSettings;
  /** Of the start that is under way; undefined while there is none. */
  #tried: TriedModule | 'not yet' | undefined;
  #isStopping = false;
  #hasStarted = false;
  #isStartOver = false;
  #delay = RESTART_DELAY_MS.first;
  #refusal: PinRefusedError | undefined;
  #fail: (reason: Error) => void = () => undefined;
  /** Of the last one that became ready. */
  ports: { readonly port: number; readonly identityPort?: number };
  /** Rejects once nobody serves, and nobody will: since the HSM refuses the PIN. */
  readonly failure: Promise<never>;

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#settings = options.settings;
    this.ports = { port: options.settings.listen.port };
    this.failure = new Promise<never>((_resolve, reject) => {
      this.#fail = reject;
    });
    // Whoever waits for it hears of it; until then nobody may be there.
    this.failure.catch(() => undefined);
  }

  get state(): WorkersState {
    return stateOf(this.#watched.values(), {
      wanted: this.#options.workers,
      isStartOver: this.#isStartOver,
      reason: this.#refusal?.message,
    });
  }

  /** @throws Error of the first worker that can't start; those that have started stay */
  async startAll(): Promise<void> {
    await this.#asOneStart(async () => {
      for (let number = 0; number < this.#options.workers; number += 1) await this.#startNext();
    });
    this.#hasStarted = true;
  }

  /** All that a client needs is there: the workers may call themselves ready. Resolves when they have said how they are. */
  async endStart(): Promise<void> {
    this.#isStartOver = true;
    this.tellAll({ kind: 'startIsOver' });
    const settled = [...this.#watched.values()]
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
  }

  tellAll(message: ToWorker): void {
    for (const entry of this.#watched.values()) sendTo(entry, message);
  }

  /** See Supervisor. */
  async reload(settings: FleetSettings): Promise<boolean> {
    const earlier = { settings: this.#settings, refusal: this.#refusal };
    const old = [...this.#watched.values()].filter(({ isLeaving }) => !isLeaving);
    const { workers, log } = this.#options;
    this.#settings = settings;
    this.#refusal = undefined;
    let started = 0;
    try {
      await this.#asOneStart(async () => {
        for (; started < workers; started += 1) {
          await this.#startNext();
          const replaced = old.shift();
          if (replaced === undefined || replaced.isLeaving) continue;
          replaced.isLeaving = true;
          endWorker(replaced, GROWN);
        }
      });
      return true;
    } catch (error) {
      if (started > 0) {
        log.error(
          { err: error, started, wanted: workers },
          'SIGHUP: some worker processes still go by the files as they were',
        );
        return false;
      }
      this.#settings = earlier.settings;
      this.#refusal = earlier.refusal;
      throw error;
    }
  }

  /** Those in a driver call that doesn't come back. */
  killSilent(): void {
    for (const entry of this.#watched.values()) {
      if (!isSilent(entry)) continue;
      const { process } = entry.process;
      this.#options.log.error({ worker: process.pid }, 'worker process is silent: it is killed');
      process.kill('SIGKILL');
    }
  }

  /** Lets the workers finish what they do, and ends them. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(
      [...this.#watched.values()].map(
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

  /** What the first of these processes finds out about the module the others needn't try again. */
  async #asOneStart(start: () => Promise<void>): Promise<void> {
    this.#tried = 'not yet';
    try {
      await start();
    } finally {
      this.#tried = undefined;
    }
  }

  /** After those that start already. */
  #startNext(): Promise<void> {
    return this.#oneStart(() => this.#start());
  }

  async #start(): Promise<void> {
    if (this.#refusal !== undefined) throw this.#refusal;
    if (this.#isStopping) throw new Error('the service is ending');
    const worker = cluster.fork(this.#options.environment);
    const entry = newWatchedWorker(worker);
    this.#watched.set(worker.id, entry);
    worker.on('error', (error) => {
      this.#options.log.error({ err: error, worker: worker.process.pid }, 'worker process error');
    });
    return new Promise((resolve, reject) => {
      let reason = new Error('a worker process ended before it was ready');
      worker.on('message', (message: FromWorker) => {
        if (message.kind === 'failed') reason = failureOf(message);
        this.#hear(entry, message);
        if (message.kind === 'ready') resolve();
      });
      worker.on('exit', (code, signal) => {
        const rejectWithReason = () => {
          reject(reason);
          this.#endWhereNobodyServes();
        };
        this.#forget(entry, { code, signal });
        // Its last words may still be on their way.
        if (worker.isConnected()) worker.once('disconnect', rejectWithReason);
        else rejectWithReason();
      });
    });
  }

  #hear(entry: WatchedWorker, message: FromWorker): void {
    const { log } = this.#options;
    const worker = entry.process.process.pid;
    entry.lastHeard = performance.now();
    switch (message.kind) {
      case 'listening': {
        // What it was told before is lost.
        if (this.#isStopping) {
          sendTo(entry, { kind: 'drain', patience: STOPPING });
          break;
        }
        const ticketKeys = this.#options.ticketKeys();
        const isStartOver = this.#isStartOver;
        sendTo(entry, {
          kind: 'start',
          settings: {
            ...{ ...this.#settings, ticketKeys, isStartOver },
            ...(typeof this.#tried === 'object' && { tried: this.#tried }),
          },
        });
        break;
      }
      case 'ready':
        entry.isReady = true;
        if (this.#tried !== undefined) this.#tried = message.tried;
        this.ports = portsOf(message);
        this.#delay = RESTART_DELAY_MS.first;
        break;
      case 'failed':
        this.#heed(failureOf(message));
        break;
      case 'settled':
        entry.report = message.report;
        entry.onSettled();
        break;
      case 'hung':
        log.error({ worker, operation: message.operation }, 'driver call hangs');
        this.#options.onReplaced('hung');
        this.#replace(entry, HUNG);
        break;
      case 'outdated':
        this.#options.onReplaced('restored');
        this.#replace(entry, OUTDATED);
        break;
      case 'alive':
        entry.report = message.report ?? entry.report;
        if (this.#isTooLarge(entry, message.residentBytes)) {
          log.warn({ worker, bytes: message.residentBytes }, 'worker has grown too large');
          this.#options.onReplaced('memory');
          this.#replace(entry, GROWN);
        }
        break;
    }
  }

  #forget(entry: WatchedWorker, how: { readonly code: number; readonly signal: string }): void {
    this.#watched.delete(entry.process.id);
    entry.onSettled();
    if (this.#isStopping || entry.isLeaving) return;
    this.#options.log.error({ worker: entry.process.process.pid, ...how }, 'worker process ended');
    this.#options.onReplaced('ended');
    if (entry.isReady || this.#hasStarted) this.#restartLater();
  }

  #heed(refusal: Error): void {
    if (!(refusal instanceof PinRefusedError) || this.#refusal !== undefined) return;
    this.#refusal = refusal;
    if (this.#hasStarted)
      this.#options.log.error(
        `${refusal.message} No worker process is started with it any more: put the right one into PKCS11_PIN_FILE and send SIGHUP, or restart the service with it.`,
      );
  }

  #endWhereNobodyServes(): void {
    if (this.#refusal !== undefined && this.#hasStarted && this.#watched.size === 0)
      this.#fail(this.#refusal);
  }

  #isTooLarge(entry: WatchedWorker, residentBytes: number | undefined): boolean {
    if (!entry.isReady || entry.isLeaving || residentBytes === undefined) return false;
    // One after the other: a fresh process has to be there before the next one leaves.
    const isAlone = ![...this.#watched.values()].some(({ isReady }) => !isReady);
    const isLarge = hasOutgrown(entry, residentBytes, this.#options.memoryLimit);
    return isAlone && isLarge && this.#refusal === undefined;
  }

  /** The number is looked at when the time has come: meanwhile one that was to leave may have stayed. */
  #restartLater(): void {
    const wait = this.#delay;
    this.#delay = Math.min(wait * 2, RESTART_DELAY_MS.most);
    setTimeout(() => {
      this.#oneStart(async () => {
        const staying = [...this.#watched.values()].filter(({ isLeaving }) => !isLeaving);
        if (!this.#isStopping && staying.length < this.#options.workers) await this.#start();
      }).catch(() => undefined);
    }, wait);
  }

  /** The new one serves before the old one leaves; where it doesn't come to that, one that still works stays. */
  #replace(entry: WatchedWorker, patience: Patience): void {
    if (entry.isLeaving || this.#isStopping) return;
    entry.isLeaving = true;
    this.#startNext().then(
      () => {
        endWorker(entry, patience);
      },
      (error: unknown) => {
        this.#options.log.error({ err: error }, 'replacement did not start');
        if (patience === GROWN) entry.isLeaving = false;
        else endWorker(entry, patience);
      },
    );
  }
}

function portsOf({
  port,
  identityPort,
}: Extract<FromWorker, { kind: 'ready' }>): WorkerFleet['ports'] {
  return { port, ...(identityPort !== undefined && { identityPort }) };
}
