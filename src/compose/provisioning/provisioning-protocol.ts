import type { KeyKeeping } from '../../core/keys/key-keeping.ts';
import type { SerializedError } from '../../hsm/module/serialization.ts';
import type { BootstrapSettings } from '../bootstrap.ts';

/** What the process is to do: over a channel between two processes of one user, as workers are told the PIN. */
export type ToProvisioning =
  | { readonly kind: 'make'; readonly settings: BootstrapSettings }
  /** All root keys of a pool. */
  | {
      readonly kind: 'destroy';
      readonly pkcs11: BootstrapSettings['pkcs11'];
      readonly keeping: KeyKeeping;
      readonly poolId: string;
    };

export type FromProvisioning =
  { readonly kind: 'done' } | { readonly kind: 'failed'; readonly error: SerializedError };
