import { type RequestHandler } from 'express';

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
  if (!MAY_BE_ODD.test(req.url)) {
    next();
    return;
  }
  const [path = '', ...query] = req.url.split('?');
  const plain = path.replace(NEEDLESS, (encoded) =>
    String.fromCharCode(parseInt(encoded.slice(1), 16)),
  );
  const unencoded = /\/providers\//i.test(plain) ? plain.replace(/%2F/gi, '/') : plain;
  const collapsed = unencoded.replace(/\/{2,}/g, '/').replace(/(?<=.)\/$/, '');
  if (collapsed !== path) req.url = [collapsed, ...query].join('?');
  next();
};
