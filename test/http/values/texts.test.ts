import { describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { listRoutes } from '../../support/routes.ts';
import { type SchemaText, textsOf } from '../../support/schema-texts.ts';

const HOSTILE = ['\ud800', '\udc00x', '\u0000', 'a\u0000b', 'x\ud800'];
/** More than the largest body has room for. */
const HUGE = 'A'.repeat(16 * 1024 * 1024 + 1);
/** Bytes in base64url: the limit of the body is theirs. */
const isBytes = ({ schema }: SchemaText) => schema.safeParse('AAAA'.repeat(50_000)).success;

const TEXTS = listRoutes().flatMap(({ method, path, definition }) =>
  [definition?.body, definition?.query].flatMap((schema) =>
    schema === undefined
      ? []
      : textsOf(schema).map((found) => [`${method} ${path}`, found.path, found] as const),
  ),
);

describe('a text that a route takes', () => {
  test('is found in its schema: there are hundreds of them', () => {
    expect(TEXTS.length).toBeGreaterThan(200);
  });

  test.each(TEXTS)(
    '%s %s: is Unicode that can be stored, and has an end',
    (_route, _path, text) => {
      for (const hostile of HOSTILE) expect(text.schema.safeParse(hostile).success).toBe(false);
      expect(!isBytes(text) && text.schema.safeParse(HUGE).success).toBe(false);
    },
  );

  test('is noticed where its schema is a bare one', () => {
    const [bare] = textsOf(z.object({ a: z.array(z.record(z.string(), z.int())).nullish() }));
    expect(bare?.path).toBe('a.0.*');
    expect(bare?.put('x')).toEqual({ a: [{ x: '' }] });
    expect(bare?.schema.safeParse('\ud800').success).toBe(true);
    const [unread] = textsOf(z.object({ a: z.unknown() }));
    expect(unread?.schema.safeParse('\ud800').success).toBe(true);
  });
});
