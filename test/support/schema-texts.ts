import type { z } from 'zod';

/** A text somewhere in what a schema reads. */
export interface SchemaText {
  /** Such as properties.permissions.0.actions.0; `*` is a name that the caller chooses. */
  readonly path: string;
  /** The schema of the text itself. */
  readonly schema: z.ZodType;
  /** The value that has nothing but this text at this place. */
  readonly put: (text: string) => unknown;
}

type Definition = Readonly<Record<string, unknown>> & { readonly type: string };

/** Every text in what a schema reads, names that the caller chooses too. @throws Error for a kind of schema not known here */
export function textsOf(schema: unknown): readonly SchemaText[] {
  const { type, ...definition } = definitionOf(schema);
  const inside = (path: string, inner: unknown, put: (value: unknown) => unknown) =>
    textsOf(inner).map((found) => ({
      path: [path, found.path].filter((part) => part !== '').join('.'),
      schema: found.schema,
      put: (text: string) => put(found.put(text)),
    }));
  const same = (inner: unknown) => inside('', inner, (value) => value);
  switch (type) {
    case 'string':
    case 'unknown': // It may be a text, too.
      return [{ path: '', schema: schema as z.ZodType, put: (text) => text }];
    case 'object': {
      // What isn't declared is passed over, and never kept.
      if (
        definition['catchall'] !== undefined &&
        definitionOf(definition['catchall']).type !== 'never'
      )
        throw new Error('an object that keeps what is not declared');
      const shape = definition['shape'] as Readonly<Record<string, unknown>>;
      return Object.entries(shape).flatMap(([name, member]) =>
        inside(name, member, (value) => ({ [name]: value })),
      );
    }
    case 'array':
      if (takesNone(schema)) return [];
      return inside('0', definition['element'], (value) => [value]);
    case 'record':
      return [
        ...inside('*', definition['keyType'], (name) => ({ [String(name)]: '' })),
        ...inside('value', definition['valueType'], (value) => ({ name: value })),
      ];
    case 'optional':
    case 'nullable':
    case 'default':
    case 'prefault':
    case 'readonly':
      return same(definition['innerType']);
    case 'pipe':
      // Such as z.preprocess() makes.
      return same(definition[definitionOf(definition['in']).type === 'transform' ? 'out' : 'in']);
    case 'union':
      return (definition['options'] as readonly unknown[]).flatMap(same);
    case 'intersection':
      return [...same(definition['left']), ...same(definition['right'])];
    case 'number':
    case 'boolean':
    case 'enum':
    case 'literal':
    case 'null':
    case 'custom': // Such as z.instanceof() makes: what is none of JSON's.
      return [];
    default:
      throw new Error(`a schema of the kind ${type}: which texts does it let in?`);
  }
}

function takesNone(schema: unknown): boolean {
  const checks = (definitionOf(schema)['checks'] ?? []) as {
    _zod: { def: { maximum?: number } };
  }[];
  return checks.some((check) => check._zod.def.maximum === 0);
}

function definitionOf(schema: unknown): Definition {
  return (schema as { _zod: { def: Definition } })._zod.def;
}
