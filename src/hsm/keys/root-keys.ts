import graphene, { type ITemplate, type MechanismType } from 'graphene-pk11';
import type { KeyKeeping } from '../../core/keys/key-keeping.ts';
import { OperatorError } from '../../core/operator-error.ts';
import { answerIn } from '../capabilities/lack.ts';
import { GENERIC_SECRET } from '../operations/mechanisms.ts';
import {
  destroyObject,
  findObjects,
  generateKey,
  type Handle,
  type ModuleSession,
  readAttributes,
  readBytes,
} from '../module/calls.ts';
import { removeMark } from './root-key-marks.ts';
import {
  generatedRootKey,
  generationIn,
  ROOT_KEY_CLASS,
  ROOT_MARKS,
  ROOT_PARTS,
  type RootPart,
  rootKeySearch,
} from './root-key-templates.ts';

const { KeyGenMechanism } = graphene;

/** More than HSMs have; SoftHSM, which has no limit, may have more. */
const MOST_OBJECTS = 100_000;

/** The keys that never leave the HSM, by which everything else is wrapped and sealed. */
export interface RootKeys {
  readonly poolId: string;
  readonly generation: number;
  /** AES-256; wraps and unwraps, nothing else. A resident pool has none, since nothing is wrapped there. */
  readonly wrap?: Handle;
  /** HMAC-SHA256; signs and verifies, nothing else. */
  readonly seal: Handle;
}

/** @throws TypeError in a resident pool, where nothing is wrapped */
export function requireRootWrap({ wrap }: Pick<RootKeys, 'wrap'>): Handle {
  if (wrap === undefined) throw new TypeError('a resident pool wraps no keys');
  return wrap;
}

/**
 * Finds the root keys; undefined where there are none. Done once at start: searching reads every object.
 * @throws Error when one is missing or there twice, or when one could leave the HSM
 */
export function findRootKeys(
  session: ModuleSession,
  poolId: string,
  generation: number,
  keeping: KeyKeeping = 'sealed',
): RootKeys | undefined {
  if (keeping === 'resident') {
    const seal = findOne(session, rootKeySearch('root-seal', poolId, generation));
    return seal && requireBound(session, { poolId, generation, seal });
  }
  const wrap = findOne(session, rootKeySearch('root-wrap', poolId, generation));
  const seal = findOne(session, rootKeySearch('root-seal', poolId, generation));
  if (wrap === undefined && seal === undefined) return undefined;
  if (wrap === undefined || seal === undefined)
    throw new Error('The token holds one of the two root keys of this pool, and not the other.');
  return requireBound(session, { poolId, generation, wrap, seal });
}

/** @throws Error when one could leave the HSM */
export function requireBound(session: ModuleSession, keys: RootKeys): RootKeys {
  for (const key of [keys.wrap, keys.seal]) {
    if (key === undefined) continue;
    const { sensitive, extractable } = readAttributes(session, key, {
      sensitive: null,
      extractable: null,
    });
    if (sensitive !== true || extractable !== false)
      throw new Error('A root key of this pool could leave the HSM: it is not used.');
  }
  return keys;
}

/**
 * Makes the root keys as token objects, in the HSM; where the second can't be made, the first is destroyed. The caller has
 * seen that they aren't there.
 * @throws OperatorError where the token doesn't take them
 */
export function createRootKeys(
  session: ModuleSession,
  poolId: string,
  generation: number,
  keeping: KeyKeeping = 'sealed',
): RootKeys {
  const make = (part: RootPart) => makeOne(session, part, poolId, generation);
  if (keeping === 'resident') return { poolId, generation, seal: make('root-seal') };
  const wrap = make('root-wrap');
  try {
    return { poolId, generation, wrap, seal: make('root-seal') };
  } catch (error) {
    destroyObject(session, wrap);
    throw error;
  }
}

/**
 * The next number of which the token holds nothing. What is there is never taken for new root keys: another database may
 * have sealed by it, or somebody may have brought it in who knows its value.
 */
export function nextFreeGeneration(session: ModuleSession, poolId: string, after: number): number {
  const isThere = (part: RootPart, generation: number) =>
    findObjects(session, rootKeySearch(part, poolId, generation), 1).length > 0;
  for (let generation = after + 1; ; generation += 1)
    if (!ROOT_PARTS.some((part) => isThere(part, generation))) return generation;
}

/** Generations of which the token holds something, whoever has made it. Reads all secret keys of the token. */
export function listRootGenerations(
  session: ModuleSession,
  poolId: string,
  least: 'one part' | 'both parts' = 'one part',
): readonly number[] {
  const numbers = findObjects(session, ROOT_KEY_CLASS, MOST_OBJECTS).flatMap(
    (key) => generationIn(readBytes(session, key, 'id'), poolId) ?? [],
  );
  const parts = least === 'one part' ? 1 : ROOT_PARTS.length;
  const isThere = (number: number) => numbers.filter((one) => one === number).length >= parts;
  return [...new Set(numbers)].filter(isThere).sort((a, b) => a - b);
}

/** Destroys the root keys of a generation, as far as they are there, and what the token remembers of them. */
export function destroyRootKeys(session: ModuleSession, poolId: string, generation: number): void {
  for (const part of ROOT_PARTS) {
    const found = findOne(session, rootKeySearch(part, poolId, generation));
    if (found !== undefined) destroyObject(session, found);
  }
  for (const mark of ROOT_MARKS) removeMark(session, poolId, mark, generation);
}

function makeOne(
  session: ModuleSession,
  part: RootPart,
  poolId: string,
  generation: number,
): Handle {
  return making(part, () =>
    generateKey(session, MADE_BY[part], generatedRootKey(part, poolId, generation)),
  );
}

const MADE_BY: Readonly<Record<RootPart, MechanismType>> = {
  'root-wrap': KeyGenMechanism.AES,
  'root-seal': GENERIC_SECRET,
};

function making<T>(part: RootPart, make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw new OperatorError(
      `The token (PKCS11_TOKEN_LABEL) does not take a ${part} key, without which it can keep no pool: ${answerIn(error)}.`,
      { cause: error },
    );
  }
}

export function findOne(session: ModuleSession, what: ITemplate): Handle | undefined {
  const [found, another] = findObjects(session, what, 2);
  if (another !== undefined)
    throw new Error('The token holds a root key of this pool more than once.');
  return found;
}
