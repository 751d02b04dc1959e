import { z } from 'zod';
import type { UsersAndGroups } from '../../core/directory/users-and-groups.ts';
import { parseGuid } from '../../core/guid.ts';
import { GROUPS, parseDirectoryFilter, USERS } from './directory-filter.ts';
import { asOdata, ListQuery, one, PAGE_LIMIT, READ, whole, WRITE } from './directory.routes.ts';
import { UpdateServicePrincipalRequest } from './directory.schema.ts';
import { displayName } from './display-name.ts';
import { pageQuery, serializePage } from '../values/paging.ts';
import {
  CreateGroupRequest,
  CreateUserRequest,
  GetByIdsRequest,
  MemberReference,
  serializeGroup,
  serializeMember,
  serializeUser,
  UpdateGroupRequest,
  UpdateUserRequest,
} from './users-and-groups.schema.ts';
import { route } from '../route.ts';
import type { Routes } from '../routes.ts';

/** Better refused than passed over: the response would hold more than was asked for. */
const unfiltered = z
  .custom<never>(() => false, { error: 'cannot be used with members' })
  .optional();

/** A user's id or userPrincipalName. */
export const oneUser = {
  params: (raw: Readonly<Record<string, string | undefined>>) => {
    const user = raw['user'] ?? '';
    return {
      user:
        displayName.safeParse(user).success && user.includes('@')
          ? user
          : parseGuid('The object id', user),
    };
  },
  scope: () => '/' as const,
  key: null,
};

/** Users, groups and members in the shapes of Microsoft Graph v1.0. */
export function addUsersAndGroupsRoutes(routes: Routes, usersAndGroups: UsersAndGroups): void {
  const { authored } = routes.services;
  route(routes, {
    method: 'post',
    path: '/users',
    operation: 'UserCreate',
    keyMaterial: 'none',
    action: WRITE,
    ...whole,
    body: CreateUserRequest,
    status: 201,
    handler: async ({ body, context }) =>
      serializeUser(await usersAndGroups.createUser(body, await authored(context))),
  });

  route(routes, {
    method: 'get',
    path: '/users',
    operation: 'UserList',
    keyMaterial: 'none',
    action: READ,
    ...whole,
    query: ListQuery,
    handler: async ({ query: { $filter, ...page }, context }) =>
      asOdata(
        serializePage(
          await usersAndGroups.listUsers(parseDirectoryFilter($filter, USERS), page),
          `https://${context.host.authority}/v1.0/users`,
          { $filter },
          serializeUser,
        ),
      ),
  });

  route(routes, {
    method: 'get',
    path: '/users/:user',
    operation: 'UserGet',
    keyMaterial: 'none',
    action: READ,
    ...oneUser,
    handler: async ({ params: { user } }) =>
      serializeUser(await usersAndGroups.getUser(await usersAndGroups.findUserId(user))),
  });

  route(routes, {
    method: 'patch',
    path: '/users/:user',
    operation: 'UserUpdate',
    keyMaterial: 'none',
    action: WRITE,
    ...oneUser,
    body: UpdateUserRequest,
    status: 204,
    handler: async ({ params: { user }, body, context }) =>
      usersAndGroups.updateUser(
        await usersAndGroups.findUserId(user),
        body,
        await authored(context),
      ),
  });

  route(routes, {
    method: 'delete',
    path: '/users/:user',
    operation: 'UserDelete',
    keyMaterial: 'none',
    action: WRITE,
    ...oneUser,
    status: 204,
    handler: async ({ params: { user }, context }) =>
      usersAndGroups.deleteUser(await usersAndGroups.findUserId(user), await authored(context)),
  });

  route(routes, {
    method: 'post',
    path: '/directoryObjects/getByIds',
    operation: 'DirectoryObjectGetByIds',
    keyMaterial: 'none',
    action: READ,
    ...whole,
    body: GetByIdsRequest,
    handler: async ({ body: { ids } }) => ({
      value: (await usersAndGroups.findObjects(ids)).map(serializeMember),
    }),
  });

  route(routes, {
    method: 'patch',
    path: '/servicePrincipals/:id',
    operation: 'ServicePrincipalUpdate',
    keyMaterial: 'none',
    action: WRITE,
    ...one,
    body: UpdateServicePrincipalRequest,
    status: 204,
    handler: async ({ params: { id }, body, context }) =>
      usersAndGroups.updateServicePrincipal(id, body, await authored(context)),
  });

  route(routes, {
    method: 'post',
    path: '/groups',
    operation: 'GroupCreate',
    keyMaterial: 'none',
    action: WRITE,
    ...whole,
    body: CreateGroupRequest,
    status: 201,
    handler: async ({ body, context }) =>
      serializeGroup(await usersAndGroups.createGroup(body, await authored(context))),
  });

  route(routes, {
    method: 'get',
    path: '/groups',
    operation: 'GroupList',
    keyMaterial: 'none',
    action: READ,
    ...whole,
    query: ListQuery,
    handler: async ({ query: { $filter, ...page }, context }) =>
      asOdata(
        serializePage(
          await usersAndGroups.listGroups(parseDirectoryFilter($filter, GROUPS), page),
          `https://${context.host.authority}/v1.0/groups`,
          { $filter },
          serializeGroup,
        ),
      ),
  });

  route(routes, {
    method: 'get',
    path: '/groups/:id',
    operation: 'GroupGet',
    keyMaterial: 'none',
    action: READ,
    ...one,
    handler: async ({ params: { id } }) => serializeGroup(await usersAndGroups.getGroup(id)),
  });

  route(routes, {
    method: 'patch',
    path: '/groups/:id',
    operation: 'GroupUpdate',
    keyMaterial: 'none',
    action: WRITE,
    ...one,
    body: UpdateGroupRequest,
    status: 204,
    handler: async ({ params: { id }, body, context }) =>
      usersAndGroups.updateGroup(id, body, await authored(context)),
  });

  route(routes, {
    method: 'delete',
    path: '/groups/:id',
    operation: 'GroupDelete',
    keyMaterial: 'none',
    action: WRITE,
    ...one,
    status: 204,
    handler: async ({ params: { id }, context }) =>
      usersAndGroups.deleteGroup(id, await authored(context)),
  });

  route(routes, {
    method: 'get',
    path: '/groups/:id/members',
    operation: 'GroupMemberList',
    keyMaterial: 'none',
    action: READ,
    ...one,
    query: z.object({ $filter: unfiltered }).and(pageQuery(PAGE_LIMIT)),
    handler: async ({ params: { id }, query: page, context }) =>
      asOdata(
        serializePage(
          await usersAndGroups.listMembers(id, page),
          `https://${context.host.authority}/v1.0/groups/${id}/members`,
          {},
          serializeMember,
        ),
      ),
  });

  route(routes, {
    method: 'post',
    path: '/groups/:id/members/$ref',
    operation: 'GroupMemberAdd',
    keyMaterial: 'none',
    action: WRITE,
    ...one,
    body: MemberReference,
    status: 204,
    handler: async ({ params: { id }, body, context }) =>
      usersAndGroups.addMember(id, body, await authored(context)),
  });

  route(routes, {
    method: 'delete',
    path: '/groups/:id/members/:memberId/$ref',
    operation: 'GroupMemberRemove',
    keyMaterial: 'none',
    action: WRITE,
    scope: () => '/',
    key: null,
    params: (raw) => ({
      id: parseGuid('The object id', raw['id'] ?? ''),
      memberId: parseGuid('The object id', raw['memberId'] ?? ''),
    }),
    status: 204,
    handler: async ({ params: { id, memberId }, context }) =>
      usersAndGroups.removeMember(id, memberId, await authored(context)),
  });
}
