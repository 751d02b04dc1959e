import { hostname } from 'node:os';
import process from 'node:process';
import type { Logger } from 'pino';
import { systemClock } from '../core/clock.ts';
import {
  createObjectKeeper,
  type ObjectKeeper,
  type ObjectKeeperParts,
} from '../core/keys/objects/object-keeper.ts';
import type { StoreContext } from '../store/database.ts';
import { createObjectLedger } from '../store/keys/object-ledger.ts';
import type { Pool } from '../store/pool/pool-store.ts';
import type { ServiceSettings } from './service/settings.ts';

interface ObjectSettings {
  readonly pkcs11: Pick<ServiceSettings['pkcs11'], 'objectLimit'>;
}

/** Who keeps a resident pool's objects and rows together; nobody in a sealed pool. */
export function openObjectKeeper(
  context: StoreContext,
  pool: Pick<Pool, 'keeping'>,
  hsm: ObjectKeeperParts['hsm'],
  { pkcs11 }: ObjectSettings,
  log: Logger,
): ObjectKeeper | undefined {
  if (pool.keeping === 'sealed') return undefined;
  return createObjectKeeper({
    hsm,
    ledger: createObjectLedger(context, `${hostname()}:${process.pid}`),
    clock: systemClock,
    limit: pkcs11.objectLimit,
    onNearlyFull: (use) => {
      log.warn(
        use,
        'the HSM is nearly full: from its limit of objects on (PKCS11_OBJECT_LIMIT) no key can be made',
      );
    },
    onRefused: (objects) => {
      log.error(
        { objects: objects.map(({ id }) => id) },
        "objects are not destroyed: what the database says of them carries no proof of this pool's HSM (see strongroom doctor)",
      );
    },
    onError: (error) => {
      log.error(
        { err: error },
        'objects that no key needs could not be destroyed in the HSM: it is tried again',
      );
    },
  });
}

/** What is made of a part where there are objects to be kept, and the part itself where there are none. */
export function kept<Part>(
  part: Part,
  keeper: ObjectKeeper | undefined,
  keep: (part: Part, keeper: ObjectKeeper) => Part,
): Part {
  return keeper === undefined ? part : keep(part, keeper);
}
