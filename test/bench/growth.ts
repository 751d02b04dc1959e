import { type Cleanup, createCleanup } from './cleanup.ts';
import { residentMiB } from './cpu-time.ts';
import { type Field, openField } from './field.ts';
import { median, quantile, type ServiceRound } from './figures.ts';
import { type CostRow, measureCosts } from './growth-costs.ts';
import { type LoadPlan } from './load-plan.ts';
import { learn, loadRound, warmUp } from './measuring.ts';
import { type BenchService, openGenerators } from './stage.ts';

/**
 * What becomes of the throughput of A256KW wrap as a pool grows: a small one and a grown one, each a service of its own,
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
  /** Of the largest process, MiB. */
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
const settledAfter = (things: number) => Math.max(60_000, 3 * things);
const WARM_MS = 120_000;
const FEW_KEYS = 10;
const SMALL = 'small';
const GROWN = 'grown';
const BODY = JSON.stringify({ alg: 'A256KW', value: Buffer.alloc(32, 7).toString('base64url') });

type Progress = (sentence: string) => void;

/** @param only measures those kinds of growth that have this in their name */
export async function measureGrowth(
  cleanup: Cleanup,
  say: Progress,
  only: string,
): Promise<GrowthFigures> {
  const generators = openGenerators(cleanup);
  const small = await openField(cleanup);
  const fewKeys = await small.plantKeys(names('few', FEW_KEYS));
  const rows: GrowthRow[] = [];
  await learn(generators, SMALL, planOf(small, fewKeys));
  await warmUp(generators, small.service, SMALL, { requests: WARM_REQUESTS, mostMs: WARM_MS });

  /** @param requests until the processes, and what they remember, are as they will stay */
  async function compare(what: string, grown: Field, plan: LoadPlan, requests = WARM_REQUESTS) {
    await learn(generators, GROWN, plan);
    const turn = (service: BenchService, name: string) =>
      loadRound(generators, service, name, TIMING);
    await warmUp(generators, grown.service, GROWN, { requests, mostMs: WARM_MS });
    const rounds: { few: ServiceRound; many: ServiceRound }[] = [];
    for (let round = 0; round < ROUNDS; round += 1)
      rounds.push({
        few: await turn(small.service, SMALL),
        many: await turn(grown.service, GROWN),
      });
    const ratios = rounds.map(({ few, many }) => few.cpuUs / many.cpuUs);
    const row: GrowthRow = {
      what,
      smallPerSecond: median(rounds.map(({ few }) => few.perSecond)),
      grownPerSecond: median(rounds.map(({ many }) => many.perSecond)),
      smallCpuUs: median(rounds.map(({ few }) => few.cpuUs)),
      grownCpuUs: median(rounds.map(({ many }) => many.cpuUs)),
      grownPostgresCpuUs: median(rounds.map(({ many }) => many.postgresCpuUs)),
      ratio: median(ratios),
      ratioSpread: [quantile(ratios, 0), quantile(ratios, 1)],
      ratioWall: median(rounds.map(({ few, many }) => many.perSecond / few.perSecond)),
      smallMiB: largest(small.service),
      grownMiB: largest(grown.service),
    };
    rows.push(row);
    say(`${what}: ratio ${row.ratio.toFixed(2)}, ${Math.round(row.grownMiB)} MiB`);
  }

  /** A grown service of its own for each kind of growth, so that one doesn't hide another. */
  async function growing(kind: string, measure: (grown: Field) => Promise<void>) {
    if (!kind.includes(only)) return;
    const own = nested(cleanup);
    await measure(await openField(own));
    await own.run();
  }

  let costs: readonly CostRow[] = [];
  await growing('keys', async (grown) => {
    const paths = [...(await grown.plantKeys(names('many', FEW_KEYS)))];
    await compare(
      '10 keys (the same again: how even the machine is)',
      grown,
      planOf(grown, paths),
      5,
    );
    for (const size of [10_000, 100_000]) {
      const more = names('many', size).slice(paths.length);
      for (const path of await grown.plantKeys(more)) paths.push(path);
      say(`${size} keys planted`);
      await compare(
        `${size} keys, uniformly used`,
        grown,
        planOf(grown, paths),
        settledAfter(size),
      );
      const zipf = { ...planOf(grown, paths), pick: 'zipf' } as const;
      await compare(`${size} keys, Zipf-used`, grown, zipf, settledAfter(size));
    }
    costs = await measureCosts(small, grown, say);
  });

  await growing('assignments', async (grown) => {
    const keys = await grown.plantKeys(names('few', FEW_KEYS));
    await grown.planter.ask('assignments', 100_000);
    await compare('100000 role assignments', grown, planOf(grown, keys));
  });

  await growing('principals', async (grown) => {
    const keys = await grown.plantKeys(names('few', FEW_KEYS));
    for (const count of [100, 10_000]) {
      const tokens = await grown.planter.ask<string[]>('principals', count);
      const plan = { ...planOf(grown, keys), tokens };
      await compare(
        `${count} principals with tokens of their own`,
        grown,
        plan,
        settledAfter(count),
      );
    }
  });

  await growing('records', async (grown) => {
    const keys = await grown.plantKeys(names('few', FEW_KEYS));
    let from = 0;
    for (const count of [1_000_000, 10_000_000]) {
      const started = performance.now();
      await grown.planter.ask('records', { from, count });
      from = count;
      say(
        `${count} audit records planted in ${Math.round((performance.now() - started) / 1000)} s`,
      );
      await compare(`${count} audit records (planted)`, grown, planOf(grown, keys));
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

function planOf({ service, token }: Field, paths: readonly string[]): LoadPlan {
  return {
    port: service.port,
    requests: paths.map((path) => ({ method: 'POST', path: `${path}/wrapkey`, body: BODY })),
    pick: 'uniform',
    tokens: [token],
  };
}

/** Spread over the alphabet, as people's names are. */
function names(kind: string, count: number): string[] {
  return Array.from(
    { length: count },
    (_, index) => `${((index * 2_654_435_761) % 2 ** 32).toString(16)}-${kind}-${index}`,
  );
}

function largest(service: BenchService): number {
  return Math.max(...service.pids().map(residentMiB));
}
