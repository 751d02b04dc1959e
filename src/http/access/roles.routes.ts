import { z } from 'zod';
import { action } from '../../core/access/actions.ts';
import { parseKeyName } from '../../core/keys/key.ts';
import { keyScope, type Scope } from '../../core/access/role.ts';
import type { RoleService } from '../../core/access/role-service.ts';
import type { RequestContext } from '../context.ts';
import { pageQuery, serializePage } from '../values/paging.ts';
import {
  parseAssignmentFilter,
  parseDefinitionFilter,
  serializeAssignment,
  serializeDefinition,
  PutAssignmentRequest,
  PutDefinitionRequest,
} from './roles.schema.ts';
import { route } from '../route.ts';
import type { Routes } from '../routes.ts';
import { text } from '../values/text.ts';

const PROVIDER = '/providers/Microsoft.Authorization';
type RawParams = Readonly<Record<string, string | undefined>>;

/** Where roles are managed: at the pool, at all keys, and at one key. Repeated slashes have been collapsed before. */
const PLACES: readonly { prefix: string; scope: (raw: RawParams) => Scope }[] = [
  { prefix: '', scope: () => '/' },
  { prefix: '/keys', scope: () => '/keys' },
  { prefix: '/keys/:key', scope: (raw) => keyScope(parseKeyName(raw['key'] ?? '')) },
];

/** Both lists fit one page in the live service; here a pool may have 100,000 assignments. */
const PAGE_LIMIT = 1000;
const ListQuery = z.object({ $filter: text(512).optional() }).and(pageQuery(PAGE_LIMIT));

export function addRoleRoutes(routes: Routes, roles: RoleService): void {
  const { authored } = routes.services;
  for (const place of PLACES) {
    const rest = `${place.prefix}${PROVIDER}`;
    const params = (raw: RawParams) => ({ scope: place.scope(raw), id: raw['id'] ?? '' });
    const scope = (read: { scope: Scope }) => read.scope;

    route(routes, {
      method: 'get',
      path: `${rest}/roleDefinitions`,
      operation: 'RoleDefinitionList',
      keyMaterial: 'none',
      action: action('roleDefinitions/read/action'),
      params,
      scope,
      key: null,
      query: ListQuery,
      handler: async ({ params: read, query, context }) => {
        const { $filter, ...page } = query;
        const found = await roles.listDefinitions(read.scope, parseDefinitionFilter($filter), page);
        const url = listUrl(context, read.scope, 'roleDefinitions');
        return serializePage(found, url, { $filter }, serializeDefinition);
      },
    });

    route(routes, {
      method: 'get',
      path: `${rest}/roleDefinitions/:id`,
      operation: 'RoleDefinitionGet',
      keyMaterial: 'none',
      action: action('roleDefinitions/read/action'),
      params,
      scope,
      key: null,
      handler: async ({ params: { id } }) => serializeDefinition(await roles.getDefinition(id)),
    });

    route(routes, {
      method: 'put',
      path: `${rest}/roleDefinitions/:id`,
      operation: 'RoleDefinitionWrite',
      keyMaterial: 'none',
      action: action('roleDefinitions/write/action'),
      params,
      scope,
      key: null,
      body: PutDefinitionRequest,
      status: 201,
      handler: async ({ params: { id, scope: at }, body, context }) =>
        serializeDefinition(
          await roles.putDefinition(id, at, body.properties, await authored(context)),
        ),
    });

    route(routes, {
      method: 'delete',
      path: `${rest}/roleDefinitions/:id`,
      operation: 'RoleDefinitionDelete',
      keyMaterial: 'none',
      action: action('roleDefinitions/delete/action'),
      params,
      scope,
      key: null,
      handler: async ({ params: { id, scope: at }, context }) =>
        serializeDefinition(await roles.deleteDefinition(id, at, await authored(context))),
    });

    route(routes, {
      method: 'get',
      path: `${rest}/roleAssignments`,
      operation: 'RoleAssignmentList',
      keyMaterial: 'none',
      action: action('roleAssignments/read/action'),
      params,
      scope,
      key: null,
      query: ListQuery,
      handler: async ({ params: read, query, context }) => {
        const { $filter, ...page } = query;
        const found = await roles.listAssignments(read.scope, parseAssignmentFilter($filter), page);
        const url = listUrl(context, read.scope, 'roleAssignments');
        return serializePage(found, url, { $filter }, serializeAssignment);
      },
    });

    route(routes, {
      method: 'get',
      path: `${rest}/roleAssignments/:id`,
      operation: 'RoleAssignmentGet',
      keyMaterial: 'none',
      action: action('roleAssignments/read/action'),
      params,
      scope,
      key: null,
      handler: async ({ params: read }) =>
        serializeAssignment(await roles.getAssignment(read.id, read.scope)),
    });

    route(routes, {
      method: 'put',
      path: `${rest}/roleAssignments/:id`,
      operation: 'RoleAssignmentCreate',
      keyMaterial: 'none',
      action: action('roleAssignments/write/action'),
      params,
      scope,
      key: null,
      body: PutAssignmentRequest,
      status: 201,
      handler: async ({ params: read, body, context }) =>
        serializeAssignment(
          await roles.putAssignment(read.id, read.scope, body.properties, await authored(context)),
        ),
    });

    route(routes, {
      method: 'delete',
      path: `${rest}/roleAssignments/:id`,
      operation: 'RoleAssignmentDelete',
      keyMaterial: 'none',
      action: action('roleAssignments/delete/action'),
      params,
      scope,
      key: null,
      handler: async ({ params: read, context }) =>
        serializeAssignment(
          await roles.deleteAssignment(read.id, read.scope, await authored(context)),
        ),
    });
  }
}

function listUrl({ host }: RequestContext, scope: Scope, list: string): string {
  return `https://${host.authority}${scope === '/' ? '' : scope}${PROVIDER}/${list}`;
}
