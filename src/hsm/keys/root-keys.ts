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
} from '../module/calls.ts';

const { KeyGenMechanism, KeyType, ObjectClass } = graphene;

/** The keys that never leave the HSM, by which everything else is wrapped and sealed. */
export interface RootKeys {
  readonly poolId: string;
  readonly generation: number;
  /** AES-256; wraps and unwraps, nothing else. A resident pool has none, since nothing is wrapped there. */
  readonly wrap?: Handle;
  /** HMAC-SHA256; signs and verifies, nothing else. */
  readonly seal: Handle;
}

type Part = 'root-wrap' | 'root-seal';

function search(part: Part, poolId: string, generation: number): ITemplate {
  return {
    class: ObjectClass.SECRET_KEY,
    token: true,
    label: `strongroom ${part} ${generation}`,
    id: Buffer.from(`${poolId}:${part}:${generation}`),
  };
}

/** Modules switch usages on that a template doesn't mention. */
const NOTHING = {
  encrypt: false,
  decrypt: false,
  sign: false,
  verify: false,
  wrap: false,
  unwrap: false,
  derive: false,
};

function template(part: Part, poolId: string, generation: number): ITemplate {
  const common = {
    ...search(part, poolId, generation),
    private: true,
    sensitive: true,
    extractable: false,
    modifiable: false,
    valueLen: 32,
  };
  return part === 'root-wrap'
    ? {
        ...common,
        keyType: KeyType.AES,
        ...NOTHING,
        wrap: true,
        unwrap: true,
      }
    : { ...common, keyType: KeyType.GENERIC_SECRET, ...NOTHING, sign: true, verify: true };
}

/** @throws TypeError in a resident pool, where nothing is wrapped */
export function requireRootWrap({ wrap }: RootKeys): Handle {
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
    const seal = findOne(session, search('root-seal', poolId, generation));
    return seal && requireBound(session, { poolId, generation, seal });
  }
  const wrap = findOne(session, search('root-wrap', poolId, generation));
  const seal = findOne(session, search('root-seal', poolId, generation));
  if (wrap === undefined && seal === undefined) return undefined;
  if (wrap === undefined || seal === undefined)
    throw new Error('The token holds one of the two root keys of this pool, and not the other.');
  return requireBound(session, { poolId, generation, wrap, seal });
}

/** @throws Error when one could leave the HSM */
function requireBound(session: ModuleSession, keys: RootKeys): RootKeys {
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
  const make = (part: Part) => makeOne(session, part, poolId, generation);
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
 * Makes the root keys of a generation that isn't in use yet. An attempt that was cut off may have left one or both: nothing
 * is destroyed, since somebody may have sealed by them what another database holds.
 * @throws OperatorError where the token doesn't take them
 */
export function completeRootKeys(
  session: ModuleSession,
  poolId: string,
  generation: number,
): RootKeys {
  const [wrap, seal] = PARTS.map(
    (part) =>
      findOne(session, search(part, poolId, generation)) ??
      makeOne(session, part, poolId, generation),
  ) as [Handle, Handle];
  return requireBound(session, { poolId, generation, wrap, seal });
}

/** Destroys the root keys of a generation, as far as they are there. */
export function destroyRootKeys(session: ModuleSession, poolId: string, generation: number): void {
  for (const part of PARTS) {
    const found = findOne(session, search(part, poolId, generation));
    if (found !== undefined) destroyObject(session, found);
  }
}

function makeOne(session: ModuleSession, part: Part, poolId: string, generation: number): Handle {
  return making(part, () =>
    generateKey(session, MADE_BY[part], template(part, poolId, generation)),
  );
}

const PARTS: readonly Part[] = ['root-wrap', 'root-seal'];

const MADE_BY: Readonly<Record<Part, MechanismType>> = {
  'root-wrap': KeyGenMechanism.AES,
  'root-seal': GENERIC_SECRET,
};

function making<T>(part: Part, make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw new OperatorError(
      `The token (PKCS11_TOKEN_LABEL) does not take a ${part} key, without which it can keep no pool: ${answerIn(error)}.`,
      { cause: error },
    );
  }
}

function findOne(session: ModuleSession, what: ITemplate): Handle | undefined {
  const [found, another] = findObjects(session, what, 2);
  if (another !== undefined)
    throw new Error('The token holds a root key of this pool more than once.');
  return found;
}
