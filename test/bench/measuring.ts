import { setTimeout as sleep } from 'node:timers/promises';
import { cpuBetween, cpuTimes } from './cpu-time.ts';
import type { ServiceRound } from './figures.ts';
import type { HelperProcess } from './helper-process.ts';
import { untilIdle } from './idle.ts';
import type { LoadPlan } from './load-plan.ts';
import type { Target } from './stage.ts';

/** Callers that wait for their answers at the same time: enough for each process to be busy. */
const CONNECTIONS = 32;

/** A window without an answer (a busy machine, key generation) goes on until there is one, up to this. */
const LONGEST_MS = 30_000;
const LOOK_EVERY_MS = 50;

export interface Timing {
  /** Connections are made, and what is asked for the first time is remembered. */
  readonly rampMs: number;
  /** What is counted. */
  readonly windowMs: number;
}

/** Tells each generator what it will be asked to do under that name. */
export async function learn(
  generators: readonly HelperProcess[],
  name: string,
  plan: LoadPlan,
): Promise<void> {
  await Promise.all(generators.map((each) => each.ask('learn', { name, plan })));
}

/**
 * As much as the target can answer. The window lies inside the load: neither connecting nor stopping is counted.
 * @throws Error where any answer was no success: a figure over errors is no figure
 */
export function loadRound(
  generators: readonly HelperProcess[],
  target: Target,
  name: string,
  { rampMs, windowMs }: Timing,
  connections = CONNECTIONS,
): Promise<ServiceRound> {
  const look = async () => {
    const [cpu, postgres] = [cpuTimes(target.pids()), cpuTimes(target.postgresPids())];
    return { cpu, postgres, at: performance.now(), count: await countOf(generators) };
  };
  return underLoad(generators, target, name, connections, async () => {
    await sleep(rampMs);
    const before = await look();
    let after = before;
    for (let ms = 0; ms < LONGEST_MS && after.count === before.count; ms += windowMs) {
      await sleep(windowMs);
      after = await look();
    }
    const done = after.count - before.count;
    if (done === 0) throw new Error(`${name}: no answer within ${LONGEST_MS} ms`);
    return {
      perSecond: (done * 1000) / (after.at - before.at),
      cpuUs: cpuBetween(before.cpu, after.cpu) / done,
      postgresCpuUs: cpuBetween(before.postgres, after.postgres) / done,
    };
  });
}

/** What makes a target as quick as it will be: V8 compiles what is run often, and caches fill. */
export interface WarmUp {
  readonly requests: number;
  /** It ends then, however few there were. */
  readonly mostMs: number;
}

export function warmUp(
  generators: readonly HelperProcess[],
  target: Target,
  name: string,
  { requests, mostMs }: WarmUp,
  connections = CONNECTIONS,
): Promise<void> {
  return underLoad(generators, target, name, connections, async () => {
    const end = performance.now() + mostMs;
    do await sleep(LOOK_EVERY_MS);
    while (performance.now() < end && (await countOf(generators)) < requests);
  });
}

/** Runs an action while the generators load the target, and lets the target come to rest after it. */
async function underLoad<T>(
  generators: readonly HelperProcess[],
  target: Target,
  name: string,
  connections: number,
  action: () => Promise<T>,
): Promise<T> {
  const each = { name, connections: Math.ceil(connections / generators.length) };
  await Promise.all(generators.map((generator) => generator.ask('start', each)));
  const result = await action();
  const failures = await Promise.all(generators.map((one) => one.ask<string[]>('stop')));
  await untilIdle(target);
  if (failures.flat().length > 0)
    throw new Error(`${name}: answers that were no successes: ${failures.flat().join(', ')}`);
  return result;
}

async function countOf(generators: readonly HelperProcess[]): Promise<number> {
  const counts = await Promise.all(generators.map((each) => each.ask<number>('count')));
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Milliseconds that each answer took at a steady pace, spread over the generators. */
export async function pace(
  generators: readonly HelperProcess[],
  target: Target,
  name: string,
  { perSecond, seconds }: { readonly perSecond: number; readonly seconds: number },
): Promise<readonly number[]> {
  const each = {
    name,
    seconds,
    perSecond: perSecond / generators.length,
    connections: Math.ceil((2 * CONNECTIONS) / generators.length),
  };
  const latencies = await Promise.all(generators.map((one) => one.ask<number[]>('pace', each)));
  await untilIdle(target);
  return latencies.flat();
}
