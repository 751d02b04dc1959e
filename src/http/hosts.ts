import { ServiceError } from '../core/errors.ts';

/** How callers may name this service. */
export interface HostRules {
  /** Parent domain of the pools, such as strongroom.localhost. */
  readonly domain: string;
  readonly pool: string;
}

/** What the Host header of a request says. */
export interface RequestHost {
  /** host[:port] as the client wrote it: key identifiers and links are made with it. */
  readonly authority: string;
  readonly challenge: string;
  /** False for a pool of this domain that isn't here. */
  readonly servesPool: boolean;
}

const AUTHORITY =
  /^(?<host>[a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?<port>:\d{1,5})?$/i;
const ADDRESS = /^(?:localhost|\[.*\]|[\d.]+)$/;
/** Hosts seen are few; forged ones must not fill the memory. */
const REMEMBERED_HOSTS = 1000;

/**
 * Reads the Host header, and makes the 401 challenge that Azure's libraries expect for it: they check that the host they
 * called ends with "." + the host of `resource` (some compare the port too), so the resource is the parent of the host.
 * For localhost and bare addresses no resource can pass; it is then the service's own domain, for clients whose check is
 * switched off.
 */
export function createHostReader(rules: HostRules): (header: string | undefined) => RequestHost {
  const remembered = new Map<string, RequestHost>();
  return (header) => {
    const known = remembered.get(header ?? '');
    if (known !== undefined) return known;
    const read = readHost(header ?? '', rules);
    if (remembered.size < REMEMBERED_HOSTS) remembered.set(header ?? '', read);
    return read;
  };
}

function readHost(header: string, { domain, pool }: HostRules): RequestHost {
  const parts = AUTHORITY.exec(header)?.groups;
  const host = parts?.['host']?.toLowerCase();
  if (host === undefined)
    throw new ServiceError('BadParameter', 'The Host header is missing or has an invalid value.');
  const port = parts?.['port'] ?? '';
  const isOwn = host === domain || host.endsWith(`.${domain}`);
  const label = host.slice(0, -(domain.length + 1));
  const parent = host.split('.').slice(1).join('.');
  const resource = isOwn || ADDRESS.test(host) || parent === '' ? domain : parent;
  return {
    authority: header,
    challenge: `Bearer authorization="https://${header}/adfs", resource="https://${resource}${port}"`,
    servesPool: !isOwn || host === domain || label === pool,
  };
}
