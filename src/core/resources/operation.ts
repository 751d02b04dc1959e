import type { ErrorCode } from '../errors.ts';

/** What is done to the pool behind a Managed HSM, as a long-running operation. */
export type OperationKind = 'create' | 'update' | 'delete' | 'recover' | 'purge';

export interface ManagedHsmOperation {
  /** GUID. */
  readonly id: string;
  readonly kind: OperationKind;
  readonly subscriptionId: string;
  readonly groupName: string;
  /** Of the Managed HSM. */
  readonly name: string;
  readonly outcome: Outcome | undefined;
}

/** How an operation has ended. */
export type Outcome = 'succeeded' | { readonly code: ErrorCode; readonly message: string };
