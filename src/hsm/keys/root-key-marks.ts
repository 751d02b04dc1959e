import graphene, { type MechanismType } from 'graphene-pk11';
import {
  destroyObject,
  findObjects,
  generateKey,
  type ModuleSession,
  readBytes,
} from '../module/calls.ts';
import { generationMarked, markSearch, markTemplate, type RootMark } from './root-key-templates.ts';

const AES: MechanismType = graphene.KeyGenMechanism.AES;

/** More than a token has of pools and generations. */
const MOST_MARKS = 10_000;

/**
 * What a token itself remembers of root keys, whatever rows say: objects beside them that are good for nothing else. Root keys
 * can't be modified, so it isn't in their own attributes. AES keys, because each module that keeps root keys makes those.
 */
export function putMark(
  session: ModuleSession,
  poolId: string,
  mark: RootMark,
  generation: number,
): void {
  if (!listMarked(session, poolId, mark).includes(generation))
    generateKey(session, AES, markTemplate(mark, poolId, generation));
}

/** Generations of a pool with a mark. Two processes may have put the same one. */
export function listMarked(
  session: ModuleSession,
  poolId: string,
  mark: RootMark,
): readonly number[] {
  const numbers = findObjects(session, markSearch(mark), MOST_MARKS).flatMap(
    (key) => generationMarked(readBytes(session, key, 'id'), poolId, mark) ?? [],
  );
  return [...new Set(numbers)].sort((a, b) => a - b);
}

export function removeMark(
  session: ModuleSession,
  poolId: string,
  mark: RootMark,
  generation: number,
): void {
  for (const key of findObjects(session, markSearch(mark), MOST_MARKS))
    if (generationMarked(readBytes(session, key, 'id'), poolId, mark) === generation)
      destroyObject(session, key);
}
