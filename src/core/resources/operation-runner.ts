import type { AuditDraft } from '../audit/draft.ts';
import type { AgreedClock } from '../clock.ts';
import { ServiceError } from '../errors.ts';
import { repeat } from '../repeating.ts';
import { type ManagedHsm, poolNameOf } from './managed-hsm.ts';
import type { ManagedHsmOperation, OperationKind, Outcome } from './operation.ts';
import type { ManagedHsmStore, PoolProvisioner, WantedPool } from './ports.ts';
import { managedHsmScope } from './scope.ts';

export interface OperationRunnerParts {
  readonly store: ManagedHsmStore;
  readonly provisioner: PoolProvisioner;
  readonly tenantId: string;
  readonly storeClock: AgreedClock;
  readonly newChange: (operation: string) => AuditDraft;
  /** One failed; where nothing is said to its client it is tried again. */
  readonly onError: (error: unknown, operation: ManagedHsmOperation) => void;
}

/** Somebody else takes up what a process has left after this long. */
const CLAIM_SECONDS = 30;
const KEEP_CLAIM_MS = 10_000;

/**
 * Does what requests have begun: makes, changes, closes and purges pools. Any number of processes may do it at once: each
 * operation is done by one of them, and what a process has left by another, from the beginning.
 */
export function createOperationRunner(parts: OperationRunnerParts) {
  const { store, provisioner, tenantId, storeClock, newChange, onError } = parts;

  async function perform(kind: OperationKind, hsm: ManagedHsm): Promise<void> {
    const name = poolNameOf(hsm);
    const wanted: WantedPool = {
      name,
      tenantId,
      softDeleteDays: hsm.softDeleteDays,
      purgeProtection: hsm.purgeProtection,
      administrators: hsm.administrators,
      network: hsm.network,
    };
    switch (kind) {
      case 'create':
        return provisioner.create(wanted);
      case 'update':
        return provisioner.update(wanted);
      case 'delete':
        return provisioner.close(name);
      case 'recover':
        return provisioner.open(name);
      case 'purge':
        return provisioner.purge(name);
    }
  }

  async function run(operation: ManagedHsmOperation, hsm: ManagedHsm): Promise<void> {
    const stopKeeping = repeat(
      () => store.keepClaim(operation.id, CLAIM_SECONDS),
      KEEP_CLAIM_MS,
      Math.random,
      (error) => {
        onError(error, operation);
      },
    );
    let outcome: Outcome | undefined = 'succeeded';
    try {
      await perform(operation.kind, hsm);
    } catch (error) {
      onError(error, operation);
      outcome = failureOf(operation, error);
    } finally {
      await stopKeeping();
    }
    // It stays claimed for a while, and is tried again then.
    if (outcome === undefined) return;
    const after = afterwards(operation.kind, hsm, outcome);
    const change = newChange('ManagedHsmOperationEnd');
    change.note({
      scope: managedHsmScope(hsm.subscriptionId, hsm.groupName, hsm.name),
      change: { before: { operation: operation.kind, state: hsm.state }, after: { outcome } },
    });
    await store.endOperation(operation, hsm, outcome, after, change);
  }

  /** Begins the purge of what was deleted long enough ago: not while the clocks disagree, since it can't be undone. */
  async function purgeExpired(): Promise<void> {
    const now = await storeClock.agreedTime();
    if (now === undefined) return;
    while ((await store.purgeExpired(now, newChange('ManagedHsmPurgeScheduled'))) !== undefined);
  }

  return {
    /** Does all that is to be done now. */
    async runAll(): Promise<void> {
      await purgeExpired();
      for (;;) {
        const claimed = await store.claimOperation(CLAIM_SECONDS);
        if (claimed === undefined) return;
        await run(claimed.operation, claimed.hsm);
      }
    },
  };
}

/** What its client is told; undefined for what is tried again. A pool that was deleted must not be served, come what may. */
function failureOf({ id, kind }: ManagedHsmOperation, error: unknown): Outcome | undefined {
  if (kind === 'delete') return undefined;
  if (!(error instanceof ServiceError))
    return {
      code: 'Conflict',
      message: `An unexpected error occurred; the log of the service has it under the operation ${id}.`,
    };
  return error.code === 'StoreUnavailable'
    ? undefined
    : { code: error.code, message: error.message };
}

function afterwards(
  kind: OperationKind,
  hsm: ManagedHsm,
  outcome: Outcome,
): ManagedHsm | undefined {
  if (outcome !== 'succeeded') return { ...hsm, state: 'Failed', statusMessage: outcome.message };
  if (kind === 'purge') return undefined;
  const statusMessage =
    kind === 'delete' ? 'The pool is deleted.' : 'The Managed HSM is provisioned and ready to use.';
  return { ...hsm, state: 'Succeeded', statusMessage };
}
