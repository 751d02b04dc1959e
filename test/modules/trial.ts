import { startNewPool } from '../support/production.ts';
import type { RunningService } from '../support/service.ts';
import { EXPECTED, type Expectation, type ModuleName } from './expectations.ts';
import { OPERATIONS, type Refusal, tryOperations } from './operations.ts';
import { startRecipient } from './recipient.ts';
import { examine, keep } from './record.ts';

/** A token of a module, for a pool of its own. */
export interface ModuleAtHand {
  readonly environment: Readonly<Record<string, string>>;
  remove(): Promise<void>;
}

/** What the service does on a module. */
export type Found =
  | { readonly refused: string; readonly resident?: Found }
  | { readonly outcome: Readonly<Record<string, string>> };

export const LIMIT_MS = 180_000;

/** What the table says, in the form in which tryModule() says it. */
export function expected(name: ModuleName): Found {
  return foundBy(EXPECTED[name]);
}

function foundBy(expectation: Expectation): Found {
  if ('refused' in expectation) {
    const { refused, resident } = expectation;
    return { refused, ...(resident !== undefined && { resident: foundBy(resident) }) };
  }
  const works = Object.keys(OPERATIONS).map((operation) => [operation, 'works'] as const);
  return { outcome: { ...Object.fromEntries(works), ...expectation.except } };
}

/**
 * Makes a pool on the module, serves it and tries each operation. Words of a refusal are the table's where they stand in
 * it; what isn't done is printed, with what the service logs of it.
 */
export async function tryModule(
  name: ModuleName,
  prepare: () => Promise<ModuleAtHand>,
): Promise<Found> {
  const module = await prepare();
  try {
    const refusals: Refusal[] = [];
    const found = await findOutBoth(name, module.environment, refusals);
    await keep('trial', { name, examined: await examine(module.environment), found, refusals });
    return found;
  } finally {
    await module.remove();
  }
}

/** Where keys can't be sealed, a pool whose keys are in the HSM is made as well. */
async function findOutBoth(
  name: ModuleName,
  environment: Readonly<Record<string, string>>,
  refusals: Refusal[],
): Promise<Found> {
  const sealed = await findOut(name, environment, refusals);
  if (!('refused' in sealed)) return sealed;
  const settings = { ...environment, STRONGROOM_KEYS: 'resident' };
  return { ...sealed, resident: await findOut(name, settings, refusals) };
}

async function findOut(
  name: ModuleName,
  environment: Readonly<Record<string, string>>,
  refusals: Refusal[],
): Promise<Found> {
  const recipient = await startRecipient();
  const settings = { STRONGROOM_WORKERS: '1', ...environment, ...recipient.settings };
  const pool = await startNewPool(settings).catch((error: unknown) => (error as Error).message);
  if (typeof pool === 'string') {
    await recipient.close();
    const words = pool.split('\n').find((line) => line.startsWith(SAID_BY)) ?? pool;
    refusals.push({ what: 'a pool', words: words.replace(SAID_BY, '') });
    return { refused: wordsOf(name, pool) };
  }
  try {
    const { outcome, refused } = await tryOperations(pool.admin, recipient);
    refusals.push(...refused);
    const words = refused.map(
      ({ what, words: said }) => `${what}: ${outcome[what] ?? ''}: ${said}`,
    );
    if (words.length > 0) console.info([name, ...words, ...warnings(pool.service)].join('\n'));
    return { outcome: withoutChance(name, outcome) };
  } finally {
    await pool.stop();
    await recipient.close();
  }
}

/** Before the sentence with which a command ends. */
const SAID_BY = 'strongroom: ';

function wordsOf(name: ModuleName, printed: string): string {
  console.info([name, ...printed.split('\n').slice(0, 4)].join('\n'));
  const expectation: Expectation = EXPECTED[name];
  const refusals = [expectation, 'refused' in expectation ? expectation.resident : undefined];
  for (const refusal of refusals)
    if (refusal !== undefined && 'refused' in refusal && printed.includes(refusal.refused))
      return refusal.refused;
  return printed;
}

/** What may happen or not is as good as what works. */
function withoutChance(name: ModuleName, outcome: Readonly<Record<string, string>>) {
  const expectation: Expectation = EXPECTED[name];
  if ('refused' in expectation) return outcome;
  const { except, orElse } = expectation;
  const entries = Object.entries(outcome);
  return Object.fromEntries(
    entries.map(([operation, came]) => [
      operation,
      came === orElse && !(operation in except) ? 'works' : came,
    ]),
  );
}

interface LogLine {
  readonly level?: number;
  readonly msg?: string;
  readonly err?: { readonly message?: string; readonly cause?: { readonly message?: string } };
}

const WARNING = 40;

function warnings(service: RunningService): readonly string[] {
  return service
    .output()
    .split('\n')
    .flatMap((line) => {
      if (!line.startsWith('{')) return [];
      const { level = 0, msg, err } = JSON.parse(line) as LogLine;
      return level < WARNING ? [] : [[msg, err?.message, err?.cause?.message].join(' | ')];
    });
}
