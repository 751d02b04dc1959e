import { z } from 'zod';
import { text } from '../values/text.ts';

/** What is asked of a member that is taken and means nothing here: null, or this. */
const KINDS = {
  text: text(64 * 1024),
  number: z.number(),
  flag: z.boolean(),
  list: z.array(z.unknown()),
  object: z.looseObject({}),
} as const;
type Kind = keyof typeof KINDS;

/** Members of Graph's model by their kind, names separated by blanks. */
export type Meaningless = Partial<Record<Kind, string>>;

/** What OData says of an object or of a member, such as `@odata.type`: but `x@odata.bind` sets something. */
const ANNOTATION = /^[\w.]{0,64}@odata\.(?!bind$)\w{1,32}$/;
const PRINTABLE = /^[\w.@-]{1,64}$/;

/**
 * A body of Graph's: `shape` is what is read of it. Of the rest of Graph's model each member is taken where its type is
 * right, since clients send whole objects. What Graph doesn't know, or only reads, is refused as Graph does: who sends it
 * would take it for done.
 */
export function graphBody<Shape extends z.ZodRawShape>(shape: Shape, meaningless: Meaningless) {
  const kinds = new Map(
    Object.entries(meaningless).flatMap(([kind, names]) =>
      names.split(' ').map((name) => [name, KINDS[kind as Kind]] as const),
    ),
  );
  return z.preprocess((body, context) => {
    for (const [name, value] of Object.entries(isObject(body) ? body : {})) {
      if (Object.hasOwn(shape, name) || ANNOTATION.test(name)) continue;
      const kind = kinds.get(name);
      if (kind !== undefined && (value === null || kind.safeParse(value).success)) continue;
      context.addIssue({
        code: 'custom',
        path: PRINTABLE.test(name) ? [name] : [],
        message: kind === undefined ? 'it cannot be written here' : 'it has the wrong type',
      });
      // One is told; thousands would only be put together.
      return z.NEVER;
    }
    return body;
  }, z.object(shape));
}

function isObject(body: unknown): body is object {
  return typeof body === 'object' && body !== null;
}
