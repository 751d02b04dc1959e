import type { AuditedChange } from '../audit/record.ts';
import type { AuthoredChange } from '../access/authored-change.ts';
import type {
  Application,
  CertificateCredential,
  PasswordCredential,
  ServicePrincipal,
  DirectoryFilter,
} from './directory.ts';
import type { KeyMaterial, KeyVersionId } from '../keys/key.ts';
import type {
  DirectoryPrincipal,
  FederatedCredential,
  Group,
  GroupMember,
  User,
  UserIdentity,
} from './directory.ts';
import type { Page, PageRequest } from '../paging.ts';

/** Changes ask their author (AccessDenied) and commit with their audit record; each is published to every process. Finding gives undefined, removing false, for what isn't there. */
export interface UsersAndGroupsStore {
  /** @throws ServiceError DirectoryObjectExists when a name or an identity is taken */
  insertUser(user: User, change: AuthoredChange): Promise<void>;
  findUser(id: string): Promise<User | undefined>;
  findUserIdByName(userPrincipalName: string): Promise<string | undefined>;
  listUsers(filter: DirectoryFilter, page: PageRequest): Promise<Page<User>>;
  /**
   * @param edit all of it anew, from what it is at this moment: nobody else changes it meanwhile
   * @throws ServiceError DirectoryObjectExists
   */
  updateUser(id: string, edit: (present: User) => User, change: AuthoredChange): Promise<boolean>;
  /** With its memberships and role assignments. @throws ServiceError LastAdministrator */
  deleteUser(id: string, change: AuthoredChange): Promise<boolean>;

  insertGroup(group: Group, change: AuthoredChange): Promise<void>;
  findGroup(id: string): Promise<Group | undefined>;
  listGroups(filter: DirectoryFilter, page: PageRequest): Promise<Page<Group>>;
  /** @param edit all of it anew, from what it is at this moment: nobody else changes it meanwhile */
  updateGroup(
    id: string,
    edit: (present: Group) => Group,
    change: AuthoredChange,
  ): Promise<boolean>;
  /** With its members' membership and its role assignments. @throws ServiceError LastAdministrator */
  deleteGroup(id: string, change: AuthoredChange): Promise<boolean>;
  /** @throws ServiceError DirectoryObjectNotFound for a group or a member that isn't there, DirectoryObjectExists */
  insertMember(groupId: string, memberId: string, change: AuthoredChange): Promise<void>;
  listMembers(groupId: string, page: PageRequest): Promise<Page<GroupMember>>;
  deleteMember(groupId: string, memberId: string, change: AuthoredChange): Promise<boolean>;
  /** Those of the ids that are in the directory, whatever they are. */
  findObjects(ids: readonly string[]): Promise<readonly GroupMember[]>;

  /** Of the groups that a member is in, and of those that these are in. */
  listGroupIdsOf(memberId: string, limit: number): Promise<readonly string[]>;

  updateServicePrincipal(
    id: string,
    edited: ServicePrincipalEdit,
    change: AuthoredChange,
  ): Promise<boolean>;
}

/** What a change of a service principal names. */
export interface ServicePrincipalEdit {
  readonly displayName?: string;
  readonly enabled?: boolean;
}

/** Who a token's holder is, with its groups. */
export interface PrincipalReader {
  findPrincipal(
    by: { readonly id: string } | UserIdentity,
  ): Promise<DirectoryPrincipal | undefined>;
  /** Those of the ids that are users, service principals or groups of the directory. */
  findOwnIds(ids: readonly string[]): Promise<readonly string[]>;
}

/** Credentials of applications that are no secrets. Changes ask their author: @throws ServiceError AccessDenied, LastAdministrator */
export interface CredentialStore {
  listCertificates(applicationId: string): Promise<readonly CertificateCredential[]>;
  /**
   * What is named is replaced, certificates all at once; a new name is its service principal's as well.
   * @throws ServiceError DirectoryObjectNotFound
   */
  updateApplication(
    applicationId: string,
    edited: {
      readonly displayName?: string;
      readonly certificates?: readonly CertificateCredential[];
    },
    change: AuthoredChange,
  ): Promise<void>;
  listFederated(applicationId: string): Promise<readonly FederatedCredential[]>;
  /** @throws ServiceError DirectoryObjectNotFound, DirectoryObjectExists */
  insertFederated(
    applicationId: string,
    credential: FederatedCredential,
    change: AuthoredChange,
  ): Promise<void>;
  deleteFederated(applicationId: string, id: string, change: AuthoredChange): Promise<boolean>;
  /** Somebody has signed in with it: from now on it counts as a way in. Without effect where it isn't there any more. */
  noteFederatedUse(applicationId: string, id: string): Promise<void>;
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
export interface TokenSigningKeyStore {
  /** Newest first, at most two. */
  listSigningKeys(): Promise<readonly TokenSigningKey[]>;
  /**
   * Puts a key after the newest, whose version is `after`, and takes away all before that one.
   * @returns false where another key has been put after it already
   */
  insertSigningKey(
    key: TokenSigningKey,
    after: KeyVersionId | undefined,
    change: AuditedChange,
  ): Promise<boolean>;
}

export interface TokenSigningKey {
  readonly material: KeyMaterial;
  readonly createdAt: Date;
}

/** Slow, salted hashing of client secrets. */
export interface SecretHasher {
  hash(secret: string): Promise<string>;
  verify(secret: string, hash: string, ticket?: HashingTicket): Promise<boolean>;
}

/** A place in the fair queue before the hasher: hashing is slow, and only a few secrets are hashed at once. */
export interface HashingTicket {
  /** Who waits. Each of them is served once before anyone is served twice. */
  readonly of: string;
  /** Those who are known, since this secret of theirs was right before, go ahead of strangers. */
  readonly class: 'known' | 'stranger';
  /** Called when the work may begin; rejects where nothing is to be computed any more. */
  begin(): Promise<void>;
}
