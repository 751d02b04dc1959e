import { z } from 'zod';
import type { Action } from '../../core/access/actions.ts';
import type { CredentialService } from '../../core/directory/credential-service.ts';
import type { DirectoryService } from '../../core/directory/directory-service.ts';
import { parseGuid } from '../../core/guid.ts';
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
import { route } from '../route.ts';
import type { Routes } from '../routes.ts';
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
  routes: Routes,
  directory: DirectoryService,
  credentials: Pick<CredentialService, 'listCertificates' | 'newCertificates'>,
): void {
  const { authored } = routes.services;
  route(routes, {
    method: 'post',
    path: '/applications',
    operation: 'ApplicationCreate',
    keyMaterial: 'none',
    action: WRITE,
    ...whole,
    body: CreateApplicationRequest,
    status: 201,
    handler: async ({ body, context }) => {
      const certificates = credentials.newCertificates(body.keyCredentials);
      return serializeApplication(
        await directory.createApplication(body.displayName, await authored(context), certificates),
        [],
        certificates,
      );
    },
  });

  route(routes, {
    method: 'get',
    path: '/applications',
    operation: 'ApplicationList',
    keyMaterial: 'none',
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

  route(routes, {
    method: 'get',
    path: '/applications/:id',
    operation: 'ApplicationGet',
    keyMaterial: 'none',
    action: READ,
    ...one,
    handler: async ({ params: { id } }) =>
      serializeApplication(
        await directory.getApplication(id),
        await directory.listPasswords(id),
        await credentials.listCertificates(id),
      ),
  });

  route(routes, {
    method: 'delete',
    path: '/applications/:id',
    operation: 'ApplicationDelete',
    keyMaterial: 'none',
    action: WRITE,
    ...one,
    status: 204,
    handler: async ({ params: { id }, context }) =>
      directory.deleteApplication(id, await authored(context)),
  });

  route(routes, {
    method: 'post',
    path: '/applications/:id/addPassword',
    operation: 'ApplicationPasswordAdd',
    keyMaterial: 'credential',
    action: WRITE,
    ...one,
    body: AddPasswordRequest,
    handler: async ({ params: { id }, body, context }) => {
      const { password, secret } = await directory.addPassword(
        id,
        body.passwordCredential,
        await authored(context),
      );
      return { ...serializePassword(password), secretText: secret };
    },
  });

  route(routes, {
    method: 'post',
    path: '/applications/:id/removePassword',
    operation: 'ApplicationPasswordRemove',
    keyMaterial: 'none',
    action: WRITE,
    ...one,
    body: RemovePasswordRequest,
    status: 204,
    handler: async ({ params: { id }, body, context }) =>
      directory.removePassword(
        id,
        parseGuid('Property keyId', body.keyId),
        await authored(context),
      ),
  });

  route(routes, {
    method: 'post',
    path: '/servicePrincipals',
    operation: 'ServicePrincipalCreate',
    keyMaterial: 'none',
    action: WRITE,
    ...whole,
    body: CreateServicePrincipalRequest,
    status: 201,
    handler: async ({ body, context }) =>
      serializeServicePrincipal(
        await directory.createServicePrincipal(
          parseGuid('Property appId', body.appId),
          await authored(context),
          body.accountEnabled,
        ),
      ),
  });

  route(routes, {
    method: 'get',
    path: '/servicePrincipals',
    operation: 'ServicePrincipalList',
    keyMaterial: 'none',
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

  route(routes, {
    method: 'get',
    path: '/servicePrincipals/:id',
    operation: 'ServicePrincipalGet',
    keyMaterial: 'none',
    action: READ,
    ...one,
    handler: async ({ params: { id } }) =>
      serializeServicePrincipal(await directory.getServicePrincipal(id)),
  });

  route(routes, {
    method: 'delete',
    path: '/servicePrincipals/:id',
    operation: 'ServicePrincipalDelete',
    keyMaterial: 'none',
    action: WRITE,
    ...one,
    status: 204,
    handler: async ({ params: { id }, context }) =>
      directory.deleteServicePrincipal(id, await authored(context)),
  });
}

/** Graph names the link of the next page as OData does. */
export function asOdata({ nextLink, value }: { nextLink: NextLink | undefined; value: unknown[] }) {
  return { '@odata.nextLink': nextLink, value };
}
