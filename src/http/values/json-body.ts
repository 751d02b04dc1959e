import { promisify } from 'node:util';
import { json, type Request, type Response } from 'express';
import { ServiceError } from '../../core/errors.ts';
import { isAllStorable, NOT_STORABLE } from '../../core/storable-text.ts';
import { isUtf8, spellCharset } from './charset.ts';

/** A request's body as it was parsed; undefined where there is none. */
export type BodyReader = (req: Request, res: Response) => Promise<unknown>;

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
        rawBodies.set(req, raw);
      },
    }),
  ) as (req: Request, res: Response) => Promise<void>;

  return async (req, res) => {
    if (isPlain(req, limit)) return parsePlain(await readAll(req));
    spellCharset(req);
    try {
      await parseAny(req, res);
    } finally {
      rawBodies.get(req)?.fill(0);
    }
    return storable(req.body);
  };
}

/** @throws ServiceError BadParameter, whichever member it is in: one that nobody reads must not be the way in */
function storable(value: unknown): unknown {
  if (isAllStorable(value)) return value;
  throw new ServiceError('BadParameter', `Each text of the body ${NOT_STORABLE}.`);
}

const rawBodies = new WeakMap<object, Buffer>();

/** Another charset, an encoding, chunks and what is too large are body-parser's: clients send the length, and UTF-8. */
function isPlain({ headers }: Request, limit: number): boolean {
  const length = headers['content-length'];
  return (
    length !== undefined &&
    Number(length) <= limit &&
    headers['transfer-encoding'] === undefined &&
    headers['content-encoding'] === undefined &&
    isUtf8(headers['content-type'])
  );
}

/** What a body that is announced by its length holds; Node's parser sees to it that it is that long. */
function readAll(req: Request): Promise<Buffer[]> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const fail = () => {
      for (const chunk of chunks) chunk.fill(0);
      reject(new ServiceError('BadParameter', 'The request body could not be read.'));
    };
    if (req.destroyed) fail();
    req
      .on('data', (chunk: Buffer) => chunks.push(chunk))
      .on('end', () => {
        resolve(chunks);
      })
      .on('error', fail);
  });
}

const BYTE_ORDER_MARK = /^\uFEFF/;

function parsePlain(chunks: readonly Buffer[]): unknown {
  const [first] = chunks;
  const bytes = chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks);
  try {
    return parseJson(bytes);
  } finally {
    bytes.fill(0);
    for (const chunk of chunks) chunk.fill(0);
  }
}

/** Of UTF-8, with a byte order mark or none; nothing at all counts as an empty object. @throws ServiceError BadParameter */
export function parseJson(bytes: Buffer): unknown {
  try {
    const text = bytes.toString().replace(BYTE_ORDER_MARK, '');
    const value = text === '' ? {} : (JSON.parse(text) as unknown);
    // Bytes that aren't UTF-8 have been replaced, and JSON has no bare U+0000: what can't be stored comes as an escape.
    return text.includes('\\u') ? storable(value) : value;
  } catch (cause) {
    // Its message repeats a part of the text.
    if (cause instanceof SyntaxError)
      throw new ServiceError('BadParameter', 'The request body is not valid JSON.');
    throw cause;
  }
}
