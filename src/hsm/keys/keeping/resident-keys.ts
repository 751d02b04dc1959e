import { ServiceError } from '../../../core/errors.ts';
import { newObjectId, objectIdIn, toReference } from '../../../core/keys/objects/object-id.ts';
import * as calls from '../../module/calls.ts';
import type { Handle, ModuleSession } from '../../module/calls.ts';
import type { KeyKeeping } from './key-keeping.ts';
import { objectLabel } from './pool-objects.ts';

/** Keys are token objects that never leave the HSM, found by their CKA_ID. */
export const resident: KeyKeeping = keeping(true);

/** The same as session objects, so that a trial leaves nothing in the token. */
export const residentForTrial: KeyKeeping = keeping(false);

function keeping(token: boolean): KeyKeeping {
  return {
    making({ pool }, given) {
      const objects = token ? given : { private: newObjectId(), mac: newObjectId() };
      if (objects === undefined) throw new TypeError("a resident key's objects have ids");
      return {
        attributes: (part) => ({
          ...{ token, extractable: false },
          ...{ label: objectLabel(pool), id: Buffer.from(objects[part], 'hex') },
        }),
        trial: { token: false, extractable: false },
        withNew: destroyedOnFailure,
        stored: (_context, _object, part) => toReference(objects[part]),
        storedAfterTrial(_context, _object, make) {
          make();
          return toReference(objects.private);
        },
      };
    },

    load({ session, rootKeys: { poolId } }, blob, { class: objectClass }) {
      const id = objectIdIn(blob);
      if (id === undefined)
        throw new ServiceError('KeyIntegrityViolation', 'The key is not one of a resident pool.');
      const found = calls.findObjects(
        session,
        {
          ...{ class: objectClass ?? 0, id: Buffer.from(id, 'hex') },
          // A trial is of no pool.
          ...(token && { label: objectLabel(poolId) }),
        },
        2,
      );
      const [object] = found;
      if (object === undefined || found.length > 1)
        throw new ServiceError(
          'KeyIntegrityViolation',
          `The HSM of this pool holds ${object === undefined ? 'no object' : 'more than one object'} with the id ${id}, which the key is.`,
        );
      const { sensitive, extractable } = calls.readAttributes(session, object, {
        sensitive: null,
        extractable: null,
      });
      if (sensitive !== true || extractable !== false)
        throw new ServiceError(
          'KeyIntegrityViolation',
          `The object with the id ${id}, which the key is, could leave the HSM: it is not used.`,
        );
      return object;
    },

    destroysLoaded: false,
  };
}

function destroyedOnFailure<T>(session: ModuleSession, object: Handle, use: () => T): T {
  try {
    return use();
  } catch (error) {
    calls.destroyObject(session, object);
    throw error;
  }
}
