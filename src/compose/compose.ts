import type { Logger } from 'pino';
import { systemClock } from '../core/clock.ts';
import { OperatorError } from '../core/operator-error.ts';
import { NO_TRACING } from '../core/tracing.ts';
import { createPoolListener, type PoolApps } from '../http/pools.ts';
import { messagesOf, useMessagesOf } from '../http/server/server.ts';
import { startProcessMetrics } from '../observability/process-metrics.ts';
import { openTracing } from '../observability/tracing.ts';
import { connectionsOf } from '../store/database.ts';
import { listPools, type Pool } from '../store/pool/pool-store.ts';
import { LIMITS } from './limits.ts';
import { openPools, type Pools } from './pools.ts';
import { composePool, type ServedPool, type ServingProcess } from './served-pool.ts';
import type { Overrides, Service } from './service/service.ts';
import { settingsOf } from './service/pool-settings.ts';
import type { ServiceSettings } from './service/settings.ts';
import { openProcessStore } from './store.ts';

/**
 * Puts together what a worker process serves: the default pool, and the others of the database as they come and go.
 * @throws OperatorError where a setting has to be mended
 */
export async function compose(
  settings: ServiceSettings,
  log: Logger,
  overrides: Overrides = {},
): Promise<Service> {
  const { clock = systemClock, ...others } = overrides;
  const store = await openProcessStore(settings, log);
  const { tracesUrl } = settings;
  const tracing = tracesUrl === undefined ? NO_TRACING : await openTracing(tracesUrl);
  const endMetrics = startProcessMetrics(() => ({
    database: connectionsOf(store.db, store.auditDb),
    isFeedCoherent: store.feed.isCoherent(),
  }));
  const process: ServingProcess = {
    store,
    clock,
    tracing,
    others: (pool) => ({
      share: (name) => pools.besides(pool).share(name),
      refuse: (name) => pools.besides(pool).refuse(name),
    }),
    isServing: false,
    overrides: others,
  };
  const first = await composePool(process, settings, log);
  const { identityApp } = first;
  if (identityApp === undefined) throw noHome(settings.pool);
  const messages = messagesOf(first.app);

  /** Any other pool: it is no reason to end the process. */
  async function open(pool: Pool, home: ServedPool | undefined): Promise<ServedPool> {
    const served = await composePool(
      {
        ...process,
        isServing: true,
        overrides: {
          ...others,
          onRestored: () => {
            pools.lookAgain();
          },
        },
      },
      settingsOf(settings, pool, { tried: first.tried, pools: 1 + pools.open.length }),
      log.child({ pool: pool.name }),
      home?.entrance,
    );
    useMessagesOf(first.app, served.app);
    return served;
  }

  const pools: Pools = openPools(first, {
    list: () => listPools(store.db),
    open,
    opensAtStart: settings.opensPoolsAtStart !== false,
    steadyMs: () => performance.now(),
    log,
  });

  function appsOf(served: ServedPool): PoolApps {
    return { own: served.app, tenant: (pools.homeOf(served) ?? served).app };
  }

  return {
    app: createPoolListener({
      domain: settings.domain,
      first: first.app,
      waitMs: LIMITS.poolOpenWaitMs,
      find(name) {
        // Most requests are for it: whose path theirs is its application sees by itself.
        if (name === settings.pool) return undefined;
        const found = pools.find(name);
        if (found instanceof Promise) return found.then((served) => served && appsOf(served));
        return found && appsOf(found);
      },
    }),
    messages,
    identityApp,
    readiness: first.readiness,
    tried: first.tried,
    endStreams() {
      for (const served of [first, ...pools.open]) served.endStreams();
    },
    async close() {
      await pools.close();
      await first.close();
      await tracing.close();
      endMetrics();
      await store.close();
    },
  };
}

function noHome(pool: string): OperatorError {
  return new OperatorError(
    `STRONGROOM_POOL: the pool "${pool}" goes by the directory of another one. Name that one: the others are served beside it.`,
  );
}
