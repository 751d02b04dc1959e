import { type AuthoredChange } from './authored-change.ts';
import { type Group, type GroupMember, type User, type DirectoryFilter } from './directory.ts';
import { type PeopleStore } from './directory-ports.ts';
import { ServiceError } from './errors.ts';
import { type Page, type PageRequest } from './ports.ts';

export type PeopleService = ReturnType<typeof createPeopleService>;
export type RequestedUser = Omit<User, 'id'>;

/** Users and groups of the built-in directory. Who may is decided before. */
export function createPeopleService(parts: {
  readonly store: PeopleStore;
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

    listUsers: (filter: Omit<DirectoryFilter, 'appId'>, page: PageRequest): Promise<Page<User>> =>
      store.listUsers(filter, page),

    /** A disabled user's tokens are refused from then on. @throws ServiceError DirectoryObjectNotFound, DirectoryObjectExists */
    async updateUser(
      id: string,
      edited: Partial<RequestedUser>,
      change: AuthoredChange,
    ): Promise<void> {
      const before = await getUser(id);
      const after: User = { ...before, ...edited };
      change.note({ change: { before, after } });
      if (!(await store.updateUser(after, change))) missing('user', id);
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

    listGroups: (filter: Omit<DirectoryFilter, 'appId'>, page: PageRequest): Promise<Page<Group>> =>
      store.listGroups(filter, page),

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

    /** A disabled principal's tokens are refused from then on, those already issued too. @throws ServiceError DirectoryObjectNotFound */
    async enableServicePrincipal(
      id: string,
      enabled: boolean,
      change: AuthoredChange,
    ): Promise<void> {
      change.note({ change: { after: { id, enabled } } });
      if (!(await store.setServicePrincipalEnabled(id, enabled, change)))
        missing('service principal', id);
    },
  };
}

function missing(what: string, id: string): never {
  throw new ServiceError('DirectoryObjectNotFound', `There is no ${what} with the id ${id}.`);
}
