import { readdirSync, readFileSync } from 'node:fs';

/** Processes as Linux tells of them (proc(5)). */

const TICKS_A_SECOND = 100;

/** A process and all below it, but for the processes below `without`. */
export function processTree(root: number, without = NaN): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    const parent = Number.isInteger(pid) ? parentOf(pid) : undefined;
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const below = (pid: number): number[] =>
    pid === without ? [] : [pid, ...(children.get(pid) ?? []).flatMap(below)];
  return below(root);
}

/** Microseconds of CPU that each process has used; ended ones are left out. */
export function cpuTimes(pids: readonly number[]): ReadonlyMap<number, number> {
  return new Map(
    pids.flatMap((pid) => {
      const us = cpuTime(pid);
      return us === undefined ? [] : [[pid, us] as const];
    }),
  );
}

/** Microseconds between two readings; a process that came meanwhile counts from its start. */
export function cpuBetween(
  before: ReadonlyMap<number, number>,
  after: ReadonlyMap<number, number>,
): number {
  let sum = 0;
  for (const [pid, us] of after) sum += us - (before.get(pid) ?? 0);
  return sum;
}

/** Resident memory, in MiB. */
export function residentMiB(pid: number): number {
  const kib = /^VmRSS:\s+(?<kib>\d+) kB/m.exec(read(`/proc/${pid}/status`) ?? '')?.groups?.['kib'];
  return Number(kib ?? NaN) / 1024;
}

/** By the scheduler's own account, to the nanosecond, thread by thread; by clock ticks where the kernel keeps none. */
function cpuTime(pid: number): number | undefined {
  let us = 0;
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const account = read(`/proc/${pid}/task/${thread}/schedstat`);
      if (account === undefined) return ticks(pid);
      us += Number(account.split(' ')[0]) / 1000;
    }
  } catch {
    return undefined;
  }
  return us;
}

function ticks(pid: number): number | undefined {
  const fields = statOf(pid);
  return fields && ((Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND) * 1e6;
}

function parentOf(pid: number): number | undefined {
  const parent = statOf(pid)?.[1];
  return parent === undefined ? undefined : Number(parent);
}

/** The fields after the name, which may hold blanks itself: the first is the state. */
function statOf(pid: number): string[] | undefined {
  const text = read(`/proc/${pid}/stat`);
  return text?.slice(text.lastIndexOf(')') + 2).split(' ');
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
