import type { ObjectId } from '../../../core/keys/objects/object-id.ts';
import {
  destroyObject,
  findObjects,
  type Handle,
  type ModuleSession,
  readBytes,
} from '../../module/calls.ts';
import { returnValue } from '../../module/return-values.ts';

/** More than HSMs have; SoftHSM, which has no limit, may have more. */
const MOST_OBJECTS = 100_000;

/** CKA_LABEL of all objects that a pool's keys are: by it they are told from those of other pools and programs. */
export function objectLabel(poolId: string): string {
  return `strongroom ${poolId}`;
}

/** @returns those of them that were there */
export function destroyPoolObjects(
  session: ModuleSession,
  poolId: string,
  ids: readonly ObjectId[],
): readonly ObjectId[] {
  return ids.filter((id) => {
    const template = { token: true, label: objectLabel(poolId), id: Buffer.from(id, 'hex') };
    const found = findObjects(session, template, MOST_OBJECTS);
    return found.map((object) => isDestroyed(session, object)).includes(true);
  });
}

/** False where another process was faster. */
function isDestroyed(session: ModuleSession, object: Handle): boolean {
  try {
    destroyObject(session, object);
    return true;
  } catch (error) {
    if (returnValue(error) === 'CKR_OBJECT_HANDLE_INVALID') return false;
    throw error;
  }
}

/** The ids of a pool's objects, each once. */
export function listPoolObjects(session: ModuleSession, poolId: string): readonly ObjectId[] {
  const template = { token: true, label: objectLabel(poolId) };
  const objects = findObjects(session, template, MOST_OBJECTS);
  const ids = objects.map((object) => readBytes(session, object, 'id').toString('hex') as ObjectId);
  return [...new Set(ids)];
}

/** All, and a pool's own among them. */
export function countObjects(
  session: ModuleSession,
  poolId: string,
): { readonly all: number; readonly own: number } {
  const template = { token: true, label: objectLabel(poolId) };
  const own = findObjects(session, template, MOST_OBJECTS).length;
  return { own, all: Math.max(own, countTokenObjects(session)) };
}

/** Token objects, whosever they are. */
export function countTokenObjects(session: ModuleSession): number {
  return findObjects(session, { token: true }, MOST_OBJECTS).length;
}
