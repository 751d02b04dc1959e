import { ServiceError } from '../../core/errors.ts';
import type { Exclusively } from '../../core/recovery/security-domain/ports.ts';
import type { StoreContext } from '../database.ts';
import { withLockIfFree } from '../pool/pool-store.ts';

/** By which all processes see that one of them is at a backup, a restore or a ceremony. */
function recoveryLock(poolId: string): string {
  return `recovery ${poolId}`;
}

/** One at a time over all processes: a process that dies lets go of it. */
export function createExclusively({
  db,
  poolId,
}: Pick<StoreContext, 'db' | 'poolId'>): Exclusively {
  return async (work) => {
    const done = await withLockIfFree(db, recoveryLock(poolId), async () => ({
      result: await work(),
    }));
    if (done !== undefined) return done.result;
    throw new ServiceError(
      'Conflict',
      'Another backup, restore, or download or upload of the security domain is under way in this pool: try again when it has ended.',
    );
  };
}
