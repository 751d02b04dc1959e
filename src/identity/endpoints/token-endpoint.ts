import { isGuid } from '../../core/guid.ts';
import { ServiceError } from '../../core/errors.ts';
import type { Clock } from '../../core/clock.ts';
import { isAllStorable, NOT_STORABLE } from '../../core/storable-text.ts';
import { withoutUndefined } from '../../core/without-undefined.ts';
import type { AudienceCheck } from '../tokens/audiences.ts';
import { ASSERTION_TYPE } from '../clients/client-assertion.ts';
import { type AuthenticateClient, type NamedClient, wrongClient } from '../clients/clients.ts';
import { isAlias } from './metadata.ts';
import { Refusal, unknownTenant } from '../refusal.ts';
import { readScope } from './scope.ts';
import type { TokenIssuer } from '../tokens/tokens.ts';

export interface TokenRequest {
  readonly form: Readonly<Record<string, unknown>>;
  readonly tenant: string;
  /** v1 names a `resource`, v2.0 a `scope`; both are taken on either. */
  readonly version: 'v1' | 'v2.0';
  readonly authorization: string | undefined;
  /** Of the client's connection. */
  readonly address: string;
  /** Of the certificate of that connection (RFC 8705 §3.1), where the client has shown one. */
  readonly thumbprint: string | undefined;
  readonly requestId: string;
}

export interface TokenResponse {
  readonly status: number;
  readonly body: object;
  readonly headers?: Readonly<Record<string, string>>;
  /** The client that asked, where it names one: only what has the form of an id, since secrets get into wrong fields. */
  readonly client?: { readonly applicationId: string; readonly principalId?: string };
  /** Of a refusal, for the record. */
  readonly reason?: string;
}

export interface TokenEndpointParts {
  readonly tenants: (tenant: string) => boolean;
  readonly authenticateClient: AuthenticateClient;
  readonly isAudience: AudienceCheck;
  readonly issuer: TokenIssuer;
  readonly clock: Clock;
}

/** MSAL takes a token for expired five minutes early: an hour leaves room. */
const LIFETIME_SECONDS = 3600;
const SECRET_LIMIT = 512;
/** With a chain of certificates in its header. */
const ASSERTION_LIMIT = 32_768;

/** The client credentials grant (RFC 6749 §4.4) with a client secret or an assertion, in the words of Entra ID. */
export function createTokenEndpoint(parts: TokenEndpointParts) {
  const { tenants, authenticateClient, isAudience, issuer, clock } = parts;

  return async (request: TokenRequest): Promise<TokenResponse> => {
    let client: TokenResponse['client'];
    try {
      if (!tenants(request.tenant)) throw unknownTenant('invalid_request');
      const form = readForm(request.form);
      if (form('grant_type') !== 'client_credentials')
        throw new Refusal(
          400,
          'unsupported_grant_type',
          70003,
          'The grant type must be client_credentials.',
        );
      const named = readClient(form, request);
      const { clientId } = named;
      if (isGuid(clientId)) client = { applicationId: clientId.toLowerCase() };
      const resource = readResource(form);
      if (!isAudience(resource, 'directory'))
        throw new Refusal(
          400,
          'invalid_resource',
          500011,
          'The resource is not known in this tenant.',
        );
      const subject = await authenticateClient(named, request.address);
      const { application, principal } = subject;
      client = { applicationId: application.appId, principalId: principal.id };
      const now = clock.now();
      const token = await issuer.issue(subject, resource, now, LIFETIME_SECONDS);
      return { status: 200, body: serializeToken(request, token, resource, now), client };
    } catch (thrown) {
      const error = isOverload(thrown) ? throttled() : thrown;
      if (!(error instanceof Refusal)) throw error;
      // RFC 6749 §5.2: a client that used the Authorization header is told the scheme.
      const challenge =
        error.status === 401 && isBasic(request.authorization)
          ? { 'WWW-Authenticate': 'Basic realm="strongroom"' }
          : {};
      return {
        status: error.status,
        body: serializeRefusal(error, request, clock.now()),
        headers: { ...error.headers, ...challenge },
        reason: error.message,
        ...withoutUndefined({ client }),
      };
    }
  };
}

function isOverload(thrown: unknown): boolean {
  return thrown instanceof ServiceError && thrown.code === 'Overloaded';
}

function throttled(): Refusal {
  return new Refusal(429, 'temporarily_unavailable', 90055, 'There are too many requests.', {
    'Retry-After': '1',
  });
}

function isBasic(authorization: string | undefined): boolean {
  return /^Basic[ \t]/i.test(authorization ?? '');
}

/** One value of a field: one without a value counts as absent, one that comes twice is refused (RFC 6749 §3.2). */
function readForm(form: Readonly<Record<string, unknown>>) {
  if (!isAllStorable(form))
    throw new Refusal(400, 'invalid_request', 900144, `Each field of the form ${NOT_STORABLE}.`);
  return (name: string): string | undefined => {
    const value = Object.hasOwn(form, name) ? form[name] : undefined;
    if (value === undefined || value === '') return undefined;
    if (typeof value === 'string') return value;
    throw new Refusal(400, 'invalid_request', 900144, `The field ${name} must be there once.`);
  };
}

function readClient(
  form: (name: string) => string | undefined,
  { authorization, thumbprint }: Pick<TokenRequest, 'authorization' | 'thumbprint'>,
): NamedClient {
  const basic = /^Basic[ \t]+([A-Za-z0-9+/=]+)$/i.exec(authorization ?? '')?.[1];
  const [basicId, basicSecret] =
    basic === undefined ? [] : splitOnce(Buffer.from(basic, 'base64').toString());
  const clientId = form('client_id') ?? basicId;
  const secret = form('client_secret') ?? basicSecret;
  const assertion = form('client_assertion');
  // RFC 6749 §2.3: one way at a time. The same client_id in both is no second way.
  if (basicSecret !== undefined && (secret !== basicSecret || clientId !== basicId))
    throw new Refusal(
      400,
      'invalid_request',
      900144,
      'The form and the Authorization header name different credentials.',
    );
  if (secret !== undefined && assertion !== undefined)
    throw new Refusal(400, 'invalid_request', 900144, 'The request holds two credentials.');
  if (clientId === undefined)
    throw new Refusal(400, 'invalid_request', 900144, 'The field client_id is missing.');
  if (clientId.length > SECRET_LIMIT || (secret?.length ?? 0) > SECRET_LIMIT) throw wrongClient();
  if (assertion !== undefined) {
    if (form('client_assertion_type') !== ASSERTION_TYPE)
      throw new Refusal(
        400,
        'invalid_request',
        900144,
        `The field client_assertion_type must be ${ASSERTION_TYPE}.`,
      );
    if (assertion.length > ASSERTION_LIMIT)
      throw new Refusal(401, 'invalid_client', 50027, 'The assertion is too long.');
    return { clientId, proof: { kind: 'assertion', assertion } };
  }
  if (secret === undefined && thumbprint !== undefined)
    return { clientId, proof: { kind: 'connection', thumbprint } };
  if (secret === undefined)
    throw new Refusal(
      401,
      'invalid_client',
      7000218,
      'The field client_secret or client_assertion is missing, and the connection has no client certificate.',
    );
  return { clientId, proof: { kind: 'secret', secret } };
}

/** RFC 6749 §2.3.1: both halves are form-encoded. */
function splitOnce(pair: string): string[] {
  const at = pair.indexOf(':');
  const halves = at < 0 ? [pair] : [pair.slice(0, at), pair.slice(at + 1)];
  try {
    return halves.map((half) => decodeURIComponent(half.replaceAll('+', ' ')));
  } catch {
    return [];
  }
}

function readResource(form: (name: string) => string | undefined): string {
  const resource = form('resource');
  if (resource !== undefined) return resource;
  const scope = form('scope');
  if (scope === undefined)
    throw new Refusal(400, 'invalid_request', 900144, 'The field scope or resource is missing.');
  return readScope(scope);
}

function serializeToken(
  { version, tenant }: TokenRequest,
  token: string,
  resource: string,
  now: Date,
): object {
  const common = { token_type: 'Bearer', access_token: token };
  const lifetimes = { expires_in: LIFETIME_SECONDS, ext_expires_in: LIFETIME_SECONDS };
  if (version === 'v2.0') return { ...common, ...lifetimes };
  const seconds = Math.floor(now.getTime() / 1000);
  return {
    ...common,
    // Numbers in ADFS's responses, and `az` adds to them; text in those of Entra ID's first endpoint.
    ...(isAlias(tenant)
      ? lifetimes
      : { expires_in: String(LIFETIME_SECONDS), ext_expires_in: String(LIFETIME_SECONDS) }),
    expires_on: String(seconds + LIFETIME_SECONDS),
    not_before: String(seconds),
    resource,
  };
}

export function serializeRefusal(
  refusal: Refusal,
  { requestId }: Pick<TokenRequest, 'requestId'>,
  now: Date,
): object {
  return {
    error: refusal.error,
    error_description: `AADSTS${refusal.number}: ${refusal.message} Trace ID: ${requestId}`,
    error_codes: [refusal.number],
    timestamp: now.toISOString(),
    trace_id: requestId,
    correlation_id: requestId,
  };
}
