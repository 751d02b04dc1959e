import type { Express } from 'express';
import { createApp, type AppParts } from '../../src/http/app.ts';
import { createManagedIdentityApp } from '../../src/http/identity/managed-identity.ts';
import type { RouteDefinition } from '../../src/http/route.ts';
import type { RouteDeclaration } from '../../src/http/routes.ts';

/** As it was declared; those of one body have the schemas with which it and the query are read. */
type KnownDefinition = RouteDeclaration &
  Partial<Pick<RouteDefinition<unknown, unknown, unknown>, 'body' | 'query'>>;

/** A route of an application: `path` has its parameters in Express's form, `/keys/:name`. */
export interface KnownRoute {
  readonly method: string;
  readonly path: string;
  /** Absent for one that was added past `declare()`. */
  readonly definition?: KnownDefinition;
}

interface Layer {
  readonly route?: {
    readonly path: string | readonly string[];
    readonly methods: Readonly<Record<string, boolean>>;
    readonly stack: readonly Layer[];
  };
  readonly handle?: {
    readonly stack?: readonly Layer[];
    readonly definition?: KnownDefinition;
  };
}

/** Every route of the REST surface, read from the application itself: one that is added is found without being listed. */
export function listRoutes(): readonly KnownRoute[] {
  return routesOf(createApp(standIn() as AppParts));
}

/** The routes of the endpoint for workloads on the same machine. */
export function listManagedIdentityRoutes(): readonly KnownRoute[] {
  return routesOf(
    createManagedIdentityApp(
      standIn() as Parameters<typeof createManagedIdentityApp>[0],
      () => undefined,
    ),
  );
}

function routesOf(app: Express): readonly KnownRoute[] {
  return readStack((app.router as unknown as { stack: readonly Layer[] }).stack);
}

function readStack(stack: readonly Layer[]): readonly KnownRoute[] {
  return stack.flatMap(({ route, handle }) => {
    if (route === undefined) return readStack(handle?.stack ?? []);
    const definition = route.stack.find((layer) => layer.handle?.definition !== undefined)?.handle
      ?.definition;
    // A router that is mounted knows only the rest of its paths; what was declared has them whole.
    return [definition?.path ?? route.path].flat().flatMap((path) =>
      Object.keys(route.methods).map((method) => ({
        method: method.toUpperCase(),
        path,
        ...(definition !== undefined && { definition }),
      })),
    );
  });
}

/** Whatever is read or called, it is another one: enough to put the application together, not to serve anything. */
export function standIn(): unknown {
  return new Proxy(() => undefined, {
    get: (_target, name) => (name === Symbol.toPrimitive ? () => 'stand-in' : standIn()),
    apply: () => standIn(),
  });
}
