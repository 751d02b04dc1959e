import type { AuthoredChange } from '../access/authored-change.ts';
import type { Group, GroupMember, User, DirectoryFilter } from './directory.ts';
import type { UsersAndGroupsStore, ServicePrincipalEdit } from './ports.ts';
import { ServiceError } from '../errors.ts';
import type { Page, PageRequest } from '../paging.ts';
import { isGuid } from '../guid.ts';

export type UsersAndGroups = ReturnType<typeof createUsersAndGroups>;
export type RequestedUser = Omit<User, 'id'>;
/** What a change names; null takes away what is there. */
type Edit<Entry> = { readonly [Name in keyof Omit<Entry, 'id'>]?: Entry[Name] | null };

/** Graph gives no more groups of one object either. */
const GROUPS_LIMIT = 11_000;

/** Users and groups of the built-in directory. Who may is decided before. */
export function createUsersAndGroups(parts: {
  readonly store: UsersAndGroupsStore;
  readonly newGuid: () => string;
}) {
  const { store, newGuid } = parts;

  async function getUser(id: string): Promise<User> {
    return (await store.findUser(id)) ?? missing('user', id);
  }
  async function getGroup(id: string): Promise<Group> {
    return (await store.findGroup(id)) ?? missing('group', id);
  }

  return {
    getUser,
    getGroup,

    /** @throws ServiceError DirectoryObjectExists */
    async createUser(requested: RequestedUser, change: AuthoredChange): Promise<User> {
      const user: User = { id: newGuid(), ...requested };
      change.note({ change: { after: user } });
      await store.insertUser(user, change);
      return user;
    },

    listUsers: (filter: DirectoryFilter, page: PageRequest): Promise<Page<User>> =>
      store.listUsers(filter, page),

    /** By its id, or by its userPrincipalName in upper or lower case. @throws ServiceError DirectoryObjectNotFound */
    async findUserId(idOrName: string): Promise<string> {
      if (isGuid(idOrName)) return idOrName.toLowerCase();
      return (await store.findUserIdByName(idOrName)) ?? missing('user', idOrName);
    },

    /** A disabled user's tokens are refused from then on. @throws ServiceError DirectoryObjectNotFound, DirectoryObjectExists */
    async updateUser(id: string, edited: Edit<User>, change: AuthoredChange): Promise<void> {
      await getUser(id);
      if (isEmpty(edited)) return;
      const isThere = await store.updateUser(
        id,
        (before) => {
          const after = edit(before, edited);
          change.note({ change: { before, after } });
          return after;
        },
        change,
      );
      if (!isThere) missing('user', id);
    },

    /** @throws ServiceError DirectoryObjectNotFound, LastAdministrator */
    async deleteUser(id: string, change: AuthoredChange): Promise<void> {
      change.note({ change: { before: await getUser(id) } });
      if (!(await store.deleteUser(id, change))) missing('user', id);
    },

    async createGroup(requested: Omit<Group, 'id'>, change: AuthoredChange): Promise<Group> {
      const group: Group = { id: newGuid(), ...requested };
      change.note({ change: { after: group } });
      await store.insertGroup(group, change);
      return group;
    },

    listGroups: (filter: DirectoryFilter, page: PageRequest): Promise<Page<Group>> =>
      store.listGroups(filter, page),

    /** @throws ServiceError DirectoryObjectNotFound */
    async updateGroup(id: string, edited: Edit<Group>, change: AuthoredChange): Promise<void> {
      await getGroup(id);
      if (isEmpty(edited)) return;
      const isThere = await store.updateGroup(
        id,
        (before) => {
          const after = edit(before, edited);
          change.note({ change: { before, after } });
          return after;
        },
        change,
      );
      if (!isThere) missing('group', id);
    },

    /** @throws ServiceError DirectoryObjectNotFound, LastAdministrator */
    async deleteGroup(id: string, change: AuthoredChange): Promise<void> {
      change.note({ change: { before: await getGroup(id) } });
      if (!(await store.deleteGroup(id, change))) missing('group', id);
    },

    /** A member may be a user, a service principal or another group. @throws ServiceError DirectoryObjectNotFound, DirectoryObjectExists */
    async addMember(groupId: string, memberId: string, change: AuthoredChange): Promise<void> {
      await getGroup(groupId);
      change.note({ change: { after: { groupId, memberId } } });
      await store.insertMember(groupId, memberId, change);
    },

    findObjects: (ids: readonly string[]): Promise<readonly GroupMember[]> =>
      store.findObjects(ids),

    /** @throws ServiceError DirectoryObjectNotFound */
    async listMembers(groupId: string, page: PageRequest): Promise<Page<GroupMember>> {
      await getGroup(groupId);
      return store.listMembers(groupId, page);
    },

    /** @throws ServiceError DirectoryObjectNotFound */
    async removeMember(groupId: string, memberId: string, change: AuthoredChange): Promise<void> {
      change.note({ change: { before: { groupId, memberId } } });
      if (!(await store.deleteMember(groupId, memberId, change))) missing('member', memberId);
    },

    /**
     * The ids of the groups that the object is in, and of those that these are in.
     * @param kinds what it may be
     * @throws ServiceError DirectoryObjectNotFound, BadParameter where they are too many
     */
    async listGroupIdsOf(
      id: string,
      kinds: readonly GroupMember['kind'][],
    ): Promise<readonly string[]> {
      const [found] = await store.findObjects([id]);
      if (found === undefined || !kinds.includes(found.kind))
        missing(kinds.length === 1 ? (kinds[0] ?? '') : 'directory object', id);
      const groups = await store.listGroupIdsOf(id, GROUPS_LIMIT + 1);
      if (groups.length > GROUPS_LIMIT)
        throw new ServiceError(
          'BadParameter',
          `The object is in more than ${GROUPS_LIMIT} groups.`,
        );
      // A ring of groups leads back to itself.
      return groups.filter((group) => group !== id);
    },

    /** A disabled principal's tokens are refused from then on, those already issued too. @throws ServiceError DirectoryObjectNotFound */
    async updateServicePrincipal(
      id: string,
      edited: ServicePrincipalEdit,
      change: AuthoredChange,
    ): Promise<void> {
      change.note({ change: { after: { id, ...edited } } });
      const isThere = isEmpty(edited)
        ? (await store.findObjects([id])).some(({ kind }) => kind === 'servicePrincipal')
        : await store.updateServicePrincipal(id, edited, change);
      if (!isThere) missing('service principal', id);
    },
  };
}

function isEmpty(edited: object): boolean {
  return Object.keys(edited).length === 0;
}

function edit<Entry extends object>(before: Entry, edited: object): Entry {
  const members = Object.entries({ ...before, ...edited }).filter(([, value]) => value !== null);
  return Object.fromEntries(members) as Entry;
}

function missing(what: string, id: string): never {
  throw new ServiceError('DirectoryObjectNotFound', `There is no ${what} with the id ${id}.`);
}
