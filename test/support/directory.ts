import { randomUUID } from 'node:crypto';
import { type Caller, createCaller, fetchToken } from './client.ts';

interface Service {
  readonly port: number;
  readonly ca: string;
  readonly client: Readonly<Record<string, string>>;
}

/** Calls as the first administrator. */
export async function signInAdministrator(service: Service) {
  const { AZURE_CLIENT_ID: clientId = '', AZURE_CLIENT_SECRET: clientSecret = '' } = service.client;
  return createCaller(service, await fetchToken(service, { clientId, clientSecret }));
}

/** The body of an answer that has to be a success. */
export async function created<Shape>(
  answer: ReturnType<Caller>,
  status: number | readonly number[] = [200, 201, 204],
): Promise<Shape> {
  const got = await answer;
  if (![status].flat().includes(got.status)) throw new Error(`${got.status}: ${got.text}`);
  return got.text === '' ? (undefined as Shape) : got.json<Shape>();
}

export interface Client {
  /** Object id of the application. */
  readonly applicationId: string;
  readonly appId: string;
  /** Object id of its service principal. */
  readonly principalId: string;
}

/** An application with a service principal, without any credential. */
export async function makeClient(admin: Caller, displayName: string): Promise<Client> {
  const { id: applicationId, appId } = await created<{ id: string; appId: string }>(
    admin('POST', '/v1.0/applications', { displayName }),
  );
  const { id: principalId } = await created<{ id: string }>(
    admin('POST', '/v1.0/servicePrincipals', { appId }),
  );
  return { applicationId, appId, principalId };
}

export async function addSecret(admin: Caller, client: Client): Promise<string> {
  const { secretText } = await created<{ secretText: string }>(
    admin('POST', `/v1.0/applications/${client.applicationId}/addPassword`, {}),
  );
  return secretText;
}

export async function assignRole(
  admin: Caller,
  roleId: string,
  principalId: string,
  scope = '',
): Promise<void> {
  await created(
    admin('PUT', `${scope}/providers/Microsoft.Authorization/roleAssignments/${randomUUID()}`, {
      properties: { roleDefinitionId: roleId, principalId },
    }),
  );
}
