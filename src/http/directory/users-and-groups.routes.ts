import { type Router } from 'express';
import { z } from 'zod';
import { type UsersAndGroups } from '../../core/directory/users-and-groups.ts';
import { parseGuid } from '../../core/access/role.ts';
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
import { route, type RouteDefinition, type RouteServices } from '../route.ts';

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
export function addUsersAndGroupsRoutes(
  router: Router,
  services: RouteServices,
  usersAndGroups: UsersAndGroups,
): void {
  const add = <Params, Query = undefined, Body = undefined>(
    definition: RouteDefinition<Params, Query, Body>,
  ) => {
    route(router, services, definition);
  };

  add({
    method: 'post',
    path: '/v1.0/users',
    operation: 'UserCreate',
    action: WRITE,
    ...whole,
    body: CreateUserRequest,
    status: 201,
    handler: async ({ body, context }) =>
      serializeUser(await usersAndGroups.createUser(body, await services.authored(context))),
  });

  add({
    method: 'get',
    path: '/v1.0/users',
    operation: 'UserList',
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

  add({
    method: 'get',
    path: '/v1.0/users/:user',
    operation: 'UserGet',
    action: READ,
    ...oneUser,
    handler: async ({ params: { user } }) =>
      serializeUser(await usersAndGroups.getUser(await usersAndGroups.findUserId(user))),
  });

  add({
    method: 'patch',
    path: '/v1.0/users/:user',
    operation: 'UserUpdate',
    action: WRITE,
    ...oneUser,
    body: UpdateUserRequest,
    status: 204,
    handler: async ({ params: { user }, body, context }) =>
      usersAndGroups.updateUser(
        await usersAndGroups.findUserId(user),
        body,
        await services.authored(context),
      ),
  });

  add({
    method: 'delete',
    path: '/v1.0/users/:user',
    operation: 'UserDelete',
    action: WRITE,
    ...oneUser,
    status: 204,
    handler: async ({ params: { user }, context }) =>
      usersAndGroups.deleteUser(
        await usersAndGroups.findUserId(user),
        await services.authored(context),
      ),
  });

  add({
    method: 'post',
    path: '/v1.0/directoryObjects/getByIds',
    operation: 'DirectoryObjectGetByIds',
    action: READ,
    ...whole,
    body: GetByIdsRequest,
    handler: async ({ body: { ids } }) => ({
      value: (await usersAndGroups.findObjects(ids)).map(serializeMember),
    }),
  });

  add({
    method: 'patch',
    path: '/v1.0/servicePrincipals/:id',
    operation: 'ServicePrincipalUpdate',
    action: WRITE,
    ...one,
    body: UpdateServicePrincipalRequest,
    status: 204,
    handler: async ({ params: { id }, body, context }) =>
      usersAndGroups.updateServicePrincipal(id, body, await services.authored(context)),
  });

  add({
    method: 'post',
    path: '/v1.0/groups',
    operation: 'GroupCreate',
    action: WRITE,
    ...whole,
    body: CreateGroupRequest,
    status: 201,
    handler: async ({ body, context }) =>
      serializeGroup(await usersAndGroups.createGroup(body, await services.authored(context))),
  });

  add({
    method: 'get',
    path: '/v1.0/groups',
    operation: 'GroupList',
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

  add({
    method: 'get',
    path: '/v1.0/groups/:id',
    operation: 'GroupGet',
    action: READ,
    ...one,
    handler: async ({ params: { id } }) => serializeGroup(await usersAndGroups.getGroup(id)),
  });

  add({
    method: 'patch',
    path: '/v1.0/groups/:id',
    operation: 'GroupUpdate',
    action: WRITE,
    ...one,
    body: UpdateGroupRequest,
    status: 204,
    handler: async ({ params: { id }, body, context }) =>
      usersAndGroups.updateGroup(id, body, await services.authored(context)),
  });

  add({
    method: 'delete',
    path: '/v1.0/groups/:id',
    operation: 'GroupDelete',
    action: WRITE,
    ...one,
    status: 204,
    handler: async ({ params: { id }, context }) =>
      usersAndGroups.deleteGroup(id, await services.authored(context)),
  });

  add({
    method: 'get',
    path: '/v1.0/groups/:id/members',
    operation: 'GroupMemberList',
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

  add({
    method: 'post',
    path: '/v1.0/groups/:id/members/$ref',
    operation: 'GroupMemberAdd',
    action: WRITE,
    ...one,
    body: MemberReference,
    status: 204,
    handler: async ({ params: { id }, body, context }) =>
      usersAndGroups.addMember(id, body, await services.authored(context)),
  });

  add({
    method: 'delete',
    path: '/v1.0/groups/:id/members/:memberId/$ref',
    operation: 'GroupMemberRemove',
    action: WRITE,
    scope: () => '/',
    key: null,
    params: (raw) => ({
      id: parseGuid('The object id', raw['id'] ?? ''),
      memberId: parseGuid('The object id', raw['memberId'] ?? ''),
    }),
    status: 204,
    handler: async ({ params: { id, memberId }, context }) =>
      usersAndGroups.removeMember(id, memberId, await services.authored(context)),
  });
}
