import { type Action } from './actions.ts';
import {
  type AuditedChange,
  type AuditEvent,
  type AuditFilter,
  type AuditRecord,
} from './audit.ts';
import { type AuthoredChange } from './authored-change.ts';
import {
  type Application,
  type CertificateCredential,
  type PasswordCredential,
  type ServicePrincipal,
  type DirectoryFilter,
} from './directory.ts';
import {
  type DeletedKey,
  type KeyMaterial,
  type KeyName,
  type KeyVersion,
  type KeyVersionId,
  type VerifiedKey,
} from './key.ts';
import { type HeldPolicy } from './held-policy.ts';
import { type Principal } from './principal.ts';
import { type RotationPolicy } from './rotation.ts';
import { type RoleAssignment, type RoleDefinition, type Scope } from './role.ts';
import { type StateChange } from './state-change.ts';

export { type StateChange } from './state-change.ts';

/** A page of a list: `next` is the cursor of the page after it, absent on the last one. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly next?: string;
}
/** `after`: the cursor that the page before gave. `limit`: at most so many items. */
export interface PageRequest {
  readonly after?: string;
  readonly limit: number;
}

/**
 * Keys that are not deleted, and the deleted ones apart. Names are found without regard to case. `Found` is what is read one
 * by one; lists show nothing of a key's material.
 */
export interface KeyReader<Found extends KeyVersion = KeyVersion> {
  /** Without a version: the newest enabled one, or the newest where none is enabled. */
  findKey(name: KeyName, version?: KeyVersionId): Promise<Found | undefined>;
  /** One entry a key, its answering version, by name. */
  listKeys(page: PageRequest): Promise<Page<KeyVersion>>;
  /** Oldest first; empty for a name that isn't there. */
  listVersions(name: KeyName, page: PageRequest): Promise<Page<KeyVersion>>;
  findDeletedKey(name: KeyName): Promise<DeletedKey<Found> | undefined>;
  listDeletedKeys(page: PageRequest): Promise<Page<DeletedKey>>;
}

export interface VersionEdit<Edited extends KeyVersion, Material = Edited['material']> {
  /**
   * Makes of the version's material what is to be stored and answered, verified. The HSM is asked here, while no transaction is open and no lock is held;
   * it is asked again where the material has changed meanwhile.
   */
  readonly reseal: (material: KeyMaterial) => Promise<Material>;
  /** Gives the version back changed. It sees it locked, and so can't wait for anything; `material` is what is to be stored. */
  readonly apply: (current: KeyVersion, material: Material) => Edited;
}

/** Changes of keys; each commits in one transaction with its audit record. */
export interface KeyWriter {
  /**
   * Adds a version to the key of that name, or makes the key.
   * @returns the key's name as its creator wrote it; undefined, and nothing is written, where `onlyAfter` is named and isn't
   * the newest version any more
   * @throws ServiceError KeyIsDeleted
   */
  insertVersion(
    version: KeyVersion,
    change: AuditedChange,
    onlyAfter?: KeyVersionId,
  ): Promise<KeyName | undefined>;
  /**
   * Changes one version (the newest where none is named). Undefined where there is no such version.
   * @throws ServiceError Overloaded where others went on changing what was being resealed
   */
  updateVersion<Edited extends KeyVersion>(
    name: KeyName,
    version: KeyVersionId | undefined,
    edit: VersionEdit<Edited>,
    change: AuditedChange,
  ): Promise<Edited | undefined>;
  /** Soft-deletes all versions, until so many seconds later by the store's clock. Undefined where there is no such key. */
  deleteKey(
    name: KeyName,
    retentionSeconds: number,
    change: AuditedChange,
  ): Promise<DeletedKey | undefined>;
  /** Undoes deleteKey. Undefined where no deleted key has that name. */
  recoverKey(name: KeyName, change: AuditedChange): Promise<KeyVersion | undefined>;
  /** Removes a deleted key's material for good. False where no deleted key has that name. @throws ServiceError PurgeProtected */
  purgeKey(name: KeyName, change: AuditedChange): Promise<boolean>;
  /** Removes one key whose retention has ended by the store's clock; undefined where there is none. */
  purgeExpiredKey(change: AuditedChange): Promise<KeyName | undefined>;
}

/** A key as its rotation sees it: the newest version, enabled or not, and the policy if there is one. */
export interface RotatingKey {
  readonly newest: KeyVersion;
  readonly policy?: RotationPolicy;
}

/** Rotation policies, and what is due under them. Times are seconds since 1970-01-01 UTC. */
export interface RotationStore {
  /** Undefined where there is no such key. */
  findRotatingKey(name: KeyName): Promise<RotatingKey | undefined>;
  /** Sets the policy, or takes it away. False where there is no such key. */
  putPolicy(
    name: KeyName,
    policy: RotationPolicy | undefined,
    change: AuditedChange,
  ): Promise<boolean>;
  /** A key that is due at `now`, for the caller alone until `claimedUntil`; undefined where none is. */
  claimDueRotation(now: number, claimedUntil: number): Promise<RotatingKey | undefined>;
  /** A key whose keepers are to be told at `now`, once: it is not given again for the same version and date. */
  takeDueNotice(now: number, change: AuditedChange): Promise<KeyVersion | undefined>;
}

/** A key with everything that belongs to it, as a backup holds it. */
export interface WholeKey<Version extends KeyVersion = KeyVersion> {
  readonly name: KeyName;
  readonly rotationPolicy?: RotationPolicy;
  /** Oldest first. */
  readonly versions: readonly {
    readonly version: Version;
    /** AES-GCM encryptions, at least as many as were made. */
    readonly encryptions: number;
  }[];
}

/** Keys read and written whole. */
export interface KeyArchive {
  /** Undefined where there is no such key, or only a deleted one. @throws ServiceError KeyTooLarge */
  readKey(name: KeyName): Promise<WholeKey | undefined>;
  /** The version that answers for it. @throws ServiceError KeyExists, KeyIsDeleted */
  insertKey(key: WholeKey, change: AuditedChange): Promise<KeyVersion>;
}

/** What a backup blob holds. */
export interface BackupContents<Version extends KeyVersion = KeyVersion> {
  /** Which form of contents it is. */
  readonly format: unknown;
  readonly key: WholeKey<Version>;
}

/** Puts what a backup holds under a key of 64 bytes (authenticated encryption), as a base64url text, and takes it out again. */
export interface BlobProtector {
  /** @throws ServiceError Overloaded where too many wait */
  protect(key: Uint8Array, contents: BackupContents<VerifiedKey>): Promise<string>;
  /**
   * Undefined for what wasn't made with this key, or was altered since, be it in one bit.
   * @param blob the text in ASCII
   * @throws ServiceError Overloaded where too many wait
   */
  open(key: Uint8Array, blob: Uint8Array): Promise<BackupContents | undefined>;
}

/** What an administrator has set; undefined where the default holds. */
export interface SettingStore {
  findSetting(name: string): Promise<boolean | undefined>;
  putSetting(name: string, isOn: boolean, change: AuditedChange): Promise<void>;
}

/** How often key versions have encrypted with AES-GCM, over all processes. */
export interface EncryptionCountStore {
  /**
   * Sets aside up to `wanted` encryptions for the caller; none beyond `limit`.
   * @returns how many were granted, and how many are used or set aside by now
   */
  reserveEncryptions(
    version: KeyVersionId,
    wanted: number,
    limit: number,
  ): Promise<{ readonly granted: number; readonly used: number }>;
}

export interface RoleStore {
  /** Built-in ones first, in Azure's order. */
  listDefinitions(page: PageRequest): Promise<Page<RoleDefinition>>;
  findDefinition(id: string): Promise<RoleDefinition | undefined>;
  /**
   * Makes or changes a custom role: `decide` sees the present one, locked.
   * @param actions that it comes to
   * @throws ServiceError RoleAssignedElsewhere when the id is assigned at scopes at which the role can't be, AccessDenied,
   * and what `decide` throws
   */
  putDefinition(
    definition: RoleDefinition,
    actions: ReadonlySet<Action>,
    decide: (present: RoleDefinition | undefined) => void,
    change: AuthoredChange,
  ): Promise<void>;
  /** Its assignments stay, and give nothing any more. Undefined where there is none. */
  deleteDefinition(
    id: string,
    decide: (present: RoleDefinition) => void,
    change: AuthoredChange,
  ): Promise<RoleDefinition | undefined>;
  /** At, above or below `scope` as the flags say; `below` of `/` is everything. */
  listAssignments(
    filter: { scope: Scope; above: boolean; below: boolean; principalId?: string },
    page: PageRequest,
  ): Promise<Page<RoleAssignment>>;
  findAssignment(id: string, scope: Scope): Promise<RoleAssignment | undefined>;
  /** The principals to which a role is assigned anywhere, each once. */
  listHolders(roleDefinitionId: string, limit: number): Promise<readonly string[]>;
  /**
   * The same principal, role and scope under the same name again change description and expiry.
   * @param now seconds since 1970-01-01 UTC: what stood under another name and has ended gives way
   * @throws ServiceError RoleAssignmentExists when the name is taken by another assignment, or the same principal, role
   * and scope stand under another name; LastAdministrator rather than let the last Administrator end; BadParameter where
   * the role can't be assigned at the scope; AccessDenied
   */
  putAssignment(assignment: RoleAssignment, now: number, change: AuthoredChange): Promise<void>;
  /**
   * Undefined where there is none.
   * @throws ServiceError LastAdministrator rather than remove the last assignment of Administrator at `/` that somebody
   * holds who can sign in; AccessDenied
   */
  deleteAssignment(
    id: string,
    scope: Scope,
    change: AuthoredChange,
  ): Promise<RoleAssignment | undefined>;
}

/** Decides; denies on any error but an unreachable store. @throws ServiceError StoreUnavailable */
export interface Authorizer {
  /** By what is remembered of the principal's assignments, where it is. */
  isAllowed(principal: Principal, action: Action, scope: Scope): Promise<boolean>;
  /** By its assignments as they are now: before a refusal, so that a grant holds as soon as it has been acknowledged. */
  isAllowedNow(principal: Principal, action: Action, scope: Scope): Promise<boolean>;
}

/** Each change asks its author: @throws ServiceError AccessDenied; LastAdministrator where nobody could sign in any more who holds Administrator. */
export interface DirectoryStore {
  insertApplication(
    application: Application,
    change: AuthoredChange,
    certificates?: readonly CertificateCredential[],
  ): Promise<void>;
  findApplication(by: { id: string } | { appId: string }): Promise<Application | undefined>;
  listApplications(filter: DirectoryFilter, page: PageRequest): Promise<Page<Application>>;
  /** With its passwords, service principal and that principal's role assignments. False where there is none. */
  deleteApplication(id: string, change: AuthoredChange): Promise<boolean>;
  insertPassword(
    applicationId: string,
    password: PasswordCredential,
    change: AuthoredChange,
  ): Promise<void>;
  /** Without `change`'s record where nothing was removed: then false. */
  deletePassword(applicationId: string, keyId: string, change: AuthoredChange): Promise<boolean>;
  /** Oldest first. */
  listPasswords(applicationId: string): Promise<readonly PasswordCredential[]>;
  /** @throws ServiceError DirectoryObjectExists when the application has one already */
  insertServicePrincipal(principal: ServicePrincipal, change: AuthoredChange): Promise<void>;
  findServicePrincipal(
    by: { id: string } | { appId: string },
  ): Promise<ServicePrincipal | undefined>;
  listServicePrincipals(
    filter: DirectoryFilter,
    page: PageRequest,
  ): Promise<Page<ServicePrincipal>>;
  deleteServicePrincipal(id: string, change: AuthoredChange): Promise<boolean>;
}

/** The directory's token-signing keys: sealed RSA keys like any other, but not among the pool's keys. */
export interface SigningKeyStore {
  /** Newest first, at most two. */
  listSigningKeys(): Promise<readonly SigningKey[]>;
  /**
   * Puts a key after the newest, whose version is `after`, and takes away all before that one.
   * @returns false where another key has been put after it already
   */
  insertSigningKey(
    key: SigningKey,
    after: KeyVersionId | undefined,
    change: AuditedChange,
  ): Promise<boolean>;
}

export interface SigningKey {
  readonly material: KeyMaterial;
  readonly createdAt: Date;
}

/** Slow, salted hashing of client secrets. */
export interface SecretHasher {
  hash(secret: string): Promise<string>;
  verify(secret: string, hash: string, turn?: HashingTurn): Promise<boolean>;
}

/** Hashing is slow and few are done at once: those who wait take turns. */
export interface HashingTurn {
  /** Who waits. Each has a turn before another has its second one. */
  readonly of: string;
  /** Those who are known, since this secret of theirs was right before, go ahead of strangers. */
  readonly class: 'known' | 'stranger';
  /** Asked when the turn has come; rejects where nothing is to be computed any more. */
  begin(): Promise<void>;
}

export interface AuditTrail {
  /** Resolves once the record is durable. @throws ServiceError AuditUnavailable */
  append(record: AuditRecord): Promise<void>;
  /**
   * For what is told after the fact, such as an answer that was withheld since its record could not be written: it is
   * written once that is possible again. Nobody waits for it; at the end of the process it is tried once more.
   */
  appendLater(record: AuditRecord): void;
}

export interface AuditReader {
  /** Newest first, unless the filter says otherwise. */
  listEvents(filter: AuditFilter, page: PageRequest): Promise<Page<AuditEvent>>;
}

export interface Clock {
  readonly now: () => Date;
}

/**
 * What can't be undone goes by the store's clock, and not at all while that and this process's disagree: a clock that jumps
 * must not destroy.
 */
export interface AgreedClock {
  /** The store's time; undefined while the two disagree. @throws ServiceError StoreUnavailable */
  agreedTime(): Promise<Date | undefined>;
}

export interface PolicyReader {
  /** What these principals hold together: a caller and its groups. */
  policyOf(principalIds: readonly string[]): Promise<HeldPolicy>;
}

/** Tells what other processes and this one have changed. */
export interface ChangeFeed {
  /** Whether every change committed more than a second ago has been told: if not, caches must not be believed. */
  isCoherent(): boolean;
  /** Called at once for this process's own changes, and with 'everything' after a gap in the feed. */
  subscribe(listener: (change: StateChange | 'everything') => void): void;
}
