import { z } from 'zod';
import type { GroupService } from '../../core/resources/group-service.ts';
import type { ResourceGroup } from '../../core/resources/managed-hsm.ts';
import { parseLocation } from '../../core/resources/names.ts';
import { groupScope, subscriptionScope } from '../../core/resources/scope.ts';
import { parseResourceTags } from '../../core/resources/tags.ts';
import { WithHeaders } from '../send.ts';
import { optional } from '../values/optional.ts';
import { text } from '../values/text.ts';
import { parseArmFilter } from './arm-filter.ts';
import { ArmListQuery, serializeArmPage } from './arm-list.ts';
import { type ControlRoutes, controlRoute, rightsOf } from './control-route.ts';
import {
  GROUP,
  type GroupParams,
  groupPath,
  readGroup,
  readSubscription,
  SUBSCRIPTION,
} from './resource-path.ts';

const provider = 'Microsoft.Resources';
const READ = 'Microsoft.Resources/subscriptions/resourceGroups/read';

const PutGroupRequest = z.object({
  location: text(128),
  tags: optional(z.record(text(512), text(256))),
});

export function addGroupRoutes(control: ControlRoutes, groups: GroupService): void {
  const scope = ({ subscriptionId, groupName }: GroupParams) =>
    groupScope(subscriptionId, groupName);

  controlRoute(control, {
    method: 'get',
    path: `${SUBSCRIPTION}/resourceGroups`,
    operation: 'ResourceGroupList',
    action: READ,
    provider,
    params: readSubscription,
    scope: ({ subscriptionId }) => subscriptionScope(subscriptionId),
    isList: true,
    query: ArmListQuery,
    handler: async ({ params: { subscriptionId }, query, context }) => {
      const { tagName, tagValue } = parseArmFilter(query.filter, ['tagName', 'tagValue']);
      const rights = await rightsOf(control, context);
      const page = await groups.list(subscriptionId, query);
      return serializeArmPage(
        page,
        { path: `/subscriptions/${subscriptionId}/resourceGroups`, context, query },
        ({ name, tags }) => {
          const at = groupScope(subscriptionId, name);
          return (
            (rights.isAllowed(READ, at) || rights.holdsWithin(at)) &&
            (tagName === undefined || tagName in tags) &&
            (tagValue === undefined || tags[tagName ?? ''] === tagValue)
          );
        },
        serializeGroup,
      );
    },
  });

  controlRoute(control, {
    method: 'head',
    path: GROUP,
    operation: 'ResourceGroupGet',
    action: READ,
    provider,
    params: readGroup,
    scope,
    status: 204,
    handler: async ({ params }) => {
      const found = await groups.find(params.subscriptionId, params.groupName);
      return found === undefined ? new WithHeaders(undefined, [], 404) : undefined;
    },
  });

  controlRoute(control, {
    method: 'get',
    path: GROUP,
    operation: 'ResourceGroupGet',
    action: READ,
    provider,
    params: readGroup,
    scope,
    handler: async ({ params }) =>
      serializeGroup(await groups.get(params.subscriptionId, params.groupName)),
  });

  controlRoute(control, {
    method: 'put',
    path: GROUP,
    operation: 'ResourceGroupWrite',
    action: 'Microsoft.Resources/subscriptions/resourceGroups/write',
    provider,
    params: readGroup,
    scope,
    body: PutGroupRequest,
    handler: async ({ params, body, context }) => {
      const written = {
        location: parseLocation(body.location),
        tags: parseResourceTags(body.tags ?? {}),
      };
      const { group, isNew } = await groups.put(
        params.subscriptionId,
        params.groupName,
        written,
        context.audit,
      );
      return new WithHeaders(serializeGroup(group), [], isNew ? 201 : 200);
    },
  });

  controlRoute(control, {
    method: 'delete',
    path: GROUP,
    operation: 'ResourceGroupDelete',
    action: 'Microsoft.Resources/subscriptions/resourceGroups/delete',
    provider,
    params: readGroup,
    scope,
    handler: ({ params, context }) =>
      groups.delete(params.subscriptionId, params.groupName, context.audit),
  });
}

function serializeGroup(group: ResourceGroup) {
  const { subscriptionId, name, location, tags } = group;
  return {
    id: groupPath({ subscriptionId, groupName: name }),
    name,
    type: 'Microsoft.Resources/resourceGroups',
    location,
    tags,
    properties: { provisioningState: 'Succeeded' },
  };
}
