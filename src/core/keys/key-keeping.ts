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

/** What a caller is told of it who asks for it all the same; undefined in a pool whose keys are sealed. */
export function whyNotLeaving(
  { keeping }: { readonly keeping: KeyKeeping },
  operation: Leaving,
): string | undefined {
  return keeping === 'sealed'
    ? undefined
    : `Operation ${operation} is not available in this pool: its keys are objects of the HSM, and never leave it. Back them up by what the HSM itself offers (its backup, cloning or replication).`;
}

/** @throws ServiceError KeyOperationForbidden in a pool whose keys are resident */
export function requireSealed(pool: { readonly keeping: KeyKeeping }, operation: Leaving): void {
  const reason = whyNotLeaving(pool, operation);
  if (reason !== undefined) throw new ServiceError('KeyOperationForbidden', reason);
}
