import { type Express } from 'express';
import { createApp, type AppParts } from '../../src/http/app.ts';
import { type RouteDefinition } from '../../src/http/route.ts';

/** A route as it was added: `path` has its parameters in Express's form, `/keys/:name`. */
export interface KnownRoute {
  readonly method: string;
  readonly path: string;
  /** As `route()` was told; absent for the few that are made without it. */
  readonly definition?: Pick<RouteDefinition<unknown, unknown, unknown>, 'body' | 'query'>;
}

interface Layer {
  readonly route?: {
    readonly path: string | readonly string[];
    readonly methods: Readonly<Record<string, boolean>>;
    readonly stack: readonly Layer[];
  };
  readonly handle?: {
    readonly stack?: readonly Layer[];
    readonly definition?: NonNullable<KnownRoute['definition']>;
  };
}

/** Every route of the REST surface, read from the application itself: one that is added is found without being listed. */
export function listRoutes(): readonly KnownRoute[] {
  const app: Express = createApp(standIn() as AppParts);
  return routesOf((app.router as unknown as { stack: readonly Layer[] }).stack);
}

function routesOf(stack: readonly Layer[]): readonly KnownRoute[] {
  return stack.flatMap(({ route, handle }) =>
    route === undefined
      ? routesOf(handle?.stack ?? [])
      : [route.path].flat().flatMap((path) =>
          Object.keys(route.methods).map((method) => ({
            method: method.toUpperCase(),
            path,
            ...definitionOf(route.stack),
          })),
        ),
  );
}

function definitionOf(stack: readonly Layer[]) {
  const definition = stack.find(({ handle }) => handle?.definition !== undefined)?.handle
    ?.definition;
  return definition === undefined ? {} : { definition };
}

/** Whatever is read or called, it is another one: enough to put the application together, not to serve anything. */
function standIn(): unknown {
  return new Proxy(() => undefined, {
    get: (_target, name) => (name === Symbol.toPrimitive ? () => 'stand-in' : standIn()),
    apply: () => standIn(),
  });
}
