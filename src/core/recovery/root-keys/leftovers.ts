import { isRetirable, saysSo } from './endorsement.ts';
import type { RetiredGeneration, RootKeyState, RootKeyStore } from './ports.ts';
import type { RootKeyMaker, RootKeyWitness } from './root-key-hsm.ts';

/** What the rows say is left to do of a rotation, and what the HSM says of that. Numbers of generations, but for `toDestroy`. */
export interface Leftovers {
  /** The current root keys have said that these go. */
  readonly toRetire: readonly number[];
  readonly toDestroy: readonly RetiredGeneration[];
  /** Rows that the service has not written, or whose proof is lost: nothing is done for them, and nothing waits for them. */
  readonly foreign: readonly ForeignRow[];
}

interface ForeignRow {
  readonly number: number;
  /** For the operator. */
  readonly sentence: string;
}

type Judge = RootKeyWitness & Pick<RootKeyMaker, 'rootGeneration' | 'retirementProof'>;

/** Whoever can only write rows has no root keys destroyed, and keeps no rotation from its end. */
export async function judgeLeftovers(hsm: Judge, state: RootKeyState): Promise<Leftovers> {
  const { generations, retired, retirement } = state;
  const current = hsm.rootGeneration();
  const isSaid = await saysSo(hsm, current, retirement);
  const held = await hsm.listWholeGenerations();
  const toRetire: number[] = [];
  const foreign: ForeignRow[] = [];
  for (const { number, isCurrent, isKept } of generations) {
    if (isCurrent || isKept) continue;
    if (await isRetirable(hsm, current, number, retirement)) toRetire.push(number);
    else if (isSaid || number > current || !held.includes(number)) foreign.push(notToGo(number));
    else foreign.push(notSaid(number));
  }
  const toDestroy: RetiredGeneration[] = [];
  for (const generation of retired) {
    const { number, destroyedAt } = generation;
    if (destroyedAt !== undefined) continue;
    if (await mayBeDestroyed(hsm, state, generation)) toDestroy.push(generation);
    else if (!toRetire.includes(number)) foreign.push(notToBeDestroyed(number));
  }
  return { toRetire, toDestroy, foreign };
}

/** Whether root keys have said that a retired generation goes, and nothing can be sealed by it. */
export async function mayBeDestroyed(
  hsm: Judge,
  { generations, retirement }: RootKeyState,
  { number, proof }: RetiredGeneration,
): Promise<boolean> {
  // While it has a row among those that seal, something may be sealed by it.
  if (generations.some((other) => other.number === number)) return false;
  return (
    Buffer.from(await hsm.retirementProof(number)).equals(proof) ||
    (await isRetirable(hsm, hsm.rootGeneration(), number, retirement))
  );
}

/** Whether something is left to do of a rotation that has begun. */
export async function isRotationUnfinished(
  hsm: Judge,
  store: Pick<RootKeyStore, 'isUnfinished' | 'readState'>,
): Promise<boolean> {
  if (!(await store.isUnfinished())) return false;
  const state = await store.readState();
  const { generations } = state;
  // What others have made current is judged by whoever uses it.
  if (generations.some(({ isCurrent, number }) => isCurrent && number !== hsm.rootGeneration()))
    return true;
  const { toRetire, toDestroy } = await judgeLeftovers(hsm, state);
  return (
    generations.some(({ isCurrent, rows }) => !isCurrent && rows > 0) ||
    toRetire.length + toDestroy.length > 0
  );
}

function notToGo(number: number): ForeignRow {
  const sentence = `The database says that the root keys of generation ${number} are to be retired, and the current ones don't say so: they stay. Somebody has changed its rows (\`strongroom audit verify\`).`;
  return { number, sentence };
}

function notSaid(number: number): ForeignRow {
  const sentence = `The database says that the root keys of generation ${number} are to be retired, and what the current ones have said of that is lost: they stay. Somebody has changed its rows (\`strongroom audit verify\`), or an earlier version has begun this rotation: then, and only then, \`strongroom root-keys vouch\` says anew which ones go.`;
  return { number, sentence };
}

function notToBeDestroyed(number: number): ForeignRow {
  const sentence = `The database says that the root keys of generation ${number} are to be destroyed, and it isn't the service that has written that: they stay. Somebody has changed its rows (\`strongroom audit verify\`).`;
  return { number, sentence };
}
