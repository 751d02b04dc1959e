import { promisify } from 'node:util';
import { raw, type Request, type Response } from 'express';
import { ServiceError } from '../../core/errors.ts';
import { type BodyReader, storable } from './json-body.ts';

/** Parsing so much arbitrary JSON holds the event loop for a moment; ten times as much, for seconds. */
const ARBITRARY_LIMIT = 256 * 1024;
/** What stands around the value: a few characters, and some white space. */
const HEAD =
  /^(?:\u00EF\u00BB\u00BF)?[\t\n\r ]{0,64}\{[\t\n\r ]{0,64}"value"[\t\n\r ]{0,64}:[\t\n\r ]{0,64}"/;
const TAIL = /"[\t\n\r ]{0,64}\}[\t\n\r ]{0,64}$/;
const AROUND = 300;

/**
 * Reads a body of at most `limit` bytes that is `{"value": "…"}`. Of a large one the value stays the bytes that came,
 * between the quotes: they are not looked at here, and whoever takes them must accept no character that JSON would read
 * otherwise. A large body of any other form is refused unread.
 */
export function createValueReader(limit: number): BodyReader {
  const readAny = promisify(raw({ limit, type: () => true })) as (
    req: Request,
    res: Response,
  ) => Promise<void>;
  return async (req, res) => {
    await readAny(req, res);
    // Without a body, express.raw leaves none.
    const body: unknown = req.body;
    if (!Buffer.isBuffer(body)) return {};
    if (body.length <= ARBITRARY_LIMIT) return parseJson(body);
    const head = HEAD.exec(body.toString('latin1', 0, AROUND))?.[0];
    const tail = TAIL.exec(body.toString('latin1', body.length - AROUND))?.[0];
    if (head === undefined || tail === undefined)
      throw new ServiceError(
        'BadParameter',
        'A request body of this size must be an object with a value and nothing else.',
      );
    return { value: body.subarray(head.length, body.length - tail.length) };
  };
}

const BYTE_ORDER_MARK = /^\uFEFF/;

/** As the other bodies are read: of UTF-8, and nothing at all counts as an empty object. @throws ServiceError BadParameter */
function parseJson(bytes: Buffer): unknown {
  const text = bytes.toString().replace(BYTE_ORDER_MARK, '');
  try {
    return storable(text === '' ? {} : (JSON.parse(text) as unknown));
  } catch (cause) {
    // Its message repeats a part of the text.
    if (cause instanceof SyntaxError)
      throw new ServiceError('BadParameter', 'The request body is not valid JSON.');
    throw cause;
  }
}
