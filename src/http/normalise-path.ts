import { type RequestHandler } from 'express';

/** Of all but odd paths this is all that is looked at. */
const MAY_MEAN_NOTHING = /\/(?:\/|\?|$)|%2F/i;

/**
 * Clients write `/keys/NAME//sign` and `/keys/NAME/` for "no version", `/keys/?…` for the list, `///providers/…` for the
 * scope `/`, and some percent-encode the slashes of a scope: repeated, encoded and trailing slashes mean nothing here.
 */
export const normalisePath: RequestHandler = (req, _res, next) => {
  if (!MAY_MEAN_NOTHING.test(req.url)) {
    next();
    return;
  }
  const [path = '', ...query] = req.url.split('?');
  const unencoded = /\/providers\//i.test(path) ? path.replace(/%2F/gi, '/') : path;
  const collapsed = unencoded.replace(/\/{2,}/g, '/').replace(/(?<=.)\/$/, '');
  if (collapsed !== path) req.url = [collapsed, ...query].join('?');
  next();
};
