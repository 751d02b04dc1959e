import { randomBytes } from 'node:crypto';
import type { Application, ServicePrincipal } from '../../core/directory/directory.ts';
import { signJws } from '../../core/jws.ts';
import type { TokenSigningKeys } from '../../core/directory/token-signing-keys.ts';

/**
 * The issuer that stands in tokens. It names the directory and no host: the same token is good through every name by
 * which the service is reached. (The metadata of each host names that host, as clients demand.)
 */
export function issuerOf(domain: string, tenantId: string): string {
  return `https://${domain}/${tenantId}/v2.0`;
}

export interface TokenSubject {
  readonly application: Application;
  readonly principal: ServicePrincipal;
  /** How the client proved who it is. */
  readonly method: 'secret' | 'certificate' | 'federated';
  /** The client certificate of the connection, to which the token is bound then (RFC 8705 §3.1). */
  readonly boundTo?: string;
}

/** As Entra ID tells it: 1 for a secret, 2 for a certificate or what stands for one. */
const CONTEXT_CLASS = { secret: '1', certificate: '2', federated: '2' } as const;

export interface TokenIssuer {
  /** A signed access token (JWT, RS256) that is good for `lifetimeSeconds` from `now`. */
  issue(
    subject: TokenSubject,
    audience: string,
    now: Date,
    lifetimeSeconds: number,
  ): Promise<string>;
}

/** The clocks of those who check may run behind. */
const NOT_BEFORE_SLACK_SECONDS = 60;

/** Claims as Entra ID gives them to applications. The signature is made in the HSM. */
export function createTokenIssuer(
  keys: TokenSigningKeys,
  { domain, tenantId }: { readonly domain: string; readonly tenantId: string },
): TokenIssuer {
  return {
    async issue({ application, principal, method, boundTo }, audience, now, lifetimeSeconds) {
      const seconds = Math.floor(now.getTime() / 1000);
      const keyId = await keys.currentKeyId();
      const header = { alg: 'RS256', kid: keyId, typ: 'JWT' };
      const claims = {
        aud: audience,
        iss: issuerOf(domain, tenantId),
        iat: seconds,
        nbf: seconds - NOT_BEFORE_SLACK_SECONDS,
        exp: seconds + lifetimeSeconds,
        app_displayname: application.displayName,
        appid: application.appId,
        appidacr: CONTEXT_CLASS[method],
        idtyp: 'app',
        oid: principal.id,
        sub: principal.id,
        tid: tenantId,
        uti: randomBytes(16).toString('base64url'),
        ver: '1.0',
        cnf: boundTo === undefined ? undefined : { 'x5t#S256': boundTo },
      };
      return signJws(header, claims, (bytes) => keys.sign(keyId, bytes));
    },
  };
}
