import type { IncomingMessage } from 'node:http';
import type { RequestHandler } from 'express';
import { ServiceError } from '../../core/errors.ts';
import { parseTarget } from '../../network/authority.ts';
import { createHostReader, type RequestHost } from './hosts.ts';

/** Load balancers that check these in HTTP/1.0 name no host, or an empty one, and none is needed for the response. */
const PROBE = /^\/(?:healthz|readyz)\/?(?:\?|$)/i;
const NO_HOST: RequestHost = { authority: '', challenge: '', pool: undefined };

/**
 * Reads whom a request is for. An absolute-form target (RFC 9112 §3.2.2) becomes its path, and its host counts, not the
 * Host header, which has to be a valid one nevertheless (§3.2).
 */
export function createTargetReader(domain: string): (req: IncomingMessage) => RequestHost {
  const readHost = createHostReader(domain);
  return (req) => {
    const { host: header } = req.headers;
    const host = header === '' && req.httpVersion === '1.0' ? undefined : header;
    const { url = '' } = req;
    if (url.startsWith('/'))
      return host === undefined && PROBE.test(url) ? NO_HOST : readHost(host);
    const target = parseTarget(url, 'https');
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

/** Of all but odd paths this is all that is looked at. */
const MAY_BE_ODD = /\/(?:\/|\?|$)|^[^?]*%/;
/** Letters, digits and marks that mean nothing by themselves, percent-encoded (RFC 3986 §2.3), and the dollar of Graph. */
const NEEDLESS = /%(?:2[4DE]|3\d|[46][1-9A-F]|[57][0-9A]|5F|7E)/gi;

/**
 * Clients write `/keys/NAME//sign` and `/keys/NAME/` for "no version", `/keys/?…` for the list, `///providers/…` for the
 * scope `/`, and some percent-encode the slashes of a scope: repeated, encoded and trailing slashes mean nothing here.
 * What is percent-encoded without need is the same path (RFC 3986 §6.2.2.2), `members/%24ref` for instance.
 */
export const normalisePath: RequestHandler = (req, _res, next) => {
  req.url = normalise(req.url);
  next();
};

/** @param target a path, perhaps with a query */
export function normalise(target: string): string {
  if (!MAY_BE_ODD.test(target)) return target;
  const [path = '', ...query] = target.split('?');
  const plain = path.replace(NEEDLESS, (encoded) =>
    String.fromCharCode(parseInt(encoded.slice(1), 16)),
  );
  const unencoded = /\/providers\//i.test(plain) ? plain.replace(/%2F/gi, '/') : plain;
  const collapsed = unencoded.replace(/\/{2,}/g, '/').replace(/(?<=.)\/$/, '');
  return collapsed === path ? target : [collapsed, ...query].join('?');
}
