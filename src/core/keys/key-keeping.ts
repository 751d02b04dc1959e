import { ServiceError } from '../errors.ts';

/**
 * Where a pool's keys are, fixed when it is made. `sealed`: in the store, wrapped by a root key. `resident`: in the HSM, each
 * a token object, for modules that wrap no private keys.
 */
export const KEY_KEEPINGS = ['sealed', 'resident'] as const;
export type KeyKeeping = (typeof KEY_KEEPINGS)[number];

/** What takes a key's material out of the HSM, or puts it in again. */
type Leaving =
  'backup' | 'restore' | 'release' | 'secureWrapKey' | 'secureUnwrapKey' | 'securityDomain';

/** @throws ServiceError KeyOperationForbidden in a pool whose keys are resident */
export function requireSealed(
  { keeping }: { readonly keeping: KeyKeeping },
  operation: Leaving,
): void {
  if (keeping === 'resident')
    throw new ServiceError(
      'KeyOperationForbidden',
      `Operation ${operation} is not available in this pool: its keys are objects of the HSM, and never leave it. Back them up by what the HSM itself offers (its backup, cloning or replication).`,
    );
}
