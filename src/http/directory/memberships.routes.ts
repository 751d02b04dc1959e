import type { z } from 'zod';
import type { GroupMember } from '../../core/directory/directory.ts';
import type { UsersAndGroups } from '../../core/directory/users-and-groups.ts';
import { one, READ } from './directory.routes.ts';
import {
  CheckMemberGroupsRequest,
  CheckMemberObjectsRequest,
  GetMemberGroupsRequest,
} from './users-and-groups.schema.ts';
import { oneUser } from './users-and-groups.routes.ts';
import { route } from '../route.ts';
import type { Routes } from '../routes.ts';

type Kinds = readonly GroupMember['kind'][];
const KINDS = {
  directoryObjects: ['user', 'servicePrincipal', 'group'],
  groups: ['group'],
  servicePrincipals: ['servicePrincipal'],
} as const satisfies Record<string, Kinds>;

/** The groups that are given, of those that the object is in: all, or those of a list. */
type Choose<Body> = (held: readonly string[], body: Body) => readonly string[];
const all: Choose<unknown> = (held) => held;
const named: Choose<readonly string[]> = (held, ids) => {
  const sought = new Set(ids);
  return held.filter((id) => sought.has(id));
};

/** Which groups an object is in, groups within groups too, in the shapes of Microsoft Graph v1.0. */
export function addMembershipRoutes(routes: Routes, usersAndGroups: UsersAndGroups): void {
  function add<Body>(name: string, operation: string, body: z.ZodType<Body>, choose: Choose<Body>) {
    const respond = async (id: string, kinds: Kinds, asked: Body) => ({
      value: choose(await usersAndGroups.listGroupIdsOf(id, kinds), asked),
    });
    for (const [list, kinds] of Object.entries(KINDS))
      route(routes, {
        method: 'post',
        path: `/${list}/:id/${name}`,
        operation,
        keyMaterial: 'none',
        action: READ,
        ...one,
        body,
        handler: ({ params: { id }, body: asked }) => respond(id, kinds, asked),
      });
    route(routes, {
      method: 'post',
      path: `/users/:user/${name}`,
      operation,
      keyMaterial: 'none',
      action: READ,
      ...oneUser,
      body,
      handler: async ({ params: { user }, body: asked }) =>
        respond(await usersAndGroups.findUserId(user), ['user'], asked),
    });
  }

  add('getMemberGroups', 'MemberGroupList', GetMemberGroupsRequest, all);
  add('checkMemberGroups', 'MemberGroupCheck', CheckMemberGroupsRequest, named);
  // Groups are all that anything here is a member of.
  add('getMemberObjects', 'MemberObjectList', GetMemberGroupsRequest, all);
  add('checkMemberObjects', 'MemberObjectCheck', CheckMemberObjectsRequest, named);
}
