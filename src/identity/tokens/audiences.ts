/** For what a token is good: keys and all that belongs to a pool, or the directory's Graph calls. */
export type Audience = 'pool' | 'directory';

/** Azure's own names, which some programs have built in. */
const AZURE_POOL = ['managedhsm.azure.net', 'vault.azure.net'];
const AZURE_DIRECTORY = ['graph.microsoft.com'];
const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];

/** Whether a resource is this service, for keys or for the directory. */
export type AudienceCheck = (resource: string, audience: Audience) => boolean;

/**
 * The resources that clients ask tokens for: our domain, and Azure's own for programs that can't ask for another. Ports
 * and a trailing slash don't matter: clients take them from the challenge, from their settings, or drop them. A token for
 * Graph opens the directory only; one for the pool opens both, since both are this service.
 */
export function createAudienceCheck(domain: string): AudienceCheck {
  const pool = new Set([domain, ...AZURE_POOL, ...LOOPBACK]);
  const directory = new Set([...pool, ...AZURE_DIRECTORY]);
  return (resource, audience) => {
    const host = hostOf(resource);
    if (host === undefined) return false;
    const names = audience === 'pool' ? pool : directory;
    return names.has(host) || host.endsWith(`.${domain}`);
  };
}

const ENDPOINT =
  /^(?:\/adfs)?\/(?!v2\.0)(?<tenant>[^/]+)(?:\/v2\.0|\/oauth2\/token|\/oauth2\/v2\.0\/token)?\/?$/i;

/**
 * Whether a URL is this directory, as clients write it for the audience of an assertion: its token endpoints or its issuer,
 * at a host of ours. Other hosts are refused, whatever the request calls this service: an assertion that was made for
 * another directory must not be good here.
 */
export function createOwnUrlCheck(
  domain: string,
  isTenant: (tenant: string) => boolean,
): (url: string) => boolean {
  const hosts = new Set([domain, ...LOOPBACK]);
  return (text) => {
    if (text.length > 512 || !URL.canParse(text)) return false;
    const { protocol, hostname, pathname, search, hash } = new URL(text);
    const tenant = ENDPOINT.exec(pathname)?.groups?.['tenant'];
    return (
      protocol === 'https:' &&
      `${search}${hash}` === '' &&
      (hosts.has(undotted(hostname)) || undotted(hostname).endsWith(`.${domain}`)) &&
      tenant !== undefined &&
      isTenant(tenant)
    );
  };
}

function hostOf(resource: string): string | undefined {
  if (resource.length > 512 || !URL.canParse(resource)) return undefined;
  const { protocol, hostname, pathname, search, hash, username, password } = new URL(resource);
  const extras = `${search}${hash}${username}${password}`;
  const isBare = protocol === 'https:' && pathname === '/' && extras === '';
  return isBare ? undotted(hostname) : undefined;
}

/** A dot at the end of a name says that it is fully qualified (RFC 1034 §3.1): it is the same name. */
function undotted(hostname: string): string {
  return hostname.replace(/\.$/, '');
}
