/**
 * What V8's heap may take of the memory limit, and at least. Left alone it takes a part of the machine's memory for its own,
 * and lets garbage lie that long; a process is given up for its size before its heap is full.
 */
const HEAP = { part: 0.75, leastMiB: 768 };

/**
 * By how much of what was in use after a full collection the old generation may grow until the next. V8 alone lets it grow
 * by a tenth where collecting is slow beside allocating, and then collects every two or three seconds under load.
 */
const GROWING_PERCENT = 50;

/**
 * V8 allocates in the old generation what long outlived its first collections, place in the code by place. It decides in a
 * worker's first seconds, when little is asked, and in one process of four for an object that each request has: then every
 * request, garbage by the next collection, is kept until the next full one, and collecting takes 18 % of the CPU instead of 6.
 */
const NO_PRETENURING = '--no-allocation-site-pretenuring';

export interface WorkerPlace {
  readonly workers: number;
  /** That processes may run on. */
  readonly cores: number;
  /** Of a worker process's resident memory, in bytes. */
  readonly memoryLimit: number;
  /** Options of Node that the operator has given already, in whichever way. */
  readonly given: readonly string[];
}

/**
 * Node's own options for the worker processes: the heap's limit, unless the operator has said another, and how it grows; and
 * where no core is left over, garbage is collected by the thread that makes it. V8's helper threads would push the event
 * loops of all the processes aside for 20 to 30 ms at a time. What the operator gives on the command line stands after
 * these, and wins.
 */
export function workerOptions({ workers, cores, memoryLimit, given }: WorkerPlace): string[] {
  const options = [
    ...(workers < cores ? [] : ['--single-threaded-gc']),
    `--heap-growing-percent=${GROWING_PERCENT}`,
    NO_PRETENURING,
  ];
  if (given.some((option) => /max[-_]old[-_]space[-_]size/.test(option))) return options;
  const mebibytes = Math.floor((HEAP.part * memoryLimit) / 1024 ** 2);
  return [...options, `--max-old-space-size=${Math.max(HEAP.leastMiB, mebibytes)}`];
}
