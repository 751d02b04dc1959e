import { type Request } from 'express';
import { ServiceError } from '../../core/errors.ts';
import { parseTarget } from '../../network/authority.ts';
import { createHostReader, type HostRules, type RequestHost } from './hosts.ts';

/** Load balancers that check these in HTTP/1.0 name no host, and none is needed for the response. */
const PROBE = /^\/(?:healthz|readyz)\/?(?:\?|$)/i;
const NO_HOST: RequestHost = { authority: '', challenge: '', servesPool: false };

/**
 * Reads whom a request is for. An absolute-form target (RFC 9112 §3.2.2) becomes its path, and its host counts, not the
 * Host header, which has to be a valid one nevertheless (§3.2).
 */
export function createTargetReader(rules: HostRules): (req: Request) => RequestHost {
  const readHost = createHostReader(rules);
  return (req) => {
    const { host } = req.headers;
    if (req.url.startsWith('/'))
      return host === undefined && PROBE.test(req.url) ? NO_HOST : readHost(host);
    const target = parseTarget(req.url, 'https');
    if (target === undefined)
      throw new ServiceError(
        'BadParameter',
        'The request target must be a path, or an https URL with one.',
      );
    if (host !== undefined) readHost(host);
    req.url = target.path;
    return readHost(target.authority);
  };
}
