import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { grantControlRole } from '../../src/compose/control-access.ts';
import { composeResources } from '../../src/compose/resources.ts';
import type { Authorizer } from '../../src/core/access/ports.ts';
import type { Principal } from '../../src/core/access/principal.ts';
import type { AuditRecord } from '../../src/core/audit/record.ts';
import { systemClock } from '../../src/core/clock.ts';
import { ServiceError } from '../../src/core/errors.ts';
import { NO_TRACING } from '../../src/core/tracing.ts';
import { type AppParts, createApp, type TenantParts } from '../../src/http/app.ts';
import { FakePoolProvisioner } from './fakes/pool-provisioner.ts';
import { standIn } from './routes.ts';
import { type Db, makePool, processOf } from './store.ts';

const LOG = pino({ enabled: false });
const VERSION = '2026-05-15';

export type ControlPlane = Awaited<ReturnType<typeof openControlPlane>>;

/** The control plane of a tenant of its own: everything of it is real but who calls, and the pools that it makes. */
export async function openControlPlane(db: Db) {
  const pool = await makePool(db);
  const context = processOf(db, pool);
  const provisioner = new FakePoolProvisioner();
  const nobody: Authorizer = {
    isAllowed: () => Promise.resolve(false),
    isAllowedNow: () => Promise.resolve(false),
  };
  const resources = await composeResources(
    {
      context,
      pool: { ...pool, ...{ createdAt: new Date() } },
      settings: { domain: 'pools.example' } as Parameters<typeof composeResources>[0]['settings'],
      clock: systemClock,
      log: LOG,
    },
    {
      provisioner,
      authorizer: nobody,
      storeClock: { agreedTime: () => Promise.resolve(new Date()) },
    },
  );
  const owner = randomUUID();
  const { subscriptions } = await grantControlRole(context, {
    principalId: owner,
    role: 'Owner',
    scope: '/',
  });
  const records: AuditRecord[] = [];
  const parts: Partial<AppParts> = {
    domain: 'pools.example',
    name: pool.name,
    tenant: orStandIn<TenantParts>({ resources: resources.app }),
    authorizer: nobody,
    cursorKey: new Uint8Array(32),
    clock: systemClock,
    log: LOG,
    tracing: NO_TRACING,
    onRequest: () => undefined,
    onResponse: () => undefined,
    gate: {
      isOpenTo: () => true,
      read: () => Promise.resolve({ isActive: true, isDeleted: false, isRestoring: false }),
    },
    throttle: {
      byAddress: (_req, _res, next) => {
        next();
      },
      requirePrincipal: () => Promise.resolve(),
      countRefusal: () => Promise.resolve(),
    },
    refusals: { admit: () => true },
    auditLog: {
      append: (record) => {
        records.push(record);
        return Promise.resolve();
      },
      appendLater: () => undefined,
    },
    authenticate: (header) => Promise.resolve(principalOf(header ?? '', pool.tenantId)),
  };
  const app = createApp(orStandIn(parts));
  const server = createServer(app).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  /**
   * @param path with or without api-version; a Location is one, too
   * @param how `as`: the object id of who calls. `version`: null for none
   */
  async function call(
    method: string,
    path: string,
    body?: unknown,
    how: { readonly as?: string; readonly version?: string | null } = {},
  ) {
    const { as = owner, version = VERSION } = how;
    const url = new URL(path, origin);
    if (!url.searchParams.has('api-version') && version !== null)
      url.searchParams.set('api-version', version);
    const response = await fetch(new URL(`${url.pathname}${url.search}`, origin), {
      method,
      headers: { Authorization: `Bearer ${as}`, 'Content-Type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      json: (text === '' ? undefined : JSON.parse(text)) as Answer,
    };
  }

  return {
    owner,
    subscriptionId: subscriptions[0]?.id ?? '',
    pool,
    context,
    provisioner,
    records,
    call,
    /** What a poller ends with. */
    async settle(response: Awaited<ReturnType<typeof call>>) {
      let polled = response;
      const location = response.headers.get('location') ?? '';
      for (let tries = 0; polled.status === 202 && tries < 500; tries += 1) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        polled = await call('GET', location);
      }
      return polled;
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await resources.stop();
    },
  };
}

/** What isn't there is a stand-in. */
function orStandIn<Parts extends object>(parts: Partial<Parts>): Parts {
  return new Proxy(parts as Parts, {
    get: (target, name) => (name in target ? target[name as keyof Parts] : standIn()),
  });
}

/** As much of the answers as tests look at. */
interface Answer {
  readonly [name: string]: unknown;
  readonly id: string;
  readonly name: string;
  readonly nextLink?: string;
  readonly value: readonly Answer[];
  readonly properties: Readonly<Record<string, unknown>>;
  readonly error: { readonly code: string; readonly message: string };
}

/** The token is the object id. */
function principalOf(header: string, tenantId: string): Principal {
  const objectId = header.replace(/^Bearer /, '');
  if (objectId === '') throw new ServiceError('Unauthenticated', 'No credential.');
  return { tenantId, objectId, groups: [] };
}
