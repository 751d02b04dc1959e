import type { Action } from '../access/actions.ts';
import type { ControlAction } from '../resources/actions.ts';
import type { ChangeFeed } from '../caching/change-feed.ts';
import { FreshReads } from '../caching/fresh-reads.ts';
import { ServiceError } from '../errors.ts';

/** What a pool serves now. */
export interface PoolState {
  /** Key operations: it has a security domain, or does without one. */
  readonly isActive: boolean;
  readonly isDeleted: boolean;
  /** A full restore puts others in the place of its rows. */
  readonly isRestoring: boolean;
  /** Its network rules; undefined where it is used from anywhere. */
  readonly admits?: ((address: string) => boolean) | undefined;
}

export interface PoolGate {
  /**
   * Everything is served to this address, as far as is remembered: a hot path asks no more than this.
   * @param address undefined for what the pool's network rules don't bind
   */
  isOpenTo(address: string | undefined): boolean;
  /** From the store. */
  read(): Promise<PoolState>;
}

/** Remembers that a pool is open, until another process says that something has changed. */
export function createPoolGate(feed: ChangeFeed, readState: () => Promise<PoolState>): PoolGate {
  const reads = new FreshReads<PoolState>();
  /** Of a pool that serves. */
  let remembered: PoolState | undefined;
  let changes = 0;
  feed.subscribe((change) => {
    if (change !== 'reset' && change.topic !== 'pool') return;
    remembered = undefined;
    changes += 1;
  });
  return {
    isOpenTo: (address) =>
      remembered !== undefined && feed.isCoherent() && isAdmitted(remembered, address),
    read: () =>
      reads.read('state', async () => {
        const before = changes;
        const state = await readState();
        const serves = state.isActive && !state.isRestoring && !state.isDeleted;
        if (before === changes) remembered = serves ? state : undefined;
        return state;
      }),
  };
}

function isAdmitted({ admits }: PoolState, address: string | undefined): boolean {
  return admits === undefined || address === undefined || admits(address);
}

/** What a client is allowed, and when that is served. */
interface ServedRequest {
  readonly action: Action | ControlAction;
  /** By a pool that isn't activated, though it takes an action of keys. */
  readonly beforeActivation?: boolean;
  readonly whileRestoring?: boolean;
  /** Whence it comes; absent for what the pool's network rules don't bind. */
  readonly address?: string | undefined;
}

/** Of keys and random bytes. */
const USE_OF_KEYS = /^Microsoft\.KeyVault\/managedHsm\/(?:keys|rng)\//;

/**
 * @param gate one that isn't open to it
 * @throws ServiceError PoolNotFound, PoolNotActivated, PoolRestoring, AddressNotAllowed
 */
export async function requireServed(gate: PoolGate, request: ServedRequest): Promise<void> {
  const state = await gate.read();
  const { isActive, isRestoring, isDeleted } = state;
  if (isDeleted) throw poolNotFound();
  if (!isAdmitted(state, request.address))
    throw new ServiceError(
      'AddressNotAllowed',
      `The network rules of this pool do not let in the client's address, ${request.address ?? ''}.`,
    );
  if (isRestoring && request.whileRestoring !== true)
    throw new ServiceError(
      'PoolRestoring',
      'This pool is being restored from a backup: until that has ended, only its status is answered.',
    );
  if (!isActive && request.beforeActivation !== true && USE_OF_KEYS.test(request.action))
    throw new ServiceError(
      'PoolNotActivated',
      'This pool is not activated: nothing could open its keys if its HSM were lost. Download its security domain first, by `az keyvault security-domain download` or `strongroom security-domain download`; or say that the HSM keeps copies of its own, by `strongroom bootstrap --no-security-domain`.',
    );
}

/** One that was deleted is said of no more than one that never was. */
export function poolNotFound(): ServiceError {
  return new ServiceError('PoolNotFound', 'There is no pool of this name here.');
}
