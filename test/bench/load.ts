import { type ClosedLoad, startClosedLoad } from './closed-load.ts';
import { answer } from './helper-process.ts';
import type { LoadPlan } from './load-plan.ts';
import { type Pace, pacedLatencies } from './paced-load.ts';

/** A process that makes load. */

const plans = new Map<string, LoadPlan>();
let running: ClosedLoad | undefined;

function planOf(name: string): LoadPlan {
  const plan = plans.get(name);
  if (plan === undefined) throw new Error(`no plan is called ${name}`);
  return plan;
}

answer({
  learn({ name, plan }: { name: string; plan: LoadPlan }) {
    plans.set(name, plan);
  },
  start({ name, connections }: { name: string; connections: number }) {
    running = startClosedLoad(planOf(name), connections);
  },
  count: () => running?.count(),
  stop: () => running?.stop(),
  pace: ({ name, ...pace }: Pace & { name: string }) => pacedLatencies(planOf(name), pace),
});
