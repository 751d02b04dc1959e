import type { Clock } from '../../core/clock.ts';
import { withoutUndefined } from '../../core/without-undefined.ts';
import type { AudienceCheck } from '../tokens/audiences.ts';
import type { AuthenticateClient } from '../clients/clients.ts';
import { Refusal } from '../refusal.ts';
import type { TokenIssuer } from '../tokens/tokens.ts';

/** What a workload asks of App Service's identity endpoint (api-version 2019-08-01). */
export interface ManagedIdentityRequest {
  /** X-IDENTITY-HEADER. */
  readonly header: string | undefined;
  readonly resource: string | undefined;
  /** The identity by its application's id, where the workload names it. */
  readonly clientId: string | undefined;
  /** Of the workload's connection. */
  readonly address: string;
}

export interface ManagedIdentityResponse {
  readonly status: number;
  readonly body: object;
  readonly headers?: Readonly<Record<string, string>>;
  readonly client?: { readonly applicationId: string; readonly principalId?: string };
  readonly errorCode?: string;
}

export interface ManagedIdentityParts {
  readonly authenticateClient: AuthenticateClient;
  readonly isAudience: AudienceCheck;
  readonly issuer: TokenIssuer;
  readonly clock: Clock;
}

const LIFETIME_SECONDS = 3600;
/** The identity and one of its secrets, so that secrets are rotated as any application's are. */
const HEADER =
  /^(?<appId>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(?<secret>[\w.~-]{1,512})$/i;

/**
 * Tokens for programs that know managed identities alone. The header of a workload is `{appId}.{client secret}` of its
 * application: what is registered, expires and is taken away there holds here.
 */
export function createManagedIdentityEndpoint(parts: ManagedIdentityParts) {
  const { authenticateClient, isAudience, issuer, clock } = parts;

  return async (request: ManagedIdentityRequest): Promise<ManagedIdentityResponse> => {
    let client: ManagedIdentityResponse['client'];
    try {
      const { appId, secret } = HEADER.exec(request.header ?? '')?.groups ?? {};
      if (appId === undefined || secret === undefined)
        throw new Refusal(
          401,
          'invalid_client',
          7000218,
          'X-IDENTITY-HEADER is not {appId}.{client secret}.',
        );
      client = { applicationId: appId.toLowerCase() };
      const { resource = '', clientId } = request;
      if (clientId !== undefined && clientId.toLowerCase() !== client.applicationId)
        throw new Refusal(400, 'invalid_request', 700016, 'The header is of another identity.');
      if (!isAudience(resource, 'directory'))
        throw new Refusal(400, 'invalid_resource', 500011, 'The resource is not known here.');
      const proof = { kind: 'secret', secret } as const;
      const subject = await authenticateClient({ clientId: appId, proof }, request.address);
      const { application, principal } = subject;
      client = { applicationId: application.appId, principalId: principal.id };
      const now = clock.now();
      const token = await issuer.issue(subject, resource, now, LIFETIME_SECONDS);
      return { status: 200, body: serializeManagedToken(token, resource, appId, now), client };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return {
        status: error.status,
        body: serializeManagedRefusal(error.status, error.message),
        headers: error.headers,
        ...withoutUndefined({ client }),
        errorCode: error.error,
      };
    }
  };
}

function serializeManagedToken(
  token: string,
  resource: string,
  clientId: string,
  now: Date,
): object {
  return {
    access_token: token,
    client_id: clientId,
    // Microsoft's libraries look at the time of its end only.
    expires_on: String(Math.floor(now.getTime() / 1000) + LIFETIME_SECONDS),
    resource,
    token_type: 'Bearer',
  };
}

/** As App Service words it. */
export function serializeManagedRefusal(statusCode: number, message: string): object {
  return { statusCode, message };
}
