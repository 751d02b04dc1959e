import type { IncomingMessage, RequestListener } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { parseTarget } from '../network/authority.ts';
import { type App, isOfTenant } from './app.ts';
import { createHostReader } from './server/hosts.ts';
import { normalise } from './server/request-target.ts';

/** A pool's own application, and that of the pool which keeps the directory of its tenant. */
export interface PoolApps {
  readonly own: App;
  readonly tenant: App;
}

export interface PoolListenerParts {
  /** Parent domain of the pools. */
  readonly domain: string;
  /** Of the default pool, which takes whatever names no other, and refuses what no other takes. */
  readonly first: App;
  /** By the name that a host has. */
  readonly find: (name: string) => PoolApps | Promise<PoolApps | undefined> | undefined;
  /** Of a request, for a pool that is being opened. */
  readonly waitMs: number;
}

/** Hands each request to the application of the pool that its host names. */
export function createPoolListener(parts: PoolListenerParts): RequestListener {
  const { first, find, waitMs } = parts;
  const readHost = createHostReader(parts.domain);

  /** What can't be read is refused by whoever reads it next. */
  function read({ url = '', headers }: IncomingMessage): {
    pool?: string | undefined;
    path: string;
  } {
    try {
      if (url.startsWith('/')) return { pool: readHost(headers.host).pool, path: url };
      const target = parseTarget(url, 'https');
      return target === undefined
        ? { path: url }
        : { pool: readHost(target.authority).pool, path: target.path };
    } catch {
      return { path: url };
    }
  }

  return (req, res) => {
    const { pool, path } = read(req);
    const found = pool === undefined ? undefined : find(pool);
    if (found === undefined) {
      first(req, res);
      return;
    }
    const answer = (apps: PoolApps | undefined) => {
      if (apps === undefined) first(req, res);
      else (isOfTenant(pathOf(path)) ? apps.tenant : apps.own)(req, res);
    };
    if (!(found instanceof Promise)) {
      answer(found);
      return;
    }
    const waited = new AbortController();
    const late = delay(waitMs, undefined, { signal: waited.signal }).catch(() => undefined);
    Promise.race([found, late]).then(
      (apps) => {
        waited.abort();
        answer(apps);
      },
      () => {
        waited.abort();
        answer(undefined);
      },
    );
  };
}

function pathOf(target: string): string {
  return normalise(target).split('?')[0] ?? '';
}
