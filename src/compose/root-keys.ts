import { randomUUID } from 'node:crypto';
import { AuditDraft } from '../core/audit/draft.ts';
import { systemClock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import type { KeyMaterial } from '../core/keys/key.ts';
import { newVersionId } from '../core/keys/new-version-id.ts';
import { OperatorError } from '../core/operator-error.ts';
import { BACKUP_KEYS } from '../core/recovery/root-keys/backup-keys.ts';
import { findUnvouching } from '../core/recovery/root-keys/endorsement.ts';
import { isRotationUnfinished } from '../core/recovery/root-keys/leftovers.ts';
import type { RootKeyWitness } from '../core/recovery/root-keys/root-key-hsm.ts';
import { requireHeldByAll } from '../core/recovery/root-keys/root-key-offer.ts';
import { createPromoter, type Promoter } from '../core/recovery/root-keys/pending-generation.ts';
import type { ReplicaIdentity } from '../core/pool/replicas.ts';
import { createRootKeyCeremony } from '../core/recovery/root-keys/root-key-ceremony.ts';
import {
  createRootKeyRotation,
  type RootKeyRotation,
  type RootKeyRotationParts,
} from '../core/recovery/root-keys/root-key-rotation.ts';
import { findProvenUpload } from '../core/recovery/security-domain/uploaded-domain.ts';
import type { ClearCeremony, RootKeyCeremony } from '../core/recovery/security-domain/ports.ts';
import type { Pkcs11Hsm } from '../hsm/pkcs11-hsm.ts';
import type { StoreContext } from '../store/database.ts';
import {
  findPool,
  type Pool,
  recordGeneration,
  withLockIfFree,
  withPoolLock,
} from '../store/pool/pool-store.ts';
import { createBackupKeyStore } from '../store/recovery/root-keys/backup-key-store.ts';
import { createReplicaStore } from '../store/pool/replica-store.ts';
import { createRootKeyOfferStore } from '../store/recovery/root-keys/root-key-offer-store.ts';
import { createPendingGenerationStore } from '../store/recovery/root-keys/pending-generation-store.ts';
import { createExclusively } from '../store/recovery/recovery-lock.ts';
import { createRootKeyStore } from '../store/recovery/root-keys/root-key-store.ts';
import { createSecurityDomainStore } from '../store/recovery/security-domain/security-domain-store.ts';
import { openRootKeys } from './hsm.ts';
import { LIMITS } from './limits.ts';

const newDraft = (operation: string) =>
  new AuditDraft(systemClock.now, { requestId: randomUUID(), operation });

/**
 * Opens a pool's root keys and its backup keys. What a pool from before there were such lacks is made, once.
 * @throws OperatorError where the token isn't the pool's
 */
export async function openPoolKeys(
  context: StoreContext,
  pool: Pool,
  hsm: Pkcs11Hsm,
): Promise<void> {
  await openVouchedKeys(context, pool, hsm);
  await recordGeneration(context, pool, newDraft('RootKeysRecord'));
  if (pool.keeping === 'resident') return;
  if ((await createBackupKeyStore(context).list()).length === 0)
    await withPoolLock(context.db, pool.name, () => makeBackupKeys(context, pool, hsm));
  await openBackupKeys(context, hsm);
  await hsm.rememberUsed();
}

/**
 * Opens root keys that are the pool's current ones not only by the database's word.
 * @throws OperatorError
 */
export async function openVouchedKeys(
  context: StoreContext,
  pool: Pool,
  hsm: Pkcs11Hsm,
): Promise<void> {
  await openRootKeys(hsm, pool);
  // A resident pool has one generation, and its HSM many objects to look through.
  if (pool.keeping === 'resident') return;
  await requireVouched(context, pool, hsm);
  await requireNewest(context, pool, hsm);
}

/**
 * Generations only ever grow: whoever writes older ones into the database would have everything sealed by them.
 * @throws OperatorError where the HSM has had newer ones in use
 */
async function requireNewest(context: StoreContext, pool: Pool, hsm: Pkcs11Hsm): Promise<void> {
  const { name, rootGeneration } = pool;
  const used = await hsm.listUsedGenerations();
  const newest = used.at(-1);
  if (newest === undefined) {
    if (!(await createRootKeyStore(context).isRetired(rootGeneration))) return;
    throw new OperatorError(
      `The database names the root keys of generation ${rootGeneration} as those of the pool "${name}" (STRONGROOM_POOL), and as retired ones too. Somebody may have changed it: look at \`strongroom audit verify\`. If these are the right ones, \`strongroom root-keys vouch\` says so once.`,
    );
  }
  if (newest <= rootGeneration) return;
  // They may have become the current ones since the pool was read.
  await followRootKeys({ context, pool }, hsm);
  if (hsm.rootGeneration() >= newest) return;
  throw new OperatorError(
    `The database names the root keys of generation ${rootGeneration} as those of the pool "${name}" (STRONGROOM_POOL), and in the token (PKCS11_TOKEN_LABEL) newer ones have been in use (generation ${newest}). Somebody may have brought these in or kept them, and changed the database: look at \`strongroom audit verify\`. If you have put an older database back, \`strongroom root-keys vouch\` says once that its root keys are the right ones.`,
  );
}

/**
 * The root keys that the database names must be those that have come after all others of the pool that the HSM holds.
 * @throws OperatorError
 */
async function requireVouched(
  context: StoreContext,
  { name, rootGeneration }: Pick<Pool, 'name' | 'rootGeneration'>,
  hsm: RootKeyWitness,
): Promise<void> {
  const vouchers = await createRootKeyStore(context).listVouchers();
  const others = await findUnvouching(hsm, rootGeneration, vouchers);
  if (others.length === 0) return;
  throw new OperatorError(
    `The database names the root keys of generation ${rootGeneration} as those of the pool "${name}" (STRONGROOM_POOL), and those of generation ${others.join(', ')}, which the token (PKCS11_TOKEN_LABEL) holds too, do not say that they have come after them. Somebody may have brought them in, and changed the database: look at \`strongroom audit verify\`. If all is right there, since an earlier version made them, or another HSM, \`strongroom root-keys vouch\` says so once.`,
  );
}

/** Makes backup keys where there are none, and the HSM can keep some. The caller lets nobody else do the same. */
export async function makeBackupKeys(
  context: StoreContext,
  pool: Pick<Pool, 'id' | 'keeping'>,
  hsm: Pkcs11Hsm,
): Promise<void> {
  if (pool.keeping === 'resident') return;
  if ((await createBackupKeyStore(context).list()).length === 0)
    await addBackupPair(context, pool, hsm);
}

/** Makes one more pair, by which new backups are made from now on; none where the HSM can't keep it. */
async function addBackupPair(
  context: StoreContext,
  pool: Pick<Pool, 'id'>,
  hsm: Pkcs11Hsm,
): Promise<void> {
  const { spec } = BACKUP_KEYS;
  const { keys } = await hsm.offer();
  if (keys.some((one) => one.keyType === 'oct-HSM' && one.bits === spec.bits && 'lack' in one))
    return;
  const version = newVersionId();
  const identity = { ...BACKUP_KEYS.identity, pool: pool.id, version };
  const material = await hsm.generateKey(identity, spec);
  // Some modules don't wrap HMAC keys, or nothing that was unwrapped: blobs of such a pool open as long as the root keys of then are there.
  if (material.sealed.macBlob === undefined || !(await isMovable(hsm, material))) return;
  const change = newDraft('BackupKeysCreate');
  change.note({ change: { after: { version } } });
  await createBackupKeyStore(context).insert(material, change);
}

/** Whether the HSM wraps again what it has unwrapped: in some, nothing that was unwrapped leaves any more. */
async function isMovable(hsm: Pkcs11Hsm, material: KeyMaterial): Promise<boolean> {
  try {
    await hsm.rewrap(material, 'current');
    return true;
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'BadParameter') return false;
    throw error;
  }
}

/** Tries it with a key of no use. @throws OperatorError where nothing could be sealed by new root keys */
async function requireMovable(hsm: Pkcs11Hsm, poolId: string): Promise<void> {
  const identity = { ...BACKUP_KEYS.identity, pool: poolId, version: newVersionId() };
  if (await isMovable(hsm, await hsm.generateKey(identity, BACKUP_KEYS.spec))) return;
  throw new OperatorError(
    'The HSM of this pool wraps nothing that it has unwrapped, so that nothing can be moved to new root keys: the pool keeps those that it has.',
  );
}

/** Has the HSM know the pairs of backup keys that the store has now. */
export async function openBackupKeys(context: StoreContext, hsm: Pkcs11Hsm): Promise<void> {
  const own = await createBackupKeyStore(context).list();
  // By the oldest of them the HSM proves what was uploaded.
  if (hsm.backupPairs.length === 0) hsm.openBackupKeys(own);
  const uploaded = await findProvenUpload(hsm, createSecurityDomainStore(context));
  hsm.openBackupKeys(own, uploaded?.backupKeys);
}

/** The current root keys of a pool, and whether they can be used here. */
export interface RootKeyUse {
  readonly generation: number;
  readonly isHeld: boolean;
  /** By the older ones that are here. */
  readonly isVouched: boolean;
}

/**
 * Follows what another process has made current, or wrapped anew.
 * @returns undefined where the pool is another one by now
 */
export async function followRootKeys(
  { context, pool }: { readonly context: StoreContext; readonly pool: Pool },
  hsm: Pkcs11Hsm,
): Promise<RootKeyUse | undefined> {
  const now = await findPool(context.db, pool.name);
  if (now?.id !== pool.id) return undefined;
  const { rootGeneration: generation } = now;
  const isVouched =
    generation === hsm.rootGeneration() ||
    !(await hsm.listWholeGenerations()).includes(generation) ||
    (await findUnvouching(hsm, generation, await createRootKeyStore(context).listVouchers()))
      .length === 0;
  const isHeld = isVouched && (await hsm.useRootKeys(generation, now.rootCheck));
  if (pool.keeping === 'sealed') await openBackupKeys(context, hsm);
  return { generation, isHeld, isVouched };
}

/** Rotations of the root keys of a sealed pool. */
export function openRootKeyRotation(
  context: StoreContext,
  hsm: Pkcs11Hsm,
  on: Pick<RootKeyRotationParts, 'onRows' | 'isStopped'> = {},
): RootKeyRotation {
  return createRootKeyRotation({
    hsm,
    store: createRootKeyStore(context),
    hasBackupKeys: () => hsm.backupPairs.length > 0,
    requireMovable: () => requireMovable(hsm, context.poolId),
    requireHeldByAll: (offer) =>
      requireHeldByAll(offer, {
        offers: createRootKeyOfferStore(context),
        replicas: createReplicaStore(context),
        limitMs: LIMITS.replicasAgreeMs,
      }),
    draft: newDraft,
    ...on,
  });
}

/**
 * Makes root keys that wait for the replicas' HSMs the current ones.
 * @param own the replica that this process is of
 * @param isAlone whether the caller has seen to it that no backup or restore is under way
 */
export function openPromoter(
  context: StoreContext,
  hsm: Pkcs11Hsm,
  { own, isAlone }: { readonly own?: ReplicaIdentity | undefined; readonly isAlone: boolean },
): Promoter {
  const exclusively = createExclusively(context);
  return createPromoter({
    hsm,
    store: createPendingGenerationStore(context),
    listVouchers: () => createRootKeyStore(context).listVouchers(),
    replicas: createReplicaStore(context),
    own,
    alone: (work) => (isAlone ? work() : exclusively(work).catch(undefinedIfBusy)),
    draft: newDraft,
  });
}

function undefinedIfBusy(error: unknown): undefined {
  if (!(error instanceof ServiceError && error.code === 'Conflict')) throw error;
}

/** Takes root keys of a sealed pool to other HSMs, and those of another pool into this one. */
export function openRootKeyCeremony(
  context: StoreContext,
  pool: Pick<Pool, 'id'>,
  hsm: Pkcs11Hsm,
  clear: ClearCeremony,
): RootKeyCeremony {
  const store = createRootKeyStore(context);
  return createRootKeyCeremony({
    hsm,
    clear,
    store: { ...store, isUnfinished: () => isRotationUnfinished(hsm, store) },
    findPending: () => createPendingGenerationStore(context).findNumber(),
    backupKeys: createBackupKeyStore(context),
    poolId: pool.id,
    findUploadedPool: async () =>
      (await findProvenUpload(hsm, createSecurityDomainStore(context)))?.poolId,
    newVersionId,
    alone: (work) => withLockIfFree(context.db, rotationLock(pool), work),
  });
}

/** By which processes see that one of them is at a rotation. */
export function rotationLock({ id }: Pick<Pool, 'id'>): string {
  return `root keys ${id}`;
}
