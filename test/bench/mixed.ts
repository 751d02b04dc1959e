import { median, quantile, type ServiceRound, weightedMean } from './figures.ts';
import type { LoadRequest } from './load-plan.ts';
import { learn, loadRound, warmUp } from './measuring.ts';
import { callerOf, makeKeys, OPERATIONS } from './operations.ts';
import type { Parts } from './single-operations.ts';

/**
 * Everything at once: many keys, principals and operations in one run, against what the same operations cost one by one. A
 * service that is only quick at one thing again and again (its branches, its caches) shows it here.
 */

/** How often each operation comes, in percent. Keys are created too rarely to be part of a load. */
const SHARES: Readonly<Record<string, number>> = {
  'A256KW wrap': 25,
  'A256KW unwrap': 20,
  'A256GCM encrypt': 10,
  'A256GCM decrypt': 10,
  'RSA-2048 RSA-OAEP-256 wrap': 2,
  'RSA-2048 RSA-OAEP-256 unwrap': 4,
  'RSA-2048 RS256 sign': 5,
  'RSA-2048 RS256 verify': 3,
  'RSA-2048 PS256 sign': 3,
  'RSA-2048 PS256 verify': 2,
  'P-256 ES256 sign': 6,
  'P-256 ES256 verify': 3,
  'get key': 5,
  'random bytes': 2,
};
/** Of each kind. */
const KEYS = 8;
const PRINCIPALS = 8;
const ROUNDS = 5;
const RAMP_MS = 300;
const SINGLE_MS = 600;
const MIXED_MS = 3_000;
const WARM_UP = { requests: 30_000, mostMs: 60_000 };

export interface MixedFigures {
  /** Microseconds of CPU that a request of the mixture took. */
  readonly cpuUs: number;
  /** What the same requests take one kind at a time, with one key and one principal. */
  readonly singleCpuUs: number;
  /** cpuUs / singleCpuUs. */
  readonly ratio: number;
  readonly ratioSpread: readonly [number, number];
  readonly perSecond: number;
  readonly parts: readonly {
    readonly name: string;
    readonly percent: number;
    readonly cpuUs: number;
  }[];
}

export async function measureMixed(
  { service, generators }: Omit<Parts, 'bare' | 'raw'>,
  onRound: (round: number, of: number) => void,
): Promise<MixedFigures> {
  const call = callerOf(service.admin);
  const mixed: LoadRequest[] = [];
  const tokens: string[] = [];
  for (let made = 0; made < PRINCIPALS; made += 1)
    tokens.push((await service.newPrincipal()).token);
  const parts = OPERATIONS.flatMap(({ name, request }) => {
    const percent = SHARES[name];
    return percent === undefined ? [] : [{ name, percent, request }];
  });
  const [token = ''] = tokens;
  for (let made = 0; made < KEYS; made += 1) {
    const keys = await makeKeys(call, `-${made}`);
    for (const { name, percent, request } of parts) {
      const one = await request(keys, call);
      if (made === 0)
        await learn(generators, name, {
          port: service.port,
          requests: [one],
          pick: 'uniform',
          tokens: [token],
        });
      mixed.push(...Array.from({ length: percent }, () => one));
    }
  }
  await learn(generators, 'mixed', {
    port: service.port,
    requests: mixed,
    pick: 'uniform',
    tokens,
  });

  await warmUp(generators, service, 'mixed', WARM_UP);
  const together: ServiceRound[] = [];
  const alone = new Map(parts.map(({ name }) => [name, [] as number[]]));
  for (let round = 0; round < ROUNDS; round += 1) {
    onRound(round + 1, ROUNDS);
    const single = { rampMs: RAMP_MS, windowMs: SINGLE_MS };
    for (const [name, figures] of alone)
      figures.push((await loadRound(generators, service, name, single)).cpuUs);
    const timing = { rampMs: RAMP_MS, windowMs: MIXED_MS };
    together.push(await loadRound(generators, service, 'mixed', timing));
  }
  const weighted = (read: (figures: readonly number[]) => number) =>
    weightedMean(
      parts.map(({ name, percent }) => ({ weight: percent, value: read(alone.get(name) ?? []) })),
    );
  const singleCpuUs = weighted(median);
  const cpuUs = median(together.map((round) => round.cpuUs));
  const ratios = together.map((round, turn) => round.cpuUs / weighted((each) => each[turn] ?? NaN));
  return {
    cpuUs,
    singleCpuUs,
    ratio: cpuUs / singleCpuUs,
    ratioSpread: [quantile(ratios, 0), quantile(ratios, 1)],
    perSecond: median(together.map(({ perSecond }) => perSecond)),
    parts: parts.map(({ name, percent }) => ({
      name,
      percent,
      cpuUs: median(alone.get(name) ?? []),
    })),
  };
}
