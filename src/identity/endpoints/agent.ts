import { createHash, timingSafeEqual } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { Clock } from '../../core/clock.ts';
import { ASSERTION_TYPE } from '../clients/client-assertion.ts';
import type { ManagedIdentityResponse, ManagedIdentityRequest } from './managed-identity.ts';
import { serializeManagedRefusal } from './managed-identity.ts';

export interface AgentParts {
  /** https://host/{tenant}/oauth2/v2.0/token, of the directory that knows the application. */
  readonly tokenUrl: string;
  readonly clientId: string;
  /** The token that the platform gives this workload and renews. */
  readonly readAssertion: () => Promise<string>;
  /** What the workload has to show. */
  readonly header: string;
  readonly clock: Clock;
}

const LIMIT_MS = 10_000;
const LIMIT_BYTES = 64 * 1024;
const RESOURCES_LIMIT = 100;
/** As long as Microsoft's libraries want a token to be good for, and as much again. */
const LEAST_LEFT_SECONDS = 600;

const TokenResponse = z.object({
  access_token: z.string().min(1),
  expires_in: z.coerce.number().int().positive(),
});
const ErrorResponse = z.object({ error: z.string(), error_description: z.string() });

/**
 * App Service's identity endpoint beside a workload: it holds no secret but the header that the workload shows, and signs
 * in with the workload's federated token (RFC 7523 §2.2), which it reads anew each time since the platform renews it.
 */
export function createIdentityAgent(parts: AgentParts) {
  const { tokenUrl, clientId, readAssertion, clock } = parts;
  const header = digestOf(parts.header);
  const tokens = new LRUCache<string, { readonly token: string; readonly expiresOn: number }>({
    max: RESOURCES_LIMIT,
  });

  async function signIn(resource: string): Promise<ManagedIdentityResponse> {
    const response = await fetch(tokenUrl, {
      method: 'POST',
      redirect: 'error',
      signal: AbortSignal.timeout(LIMIT_MS),
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: clientId,
        client_assertion_type: ASSERTION_TYPE,
        client_assertion: (await readAssertion()).trim(),
        scope: `${resource}/.default`,
      }),
    });
    const text = await response.text();
    if (text.length > LIMIT_BYTES) throw new Error('the token endpoint answered too much');
    const body: unknown = JSON.parse(text);
    if (!response.ok) {
      const refused = ErrorResponse.safeParse(body);
      const retryAfter = response.headers.get('retry-after');
      return {
        status: response.status,
        body: serializeManagedRefusal(
          response.status,
          refused.success ? refused.data.error_description : 'The token endpoint refused.',
        ),
        ...(retryAfter !== null && { headers: { 'Retry-After': retryAfter } }),
      };
    }
    const { access_token: token, expires_in: seconds } = TokenResponse.parse(body);
    const expiresOn = Math.floor(clock.now().getTime() / 1000) + seconds;
    tokens.set(resource, { token, expiresOn });
    return serializeToken(token, resource, expiresOn);
  }

  function serializeToken(
    token: string,
    resource: string,
    expiresOn: number,
  ): ManagedIdentityResponse {
    return {
      status: 200,
      body: {
        access_token: token,
        client_id: clientId,
        expires_on: String(expiresOn),
        resource,
        token_type: 'Bearer',
      },
    };
  }

  return async (request: ManagedIdentityRequest): Promise<ManagedIdentityResponse> => {
    if (!timingSafeEqual(digestOf(request.header ?? ''), header))
      return { status: 401, body: serializeManagedRefusal(401, 'X-IDENTITY-HEADER is wrong.') };
    if (request.clientId !== undefined && request.clientId.toLowerCase() !== clientId.toLowerCase())
      return { status: 400, body: serializeManagedRefusal(400, 'This is another identity.') };
    const { resource } = request;
    if (resource === undefined)
      return { status: 400, body: serializeManagedRefusal(400, 'The field resource is missing.') };
    const known = tokens.get(resource);
    const seconds = clock.now().getTime() / 1000;
    if (known !== undefined && known.expiresOn - seconds > LEAST_LEFT_SECONDS)
      return serializeToken(known.token, resource, known.expiresOn);
    return signIn(resource);
  };
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
