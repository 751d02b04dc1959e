import { promisify } from 'node:util';
import { json, type Request, type Response } from 'express';
import { ServiceError } from '../../core/errors.ts';
import { isAllStorable, NOT_STORABLE } from '../../core/storable-text.ts';
import { spellCharset } from './charset.ts';

/** A request's body as it was parsed; undefined where there is none. */
export type BodyReader = (req: Request, res: Response) => Promise<unknown>;

const BYTES = Symbol('bytes');
/** A request whose body has been read. */
interface WithBytes {
  [BYTES]?: Buffer;
}

/**
 * Reads JSON of at most `limit` bytes. Content types are not asked for: some clients send none, and a body that isn't JSON
 * fails to parse anyway. The bytes may be plaintext or an imported key: they are overwritten as soon as they are parsed.
 * Rejects with a ServiceError or with body-parser's own errors.
 */
export function createJsonReader(limit: number): BodyReader {
  const parseAny = promisify(
    json({
      limit,
      strict: false,
      type: () => true,
      verify: (req, _res, raw) => {
        (req as WithBytes)[BYTES] = raw;
      },
    }),
  ) as (req: Request & WithBytes, res: Response) => Promise<void>;

  return async (req: Request & WithBytes, res) => {
    spellCharset(req);
    try {
      await parseAny(req, res);
    } finally {
      req[BYTES]?.fill(0);
    }
    return storable(req.body);
  };
}

/** @throws ServiceError BadParameter, whichever member it is in: one that nobody reads must not be the way in */
export function storable(value: unknown): unknown {
  if (isAllStorable(value)) return value;
  throw new ServiceError('BadParameter', `Each text of the body ${NOT_STORABLE}.`);
}
