import type { CredentialService } from '../../core/directory/credential-service.ts';
import { parseGuid } from '../../core/guid.ts';
import { CreateFederatedRequest, serializeFederated } from './credentials.schema.ts';
import { one, READ, WRITE } from './directory.routes.ts';
import { UpdateApplicationRequest } from './directory.schema.ts';
import { route } from '../route.ts';
import type { Routes } from '../routes.ts';

const PATH = '/applications/:id/federatedIdentityCredentials';
const credentialOf = {
  params: (raw: Readonly<Record<string, string | undefined>>) => ({
    id: parseGuid('The object id', raw['id'] ?? ''),
    credentialId: parseGuid('The credential id', raw['credentialId'] ?? ''),
  }),
  scope: () => '/' as const,
  key: null,
};

/** Certificates and federated credentials of applications, in the shapes of Microsoft Graph v1.0. */
export function addCredentialRoutes(routes: Routes, credentials: CredentialService): void {
  const { authored } = routes.services;
  route(routes, {
    method: 'patch',
    path: '/applications/:id',
    operation: 'ApplicationUpdate',
    keyMaterial: 'none',
    action: WRITE,
    ...one,
    body: UpdateApplicationRequest,
    status: 204,
    handler: async ({ params: { id }, body, context }) =>
      credentials.updateApplication(id, body, await authored(context)),
  });

  route(routes, {
    method: 'post',
    path: PATH,
    operation: 'FederatedCredentialCreate',
    keyMaterial: 'none',
    action: WRITE,
    ...one,
    body: CreateFederatedRequest,
    status: 201,
    handler: async ({ params: { id }, body, context }) =>
      serializeFederated(await credentials.addFederated(id, body, await authored(context))),
  });

  route(routes, {
    method: 'get',
    path: PATH,
    operation: 'FederatedCredentialList',
    keyMaterial: 'none',
    action: READ,
    ...one,
    handler: async ({ params: { id } }) => ({
      value: (await credentials.listFederated(id)).map(serializeFederated),
    }),
  });

  route(routes, {
    method: 'get',
    path: `${PATH}/:credentialId`,
    operation: 'FederatedCredentialGet',
    keyMaterial: 'none',
    action: READ,
    ...credentialOf,
    handler: async ({ params: { id, credentialId } }) =>
      serializeFederated(await credentials.getFederated(id, credentialId)),
  });

  route(routes, {
    method: 'delete',
    path: `${PATH}/:credentialId`,
    operation: 'FederatedCredentialDelete',
    keyMaterial: 'none',
    action: WRITE,
    ...credentialOf,
    status: 204,
    handler: async ({ params: { id, credentialId }, context }) =>
      credentials.removeFederated(id, credentialId, await authored(context)),
  });
}
