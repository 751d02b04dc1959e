import { type Router } from 'express';
import { type CredentialService } from '../../core/directory/credential-service.ts';
import { parseGuid } from '../../core/access/role.ts';
import { CreateFederatedRequest, serializeFederated } from './credentials.schema.ts';
import { one, READ, WRITE } from './directory.routes.ts';
import { UpdateApplicationRequest } from './directory.schema.ts';
import { route, type RouteDefinition, type RouteServices } from '../route.ts';

const PATH = '/v1.0/applications/:id/federatedIdentityCredentials';
const credentialOf = {
  params: (raw: Readonly<Record<string, string | undefined>>) => ({
    id: parseGuid('The object id', raw['id'] ?? ''),
    credentialId: parseGuid('The credential id', raw['credentialId'] ?? ''),
  }),
  scope: () => '/' as const,
  key: null,
};

/** Certificates and federated credentials of applications, in the shapes of Microsoft Graph v1.0. */
export function addCredentialRoutes(
  router: Router,
  services: RouteServices,
  credentials: CredentialService,
): void {
  const add = <Params, Query = undefined, Body = undefined>(
    definition: RouteDefinition<Params, Query, Body>,
  ) => {
    route(router, services, definition);
  };

  add({
    method: 'patch',
    path: '/v1.0/applications/:id',
    operation: 'ApplicationUpdate',
    action: WRITE,
    ...one,
    body: UpdateApplicationRequest,
    status: 204,
    handler: async ({ params: { id }, body, context }) =>
      credentials.updateApplication(id, body, await services.authored(context)),
  });

  add({
    method: 'post',
    path: PATH,
    operation: 'FederatedCredentialCreate',
    action: WRITE,
    ...one,
    body: CreateFederatedRequest,
    status: 201,
    handler: async ({ params: { id }, body, context }) =>
      serializeFederated(
        await credentials.addFederated(id, body, await services.authored(context)),
      ),
  });

  add({
    method: 'get',
    path: PATH,
    operation: 'FederatedCredentialList',
    action: READ,
    ...one,
    handler: async ({ params: { id } }) => ({
      value: (await credentials.listFederated(id)).map(serializeFederated),
    }),
  });

  add({
    method: 'get',
    path: `${PATH}/:credentialId`,
    operation: 'FederatedCredentialGet',
    action: READ,
    ...credentialOf,
    handler: async ({ params: { id, credentialId } }) =>
      serializeFederated(await credentials.getFederated(id, credentialId)),
  });

  add({
    method: 'delete',
    path: `${PATH}/:credentialId`,
    operation: 'FederatedCredentialDelete',
    action: WRITE,
    ...credentialOf,
    status: 204,
    handler: async ({ params: { id, credentialId }, context }) =>
      credentials.removeFederated(id, credentialId, await services.authored(context)),
  });
}
