import { writeFile } from 'node:fs/promises';
import { Command } from 'commander';
import { OPERATIONS } from './operations.ts';
import { FULL, measureOperations, openParts, QUICK } from './single-operations.ts';
import { type Cleanup, createCleanup } from './stage.ts';
import { printLegend, printTable, ratio, rowOf } from './tables.ts';

/** `npm run bench`: how near the service is to what the machine could do. */

interface Options {
  readonly quick?: boolean;
  readonly json?: string;
  readonly only?: string;
  readonly profile?: string;
}

const program = new Command('npm run bench --')
  .description('Measures the service against a bare server and the bare HSM, on this machine.')
  .option('--quick', 'one short round of each operation, in less than a minute')
  .option('--json <file>', 'write the figures there')
  .option('--only <text>', 'only operations whose name has this in it')
  .option('--profile <folder>', "write V8's CPU profiles of the service's processes there")
  .showHelpAfterError();

const say = (line: string) => process.stderr.write(`${line}\n`);

async function run(cleanup: Cleanup, options: Options): Promise<object> {
  const { quick = false, only = '', profile } = options;
  const operations = OPERATIONS.filter(({ name }) => name.includes(only));
  const started = performance.now();
  const parts = await openParts(cleanup, {
    ...(profile !== undefined && { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${profile}` }),
  });
  const figures = await measureOperations(parts, operations, quick ? QUICK : FULL, (one) => {
    say(`${one.name}: ${Math.round(one.service)} a second, ratio ${ratio(one.ratio)}`);
  });
  printTable(figures.map(rowOf));
  printLegend();
  say(`${Math.round((performance.now() - started) / 1000)} s`);
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
  const figures = await run(cleanup, options);
  if (options.json !== undefined)
    await writeFile(options.json, `${JSON.stringify(figures, null, 2)}\n`);
  await end(0);
} catch (error) {
  // What is stopped fails: that is no news.
  if (ending === undefined)
    say(`bench: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  await end(1);
}
