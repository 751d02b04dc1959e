import { setTimeout as sleep } from 'node:timers/promises';
import { type LeanConnection, openLean } from './lean-connection.ts';
import type { LoadPlan } from './load-plan.ts';
import { requestSource } from './request-source.ts';

export interface Pace {
  readonly perSecond: number;
  readonly seconds: number;
  /** At most. */
  readonly connections: number;
}

/** A pace that is not kept piles requests up: then there is nothing to tell about it. */
const WAITING_LIMIT = 2_000;
/** What is slower than one in the time that it has been given is paced for longer. */
const LEAST = 5;
/** Connections are made and the generator's code is compiled, which isn't counted: so long, or half as long as what is. */
const RAMP_MS = 1_000;

/**
 * Latencies in milliseconds at a steady pace: requests go out evenly spaced, whether or not others have been answered.
 * Not by autocannon, whose rates are a burst at each second's begin and a pause until the next.
 * @throws Error where an answer is no success, or the pace isn't kept
 */
export async function pacedLatencies(
  plan: LoadPlan,
  { perSecond, seconds, connections }: Pace,
): Promise<readonly number[]> {
  const next = requestSource(plan);
  const opened = await Promise.all(Array.from({ length: connections }, () => openLean(plan.port)));
  const free = [...opened];
  const waiting: ((connection: LeanConnection) => void)[] = [];
  const latencies: number[] = [];
  const failures: unknown[] = [];
  const sending = new Set<Promise<void>>();
  const begun = performance.now();
  const measuredFrom = begun + Math.min(RAMP_MS, seconds * 500);
  const end = measuredFrom + seconds * 1000;
  let measured = 0;
  /** Milliseconds until the whole answer was there, the wait for a connection included. */
  const exchange = async () => {
    const started = performance.now();
    const request = next();
    const connection =
      free.pop() ?? (await new Promise<LeanConnection>((resolve) => waiting.push(resolve)));
    try {
      const status = await connection.send(request);
      if (status < 200 || status >= 300) throw new Error(`status ${status}`);
      return performance.now() - started;
    } finally {
      const waits = waiting.shift();
      if (waits === undefined) free.push(connection);
      else waits(connection);
    }
  };
  const sendOne = () => {
    const isMeasured = performance.now() >= measuredFrom;
    if (isMeasured) measured += 1;
    const one = exchange()
      .then(
        (ms) => {
          if (isMeasured) latencies.push(ms);
        },
        (error: unknown) => failures.push(error),
      )
      .then(() => {
        sending.delete(one);
      });
    sending.add(one);
  };
  try {
    for (let sent = 0; performance.now() < end || measured < LEAST;) {
      for (const due = ((performance.now() - begun) * perSecond) / 1000; sent < due; sent += 1)
        sendOne();
      if (sending.size > WAITING_LIMIT)
        throw new Error(`the service doesn't keep up with ${Math.round(perSecond)} a second`);
      if (failures.length > 0) break;
      await sleep(1);
    }
    await Promise.all(sending);
  } finally {
    for (const connection of opened) connection.close();
  }
  if (failures.length > 0) throw failures[0];
  return latencies;
}
