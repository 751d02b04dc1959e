import { randomUUID } from 'node:crypto';
import { runCredential, signInByCertificate } from './certificate-sign-in.ts';
import { type Caller, createCaller, fetchToken } from './client.ts';
import type { SharedService } from './shared-service.ts';

const ASSIGNMENTS = '/providers/Microsoft.Authorization/roleAssignments';
const DEFINITIONS = '/providers/Microsoft.Authorization/roleDefinitions';

/** A caller with the credential of client.env: the first administrator of a development start. */
export async function signInAsAdministrator(
  service: SharedService,
): Promise<Caller & { close(): void }> {
  const { AZURE_CLIENT_ID: clientId = '', AZURE_CLIENT_SECRET: clientSecret = '' } = service.client;
  return createCaller(service, await fetchToken(service, { clientId, clientSecret }));
}

/** Gives the administrator every role that there is, at the whole pool: what is refused then is refused for another reason. */
export async function holdEveryRole(admin: Caller, service: SharedService): Promise<void> {
  const { value } = (await admin('GET', DEFINITIONS)).json<{ value: { name: string }[] }>();
  for (const { name } of value) {
    const answer = await admin('PUT', `${ASSIGNMENTS}/${randomUUID()}`, {
      properties: {
        roleDefinitionId: name,
        principalId: service.client['AZURE_PRINCIPAL_ID'],
      },
    });
    // 409: it holds this one already.
    if (answer.status !== 201 && answer.status !== 409)
      throw new Error(`role ${name}: ${answer.text}`);
  }
}

/**
 * An application with a service principal of its own, and no role: the principal's object id, its token and its caller. It
 * signs in by the certificate of the run.
 */
export async function makePrincipal(
  admin: Caller,
  service: SharedService,
  resource?: string,
): Promise<{
  readonly id: string;
  readonly token: string;
  readonly call: Caller & { close(): void };
}> {
  const post = async <Shape>(path: string, body: object) =>
    (await admin('POST', `/v1.0/${path}`, body)).json<Shape>();
  const { appId } = await post<{ appId: string }>('applications', {
    displayName: 'a principal of a test',
    keyCredentials: [await runCredential()],
  });
  const principal = await post<{ id: string }>('servicePrincipals', { appId });
  const token = await signInByCertificate(service, appId, resource);
  return { id: principal.id, token, call: createCaller(service, token) };
}
