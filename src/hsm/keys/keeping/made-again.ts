import { ServiceError } from '../../../core/errors.ts';
import type { ObjectIds } from '../../../core/keys/objects/object-id.ts';
import type { ModuleSession } from '../../module/calls.ts';
import { returnValue, type ReturnValue } from '../../module/return-values.ts';
import { destroyPoolObjects } from './pool-objects.ts';

/**
 * What SoftHSM 2.6.1 answers now and then to C_CreateObject and C_GenerateKeyPair of a token object, while another thread or
 * process looks for one; a moment later it makes the same object.
 */
const PASSING: ReadonlySet<ReturnValue | 'other' | undefined> = new Set<ReturnValue>([
  'CKR_GENERAL_ERROR',
  'CKR_TEMPLATE_INCONSISTENT',
]);
const ATTEMPTS = 3;

/**
 * Makes a key, and again where it is to be a resident one and the module's answer may pass: each attempt has ended, and what
 * it may have left is destroyed before the next.
 * @param objects that a resident key is to be; of a sealed one there are none
 */
export function makeAgain<T>(
  session: ModuleSession,
  poolId: string,
  objects: ObjectIds | undefined,
  make: () => T,
): T {
  for (let attempt = 1; ; attempt += 1)
    try {
      return make();
    } catch (error) {
      const answer = returnValue(error instanceof ServiceError ? error.cause : error);
      if (objects === undefined || attempt === ATTEMPTS || !PASSING.has(answer)) throw error;
      destroyPoolObjects(session, poolId, [objects.private, objects.mac]);
    }
}
