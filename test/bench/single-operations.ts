import type { Cleanup } from './cleanup.ts';
import { type Figures, figuresOf, quantile, type Round, type ServiceRound } from './figures.ts';
import type { HelperProcess } from './helper-process.ts';
import type { LoadPlan, LoadRequest } from './load-plan.ts';
import { learn, loadRound, pace, type Timing, warmUp, type WarmUp } from './measuring.ts';
import { callerOf, makeKeys, type Operation } from './operations.ts';
import {
  type Bare,
  type BenchService,
  openBare,
  openGenerators,
  openRaw,
  openService,
  type Raw,
} from './stage.ts';

/** One operation after the other: the service, a bare server and the bare HSM take turns. */

export interface SingleFigures extends Figures {
  readonly name: string;
  /** At half of the service's most; and of the bare server at the same pace, which is what machine and generator make of it. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly bareP50Ms: number;
  readonly bareP99Ms: number;
  /** Managed HSM's own, a second; null where it publishes none. */
  readonly managedHsm: number | null;
}

export interface Effort {
  readonly rounds: number;
  readonly service: Timing;
  readonly bare: Timing;
  readonly rawMs: number;
  /** Before the first operation, and before the first round of each. */
  readonly warmUp: { readonly first: WarmUp; readonly each: WarmUp };
  readonly latencySeconds: number;
  /** How many times as long a round of a slow operation is. */
  readonly slowTimes: number;
  /** After so long the operations that are left get shorter rounds: a busy machine takes longer for all around them. */
  readonly budgetMs: number;
}

/** Under ten minutes, and under one. */
export const FULL: Effort = {
  rounds: 5,
  service: { rampMs: 300, windowMs: 1_200 },
  bare: { rampMs: 300, windowMs: 800 },
  rawMs: 500,
  warmUp: { first: { requests: 20_000, mostMs: 20_000 }, each: { requests: 1_500, mostMs: 2_000 } },
  latencySeconds: 4,
  slowTimes: 3,
  budgetMs: 530_000,
};
export const QUICK: Effort = {
  rounds: 1,
  service: { rampMs: 300, windowMs: 600 },
  bare: { rampMs: 150, windowMs: 350 },
  rawMs: 200,
  warmUp: { first: { requests: 10_000, mostMs: 3_000 }, each: { requests: 0, mostMs: 0 } },
  latencySeconds: 0.5,
  slowTimes: 1,
  budgetMs: 29_000,
};

/** What is left of a round's length at least. */
const SHORTEST = 0.2;

/** Milliseconds that one operation takes where nothing else uses the machine. */
function usualMs({
  rounds,
  service,
  bare,
  rawMs,
  warmUp: { each },
  latencySeconds,
}: Effort): number {
  const round = service.rampMs + service.windowMs + bare.rampMs + bare.windowMs + rawMs + 300;
  return rounds * round + 2 * each.mostMs + 2 * 1000 * latencySeconds + 400;
}

function scaled(effort: Effort, by: number): Effort {
  const windowed = ({ rampMs, windowMs }: Timing) => ({ rampMs, windowMs: windowMs * by });
  return {
    ...effort,
    rounds: Math.max(1, Math.round(effort.rounds * by)),
    service: windowed(effort.service),
    bare: windowed(effort.bare),
    rawMs: effort.rawMs * by,
    latencySeconds: effort.latencySeconds * by,
  };
}

/** A slow operation in so many connections is a queue. */
const SLOW_CONNECTIONS = 8;

export interface Parts {
  readonly service: BenchService;
  readonly bare: Bare;
  readonly raw: Raw;
  readonly generators: readonly HelperProcess[];
}

export async function openParts(cleanup: Cleanup, nodeOptions: readonly string[]): Promise<Parts> {
  const service = await openService(cleanup, nodeOptions);
  const { dataFolder } = service.service;
  const [bare, raw] = await Promise.all([
    openBare(cleanup, dataFolder),
    openRaw(cleanup, dataFolder),
  ]);
  return { service, bare, raw, generators: openGenerators(cleanup) };
}

/** @param onDone is told of each as soon as it is known */
export async function measureOperations(
  parts: Parts,
  operations: readonly Operation[],
  effort: Effort,
  onDone: (figures: SingleFigures) => void,
): Promise<readonly SingleFigures[]> {
  const started = performance.now();
  const call = callerOf(parts.service.admin);
  const keys = await makeKeys(call);
  const { token } = await parts.service.newPrincipal();
  const measured: SingleFigures[] = [];
  for (const [index, operation] of operations.entries()) {
    const leftMs = effort.budgetMs - (performance.now() - started);
    const by = leftMs / ((operations.length - index) * usualMs(effort));
    const request = await operation.request(keys, call);
    const figures = await measureOperation(parts, operation, request, token, {
      ...scaled(effort, Math.min(1, Math.max(SHORTEST, by))),
      warmUp: { ...effort.warmUp, ...(index === 0 && { each: effort.warmUp.first }) },
    });
    measured.push(figures);
    onDone(figures);
  }
  return measured;
}

async function measureOperation(
  { service, bare, raw, generators }: Parts,
  { name, raw: rawName, isSlow = false, managedHsm }: Operation,
  request: LoadRequest,
  token: string,
  effort: Effort,
): Promise<SingleFigures> {
  const { answer, expected } = await rehearse(service, request);
  const plan: Omit<LoadPlan, 'port'> = {
    requests: [{ ...request, ...(expected !== undefined && { expected }) }],
    pick: 'uniform',
    tokens: [token],
  };
  await bare.answerWith(answer);
  await learn(generators, name, { ...plan, port: service.port });
  await learn(generators, `bare ${name}`, { ...plan, requests: [request], port: bare.port });

  const times = isSlow ? effort.slowTimes : 1;
  const connections = isSlow ? SLOW_CONNECTIONS : undefined;
  const onService = (timing: Timing) => loadRound(generators, service, name, timing, connections);
  const onBare = (timing: Timing) =>
    loadRound(generators, bare, `bare ${name}`, timing, connections);
  const { each: warm } = effort.warmUp;
  if (warm.requests > 0) {
    await warmUp(generators, bare, `bare ${name}`, warm, connections);
    await warmUp(generators, service, name, warm, connections);
  }

  const rounds = { bare: [] as Round[], service: [] as ServiceRound[], raw: [] as Round[] };
  for (let round = 0; round < effort.rounds; round += 1) {
    rounds.bare.push(await onBare(effort.bare));
    rounds.service.push(
      await onService({ ...effort.service, windowMs: effort.service.windowMs * times }),
    );
    if (rawName !== undefined) rounds.raw.push(await raw.run(rawName, effort.rawMs * times));
  }
  const figures = figuresOf({
    bare: rounds.bare,
    service: rounds.service,
    ...(rawName !== undefined && { raw: rounds.raw }),
  });
  const steady = {
    perSecond: figures.service / 2,
    seconds: effort.latencySeconds * times,
  };
  const bareLatencies = await pace(generators, bare, `bare ${name}`, steady);
  const latencies = await pace(generators, service, name, steady);
  return {
    name,
    ...figures,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    bareP50Ms: quantile(bareLatencies, 0.5),
    bareP99Ms: quantile(bareLatencies, 0.99),
    managedHsm: managedHsm ?? null,
  };
}

/** What the service answers, and whether it answers just the same again. */
async function rehearse(
  { admin }: BenchService,
  { method, path, body }: LoadRequest,
): Promise<{ answer: unknown; expected?: string }> {
  const ask = async (turn: string) => {
    const { status, text } = await admin(method, path.replace('{}', turn), body);
    if (status !== 200) throw new Error(`${method} ${path}: ${status} ${text}`);
    return text;
  };
  const [first, second] = [await ask('first'), await ask('second')];
  return { answer: JSON.parse(first), ...(first === second && { expected: first }) };
}
