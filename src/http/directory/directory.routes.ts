import { type Router } from 'express';
import { z } from 'zod';
import { type Action } from '../../core/access/actions.ts';
import { type CredentialService } from '../../core/directory/credential-service.ts';
import { type DirectoryService } from '../../core/directory/directory-service.ts';
import { parseGuid } from '../../core/access/role.ts';
import { APPLICATIONS, parseDirectoryFilter, SERVICE_PRINCIPALS } from './directory-filter.ts';
import {
  AddPasswordRequest,
  CreateApplicationRequest,
  CreateServicePrincipalRequest,
  serializeApplication,
  serializePassword,
  serializeServicePrincipal,
  RemovePasswordRequest,
} from './directory.schema.ts';
import { type NextLink, pageQuery, serializePage } from '../values/paging.ts';
import { route, type RouteDefinition, type RouteServices } from '../route.ts';
import { text } from '../values/text.ts';

export const READ: Action = 'Strongroom/directory/read/action';
export const WRITE: Action = 'Strongroom/directory/write/action';
/** Graph's own page size. */
export const PAGE_LIMIT = 100;

export const ListQuery = z.object({ $filter: text(512).optional() }).and(pageQuery(PAGE_LIMIT));
const idOf = (raw: Readonly<Record<string, string | undefined>>) => ({
  id: parseGuid('The object id', raw['id'] ?? ''),
});
export const whole = { params: () => ({}), scope: () => '/' as const, key: null };
export const one = { params: idOf, scope: () => '/' as const, key: null };

/** The built-in directory in the shapes of Microsoft Graph v1.0. */
export function addDirectoryRoutes(
  router: Router,
  services: RouteServices,
  directory: DirectoryService,
  credentials: Pick<CredentialService, 'listCertificates' | 'newCertificates'>,
): void {
  const add = <Params, Query = undefined, Body = undefined>(
    definition: RouteDefinition<Params, Query, Body>,
  ) => {
    route(router, services, definition);
  };

  add({
    method: 'post',
    path: '/v1.0/applications',
    operation: 'ApplicationCreate',
    action: WRITE,
    ...whole,
    body: CreateApplicationRequest,
    status: 201,
    handler: async ({ body, context }) => {
      const certificates = credentials.newCertificates(body.keyCredentials);
      return serializeApplication(
        await directory.createApplication(
          body.displayName,
          await services.authored(context),
          certificates,
        ),
        [],
        certificates,
      );
    },
  });

  add({
    method: 'get',
    path: '/v1.0/applications',
    operation: 'ApplicationList',
    action: READ,
    ...whole,
    query: ListQuery,
    handler: async ({ query: { $filter, ...page }, context }) =>
      asOdata(
        serializePage(
          await directory.listApplications(parseDirectoryFilter($filter, APPLICATIONS), page),
          `https://${context.host.authority}/v1.0/applications`,
          { $filter },
          (application) => serializeApplication(application, []),
        ),
      ),
  });

  add({
    method: 'get',
    path: '/v1.0/applications/:id',
    operation: 'ApplicationGet',
    action: READ,
    ...one,
    handler: async ({ params: { id } }) =>
      serializeApplication(
        await directory.getApplication(id),
        await directory.listPasswords(id),
        await credentials.listCertificates(id),
      ),
  });

  add({
    method: 'delete',
    path: '/v1.0/applications/:id',
    operation: 'ApplicationDelete',
    action: WRITE,
    ...one,
    status: 204,
    handler: async ({ params: { id }, context }) =>
      directory.deleteApplication(id, await services.authored(context)),
  });

  add({
    method: 'post',
    path: '/v1.0/applications/:id/addPassword',
    operation: 'ApplicationPasswordAdd',
    action: WRITE,
    ...one,
    body: AddPasswordRequest,
    handler: async ({ params: { id }, body, context }) => {
      const { password, secret } = await directory.addPassword(
        id,
        body.passwordCredential,
        await services.authored(context),
      );
      return { ...serializePassword(password), secretText: secret };
    },
  });

  add({
    method: 'post',
    path: '/v1.0/applications/:id/removePassword',
    operation: 'ApplicationPasswordRemove',
    action: WRITE,
    ...one,
    body: RemovePasswordRequest,
    status: 204,
    handler: async ({ params: { id }, body, context }) =>
      directory.removePassword(
        id,
        parseGuid('Property keyId', body.keyId),
        await services.authored(context),
      ),
  });

  add({
    method: 'post',
    path: '/v1.0/servicePrincipals',
    operation: 'ServicePrincipalCreate',
    action: WRITE,
    ...whole,
    body: CreateServicePrincipalRequest,
    status: 201,
    handler: async ({ body, context }) =>
      serializeServicePrincipal(
        await directory.createServicePrincipal(
          parseGuid('Property appId', body.appId),
          await services.authored(context),
          body.accountEnabled,
        ),
      ),
  });

  add({
    method: 'get',
    path: '/v1.0/servicePrincipals',
    operation: 'ServicePrincipalList',
    action: READ,
    ...whole,
    query: ListQuery,
    handler: async ({ query: { $filter, ...page }, context }) =>
      asOdata(
        serializePage(
          await directory.listServicePrincipals(
            parseDirectoryFilter($filter, SERVICE_PRINCIPALS),
            page,
          ),
          `https://${context.host.authority}/v1.0/servicePrincipals`,
          { $filter },
          serializeServicePrincipal,
        ),
      ),
  });

  add({
    method: 'get',
    path: '/v1.0/servicePrincipals/:id',
    operation: 'ServicePrincipalGet',
    action: READ,
    ...one,
    handler: async ({ params: { id } }) =>
      serializeServicePrincipal(await directory.getServicePrincipal(id)),
  });

  add({
    method: 'delete',
    path: '/v1.0/servicePrincipals/:id',
    operation: 'ServicePrincipalDelete',
    action: WRITE,
    ...one,
    status: 204,
    handler: async ({ params: { id }, context }) =>
      directory.deleteServicePrincipal(id, await services.authored(context)),
  });
}

/** Graph names the link of the next page as OData does. */
export function asOdata({ nextLink, value }: { nextLink?: NextLink; value: unknown[] }) {
  return { ...(nextLink !== undefined && { '@odata.nextLink': nextLink }), value };
}
