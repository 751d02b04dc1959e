import { type Cleanup, createCleanup } from './cleanup.ts';
import { residentMiB } from './cpu-time.ts';
import { type Field, openField } from './field.ts';
import { median, quantile, type ServiceRound } from './figures.ts';
import { type CostRow, measureCosts } from './growth-costs.ts';
import type { LoadPlan } from './load-plan.ts';
import { learn, loadRound, warmUp } from './measuring.ts';
import { openGenerators } from './stage.ts';

/**
 * What becomes of the throughput of A256KW wrap as a pool grows: small ones and grown ones, each a service of its own,
 * answer in turns, so that the machine's moods meet both.
 */

export interface GrowthRow {
  readonly what: string;
  readonly smallPerSecond: number;
  readonly grownPerSecond: number;
  readonly smallCpuUs: number;
  readonly grownCpuUs: number;
  readonly grownPostgresCpuUs: number;
  /** Throughput for the same CPU time of the service's processes: smallCpuUs / grownCpuUs. */
  readonly ratio: number;
  readonly ratioSpread: readonly [number, number];
  /** grownPerSecond / smallPerSecond. */
  readonly ratioWall: number;
  /** Of the largest process of all, MiB. */
  readonly smallMiB: number;
  readonly grownMiB: number;
}

export interface GrowthFigures {
  readonly growth: readonly GrowthRow[];
  /** One call at a time, 100,000 keys against 10. */
  readonly costs: readonly CostRow[];
}

const ROUNDS = 6;
const TIMING = { rampMs: 300, windowMs: 1_500 };
/** A process that has just been started is slower: V8 compiles what is run often. */
const WARM_REQUESTS = 20_000;
/** Where what is remembered changes with use: each process has seen most of what there is, and has filled its caches. */
const settledAfter = (things: number) => Math.max(100_000, 3 * things);
/** The same things, used otherwise. */
const changedAfter = (things: number) => Math.max(60_000, things);
const WARM_MS = 240_000;
const FEW_KEYS = 10;
const SMALL = 'small';
const GROWN = 'grown';
const BODY = JSON.stringify({ alg: 'A256KW', value: Buffer.alloc(32, 7).toString('base64url') });

type Progress = (sentence: string) => void;

/** A service, and what it is asked. */
interface Side {
  readonly field: Field;
  readonly plan: LoadPlan;
}

export interface GrowthOptions {
  /** Measures those kinds of growth that have this in their name. */
  readonly only: string;
  /** Services of each kind. Some are slower than others for as long as they run, however alike; of several it averages out. */
  readonly instances: number;
}

export async function measureGrowth(
  cleanup: Cleanup,
  say: Progress,
  { only, instances }: GrowthOptions,
): Promise<GrowthFigures> {
  const generators = openGenerators(cleanup);
  const rows: GrowthRow[] = [];

  async function prepare(name: string, sides: readonly Side[], requests: number) {
    for (const [index, { field, plan }] of sides.entries()) {
      await learn(generators, `${name} ${index}`, plan);
      await warmUp(generators, field.service, `${name} ${index}`, { requests, mostMs: WARM_MS });
    }
  }

  /** One turn of each of them. */
  async function turn(name: string, sides: readonly Side[]): Promise<ServiceRound> {
    const rounds: ServiceRound[] = [];
    for (const [index, { field }] of sides.entries())
      rounds.push(await loadRound(generators, field.service, `${name} ${index}`, TIMING));
    return averageOf(rounds);
  }

  const few = await openSides(cleanup, instances);
  await prepare(SMALL, few, WARM_REQUESTS);

  /** @param requests until the processes, and what they remember, are as they will stay */
  async function compare(what: string, grown: readonly Side[], requests = WARM_REQUESTS) {
    await prepare(GROWN, grown, requests);
    const rounds: { small: ServiceRound; large: ServiceRound }[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const first = round % 2 === 0 ? await turn(SMALL, few) : undefined;
      const large = await turn(GROWN, grown);
      rounds.push({ small: first ?? (await turn(SMALL, few)), large });
    }
    const ratios = rounds.map(({ small, large }) => small.cpuUs / large.cpuUs);
    const row: GrowthRow = {
      what,
      smallPerSecond: median(rounds.map(({ small }) => small.perSecond)),
      grownPerSecond: median(rounds.map(({ large }) => large.perSecond)),
      smallCpuUs: median(rounds.map(({ small }) => small.cpuUs)),
      grownCpuUs: median(rounds.map(({ large }) => large.cpuUs)),
      grownPostgresCpuUs: median(rounds.map(({ large }) => large.postgresCpuUs)),
      ratio: median(ratios),
      ratioSpread: [quantile(ratios, 0), quantile(ratios, 1)],
      ratioWall: median(rounds.map(({ small, large }) => large.perSecond / small.perSecond)),
      smallMiB: largest(few),
      grownMiB: largest(grown),
    };
    rows.push(row);
    say(`${what}: ratio ${row.ratio.toFixed(2)}, ${Math.round(row.grownMiB)} MiB`);
  }

  /** Grown services of their own for each kind of growth, so that one doesn't hide another. */
  async function growing(
    kind: string,
    measure: (grown: readonly Side[]) => Promise<void>,
    settings: Readonly<Record<string, string>> = {},
  ) {
    if (!kind.includes(only)) return;
    const own = nested(cleanup);
    await measure(await openSides(own, instances, settings));
    await own.run();
  }

  /** Both ways of using many keys. */
  async function compareUses(what: string, grown: readonly Side[], size: number) {
    say(`${what}: planted`);
    await compare(`${what}, uniformly used`, grown, settledAfter(size));
    const zipf = grown.map(({ field, plan }) => ({
      field,
      plan: { ...plan, pick: 'zipf' as const },
    }));
    await compare(`${what}, Zipf-used`, zipf, changedAfter(size));
  }

  let costs: readonly CostRow[] = [];
  await growing('keys', async (sides) => {
    await compare('10 keys (the same again: how even the machine is)', sides);
    let grown = sides;
    for (const size of [10_000, 100_000]) {
      grown = await withKeys(grown, size);
      await compareUses(`${size} keys`, grown, size);
    }
    const [small, large] = [few[0], grown[0]];
    if (small !== undefined && large !== undefined)
      costs = await measureCosts(small.field, large.field, say);
  });

  await growing(
    'keys, half of them loaded',
    async (sides) => {
      await compareUses('100000 keys, 50000 loaded', await withKeys(sides, 100_000), 100_000);
    },
    { STRONGROOM_LOADED_KEYS: '50000' },
  );

  await growing('assignments', async (sides) => {
    for (const { field } of sides) await field.planter.ask('assignments', 100_000);
    await compare('100000 role assignments', sides);
  });

  await growing('principals', async (sides) => {
    for (const count of [100, 10_000])
      await compare(
        `${count} principals with tokens of their own`,
        await eachOf(sides, async ({ field, plan }) => {
          const tokens = await field.planter.ask<string[]>('principals', count);
          return { field, plan: { ...plan, tokens } };
        }),
        settledAfter(count),
      );
  });

  await growing('records', async (sides) => {
    let from = 0;
    for (const count of [1_000_000, 10_000_000]) {
      for (const { field } of sides) {
        const started = performance.now();
        await field.planter.ask('records', { from, count });
        say(
          `${count} audit records planted in ${Math.round((performance.now() - started) / 1000)} s`,
        );
      }
      from = count;
      await compare(`${count} audit records (planted)`, sides);
    }
  });
  return { growth: rows, costs };
}

/** Its tasks run with those of the whole, or before. */
function nested(cleanup: Cleanup): Cleanup {
  const own = createCleanup();
  cleanup.add(() => own.run());
  return own;
}

/** Small ones, to begin with. */
async function openSides(
  cleanup: Cleanup,
  instances: number,
  settings: Readonly<Record<string, string>> = {},
): Promise<readonly Side[]> {
  const sides: Side[] = [];
  for (let opened = 0; opened < instances; opened += 1) {
    const field = await openField(cleanup, settings);
    sides.push({ field, plan: planOf(field, await field.plantKeys(names(FEW_KEYS))) });
  }
  return sides;
}

/** One after the other. */
async function eachOf(
  sides: readonly Side[],
  grow: (side: Side) => Promise<Side>,
): Promise<readonly Side[]> {
  const grown: Side[] = [];
  for (const side of sides) grown.push(await grow(side));
  return grown;
}

/** So many keys, where there were fewer. */
function withKeys(sides: readonly Side[], size: number): Promise<readonly Side[]> {
  return eachOf(sides, async ({ field, plan }) => {
    const more = names(size).slice(plan.requests.length);
    return {
      field,
      plan: planOf(field, [...plan.requests.map(keyOf), ...(await field.plantKeys(more))]),
    };
  });
}

const WRAP = '/wrapkey';

function planOf({ service, token }: Field, keys: readonly string[]): LoadPlan {
  return {
    port: service.port,
    requests: keys.map((key) => ({ method: 'POST', path: `${key}${WRAP}`, body: BODY })),
    pick: 'uniform',
    tokens: [token],
  };
}

/** The path of the key that is wrapped with. */
function keyOf({ path }: LoadPlan['requests'][number]): string {
  return path.slice(0, -WRAP.length);
}

function averageOf(rounds: readonly ServiceRound[]): ServiceRound {
  const mean = (read: (round: ServiceRound) => number) =>
    rounds.reduce((sum, round) => sum + read(round), 0) / rounds.length;
  return {
    perSecond: mean(({ perSecond }) => perSecond),
    cpuUs: mean(({ cpuUs }) => cpuUs),
    postgresCpuUs: mean(({ postgresCpuUs }) => postgresCpuUs),
  };
}

/** Spread over the alphabet, as people's names are. */
function names(count: number): string[] {
  return Array.from(
    { length: count },
    (_, index) => `${((index * 2_654_435_761) % 2 ** 32).toString(16)}-key-${index}`,
  );
}

function largest(sides: readonly Side[]): number {
  return Math.max(...sides.flatMap(({ field }) => field.service.pids().map(residentMiB)));
}
