import type { Worker } from 'node:cluster';
import { OperatorError, PinRefusedError } from '../core/operator-error.ts';
import type { Patience } from '../http/server/drain.ts';
import type { ReadinessReport } from '../http/pool/health.routes.ts';
import type { FromWorker, ToWorker } from './worker-protocol.ts';

/** A worker process, as far as its supervisor knows it. */
export interface WatchedWorker {
  readonly process: Worker;
  lastHeard: number;
  isReady: boolean;
  isLeaving: boolean;
  /** Resident bytes when it began to serve; absent before. */
  residentAtFirst?: number;
  report: ReadinessReport;
  /** Called when it has said how it is after the start. */
  onSettled: () => void;
}

/** A process that hasn't said a word for so long is inside a driver call that won't come back, and can't be cancelled. */
const SILENCE_LIMIT_MS = 10_000;
const START_LIMIT_MS = 60_000;
/** From the last request's end to the process's: what is waiting is written, and the HSM given up. */
const CLOSING_MS = 5_000;
/**
 * SoftHSM 2.6.1 leaks about 240 bytes for each object that is created and destroyed, which wrap and unwrap do. However low
 * the limit is, a process must have grown by so much since its start, lest one that begins beyond it is replaced for ever.
 */
const LEAST_GROWTH = 1.1;

export function newWatchedWorker(process: Worker): WatchedWorker {
  return {
    process,
    lastHeard: performance.now(),
    isReady: false,
    isLeaving: false,
    report: { parts: {} },
    onSettled: () => undefined,
  };
}

export function sendTo({ process }: WatchedWorker, message: ToWorker): void {
  // A process that has just died can't be told anything; its exit event says the rest.
  if (process.isConnected()) process.send(message, () => undefined);
}

/** Lets it finish what it does, and ends it. */
export function endWorker(worker: WatchedWorker, patience: Patience): void {
  // Nobody would stop the clock, for which this process would stay.
  if (worker.process.isDead()) return;
  sendTo(worker, { kind: 'drain', patience });
  const cut = setTimeout(
    () => worker.process.process.kill('SIGKILL'),
    patience.limitMs + CLOSING_MS,
  );
  worker.process.once('exit', () => {
    clearTimeout(cut);
  });
}

export function isSilent({ isReady, lastHeard }: WatchedWorker): boolean {
  return performance.now() - lastHeard > (isReady ? SILENCE_LIMIT_MS : START_LIMIT_MS);
}

/** @param limit in bytes */
export function hasOutgrown(worker: WatchedWorker, residentBytes: number, limit: number): boolean {
  worker.residentAtFirst ??= residentBytes;
  return residentBytes > limit && residentBytes > LEAST_GROWTH * worker.residentAtFirst;
}

/** A sentence for the operator stays one on its way here, and a fault of ours keeps its stack. */
export function failureOf({
  reason,
  stack,
  isPinRefused,
}: Extract<FromWorker, { kind: 'failed' }>): Error {
  if (isPinRefused === true) return new PinRefusedError(reason);
  if (stack === undefined) return new OperatorError(reason);
  const failure = new Error(reason);
  failure.stack = stack;
  return failure;
}
