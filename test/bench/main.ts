import { writeFile } from 'node:fs/promises';
import { Command, InvalidArgumentError } from 'commander';
import { measureGrowth } from './growth.ts';
import { measureMixed } from './mixed.ts';
import { OPERATIONS } from './operations.ts';
import { FULL, measureOperations, openParts, QUICK } from './single-operations.ts';
import { type Cleanup, createCleanup } from './cleanup.ts';
import { measureThreads, type ThreadFigures } from './threads.ts';
import {
  costRowOf,
  growthRowOf,
  printGrowthLegend,
  printLegend,
  printMixed,
  printTable,
  ratio,
  rowOf,
  threadRowOf,
} from './tables.ts';

/** What a call takes besides: of an HSM in the same rack, and of one further away. */
const CALLS_US = [2_000, 5_000];

/** `npm run bench`: how near the service is to what the machine could do. */

interface Options {
  readonly quick?: boolean;
  readonly mixed?: boolean;
  readonly growth?: boolean;
  readonly threads?: boolean;
  readonly json?: string;
  readonly only?: string;
  readonly instances: number;
  readonly profile?: string;
}

const MOST_INSTANCES = 8;

function instancesOf(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1 || number > MOST_INSTANCES)
    throw new InvalidArgumentError(`a whole number from 1 to ${MOST_INSTANCES}.`);
  return number;
}

const program = new Command('npm run bench --')
  .description('Measures the service against a bare server and the bare HSM, on this machine.')
  .option('--quick', 'one short round of each operation, in less than a minute')
  .option('--mixed', 'all operations at once, with many keys and principals, against one by one')
  .option(
    '--growth',
    'a pool with many keys, assignments, principals and records against a small one; half an hour',
  )
  .option('--threads', 'a slow HSM behind threads, against as many threads that call it alone')
  .option('--json <file>', 'write the figures there')
  .option(
    '--only <text>',
    'only operations whose name has this in it; of growth: keys, assignments, principals or records',
  )
  .option(
    '--instances <number>',
    'of growth: services of each kind, since some are slower than others however alike',
    instancesOf,
    1,
  )
  .option('--profile <folder>', "write V8's CPU profiles of the service's processes there")
  .showHelpAfterError();

const say = (line: string) => process.stderr.write(`${line}\n`);

/** What is printed and written, by mode. */
async function run(cleanup: Cleanup, options: Options): Promise<object> {
  const { quick = false, mixed = false, growth = false, only = '', instances, profile } = options;
  const { threads = false } = options;
  if ([quick, mixed, growth, threads].filter(Boolean).length > 1)
    throw new Error('--quick, --mixed, --growth and --threads exclude each other.');
  if (threads) {
    const figures: ThreadFigures[] = [];
    for (const callUs of CALLS_US) {
      const own = createCleanup();
      cleanup.add(() => own.run());
      figures.push(await measureThreads(own, callUs));
      await own.run();
    }
    printTable(figures.map(threadRowOf));
    return { operations: [], threads: figures };
  }
  if (growth) {
    const grown = await measureGrowth(cleanup, say, { only, instances });
    printTable(grown.growth.map(growthRowOf));
    process.stdout.write('\n');
    printTable(grown.costs.map(costRowOf));
    printGrowthLegend();
    return { operations: [], ...grown };
  }
  const profiling = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
  const parts = await openParts(cleanup, profiling);
  if (mixed) {
    const figures = await measureMixed(parts, (round, of) => {
      say(`round ${round} of ${of}`);
    });
    printMixed(figures);
    return { operations: [], mixed: figures };
  }
  const operations = OPERATIONS.filter(({ name }) => name.includes(only));
  const figures = await measureOperations(parts, operations, quick ? QUICK : FULL, (one) => {
    say(`${one.name}: ${Math.round(one.service)} a second, ratio ${ratio(one.ratio)}`);
  });
  printTable(figures.map(rowOf));
  printLegend();
  return { operations: figures };
}

const options: Options = program.parse().opts();
const cleanup = createCleanup();
let ending: Promise<void> | undefined;
/** Everything is stopped before this process ends, whatever ends it. */
function end(status: number): Promise<void> {
  ending ??= cleanup.run().then(() => process.exit(status));
  return ending;
}
process.on('SIGINT', () => void end(130));
process.on('SIGTERM', () => void end(143));
try {
  if (process.platform !== 'linux')
    throw new Error('CPU time is read from /proc: the bench needs Linux.');
  const started = performance.now();
  const figures = await run(cleanup, options);
  say(`${Math.round((performance.now() - started) / 1000)} s`);
  if (options.json !== undefined)
    await writeFile(options.json, `${JSON.stringify(figures, null, 2)}\n`);
  await end(0);
} catch (error) {
  // What is stopped fails: that is no news.
  if (ending === undefined)
    say(`bench: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  await end(1);
}
