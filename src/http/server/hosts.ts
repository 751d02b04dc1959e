import { ServiceError } from '../../core/errors.ts';
import { type Authority, parseAuthority } from '../../network/authority.ts';

/** What a request says of whom it is for. */
export interface RequestHost {
  /** host[:port] as the client wrote it: key identifiers and links are made with it. */
  readonly authority: string;
  readonly challenge: string;
  /** The pool that the host names; undefined for a bare address and for the domain itself, which the default pool serves. */
  readonly pool: string | undefined;
}

const ADDRESS = /^(?:localhost|\[.*\]|[\d.]+)$/;
/** Hosts seen are few; forged ones must not fill the memory. */
const REMEMBERED_HOSTS = 1000;

/**
 * Reads the Host header, and makes the 401 challenge that Azure's libraries expect for it: they check that the host they
 * called ends with "." + the host of `resource` (some compare the port too), so the resource is the parent of the host.
 * For localhost and bare addresses no resource can pass; it is then the service's own domain, for clients whose check is
 * switched off.
 */
export function createHostReader(domain: string): (header: string | undefined) => RequestHost {
  const remembered = new Map<string, RequestHost>();
  return (header) => {
    const known = remembered.get(header ?? '');
    if (known !== undefined) return known;
    const parsed = parseAuthority(header ?? '');
    if (parsed === undefined)
      throw new ServiceError('BadParameter', 'The Host header is missing or has an invalid value.');
    const read = readHost(header?.replace(/:$/, '') ?? '', parsed, domain);
    if (remembered.size < REMEMBERED_HOSTS) remembered.set(header ?? '', read);
    return read;
  };
}

function readHost(authority: string, { host, dot, port }: Authority, domain: string): RequestHost {
  const isOwn = host === domain || host.endsWith(`.${domain}`);
  const parent = host.split('.').slice(1).join('.');
  const resource = isOwn || ADDRESS.test(host) || parent === '' ? domain : parent;
  return {
    authority,
    challenge: `Bearer authorization="https://${authority}/adfs", resource="https://${resource}${dot}${port}"`,
    pool: isOwn && host !== domain ? host.slice(0, -(domain.length + 1)) : undefined,
  };
}
