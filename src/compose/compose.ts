import type { Logger } from 'pino';
import { systemClock } from '../core/clock.ts';
import { createPoolGate } from '../core/pool/pool-gate.ts';
import { NO_TRACING } from '../core/tracing.ts';
import { createApp } from '../http/app.ts';
import { createMetrics } from '../observability/metrics.ts';
import { openTracing } from '../observability/tracing.ts';
import { readPoolState } from '../store/pool/activation-store.ts';
import { composeAccess } from './access.ts';
import { composeAudit } from './audit.ts';
import type { Base } from './service/base.ts';
import { composeDirectory } from './directory.ts';
import { openHsm, requireKeeping } from './hsm.ts';
import { composeIdentity } from './identity.ts';
import { composeKeys } from './keys.ts';
import { openObjectKeeper } from './objects.ts';
import { startMaintenance, watchClock } from './service/maintenance.ts';
import { composeOperations } from './operations.ts';
import { readProcessState } from './service/process-state.ts';
import { composeReadiness } from './service/readiness.ts';
import { reportProcess } from './service/replicas.ts';
import { composeRecovery } from './recovery.ts';
import { composeRelease } from './release.ts';
import { recordActivation } from './activation.ts';
import { openPoolKeys } from './root-keys.ts';
import { watchRestores } from './service/restore-watch.ts';
import { watchRootKeys } from './service/root-key-watch.ts';
import { watchRequests } from './service/request-watch.ts';
import type { Service, Overrides } from './service/service.ts';
import type { ServiceSettings } from './service/settings.ts';
import { logUnopenedKeys } from './unopened-keys.ts';
import { openServiceStore } from './store.ts';

/**
 * Puts a service together: the one place where the adapters meet, each area in the file of its name.
 * @throws OperatorError where a setting has to be mended
 */
export async function compose(
  settings: ServiceSettings,
  log: Logger,
  overrides: Overrides = {},
): Promise<Service> {
  const { clock = systemClock, onHang, onRestored, isStartOver, auditLog } = overrides;
  const store = await openServiceStore(settings, log, clock);
  const keeping = requireKeeping(store.pool, settings.keeping);
  const module = openHsm(settings, keeping, log, onHang, true);
  await openPoolKeys(store.context, store.pool, module);
  await recordActivation(store.context);
  logUnopenedKeys(store.context, module, log);
  const metrics = createMetrics(() =>
    readProcessState({
      module,
      store,
      audit,
      access,
      keeper,
      rootKeys,
      storeClock,
      replicas,
      ...recovery,
    }),
  );
  const { tracesUrl } = settings;
  const tracing = tracesUrl === undefined ? NO_TRACING : await openTracing(tracesUrl);
  const hsm = metrics.meterHsm(module, tracing);
  const keeper = openObjectKeeper(store.context, store.pool, hsm, settings, log);
  const objects = await keeper?.look();
  log.info({ ...objects }, `the keys of the pool are ${keeping}`);
  const base: Base = { ...store, settings, log, clock, hsm, keeper, metrics };

  const requests = watchRequests(metrics, log);
  const audit = composeAudit(base, requests.underWay);
  const keys = composeKeys(base);
  const access = await composeAccess(base);
  const directory = composeDirectory(base);
  const identity = composeIdentity(base, directory, audit);
  const rootKeys = watchRootKeys(base);
  const recovery = composeRecovery(base, rootKeys);
  const stopRestoreWatch = watchRestores(base, onRestored ?? (() => undefined));
  const storeClock = watchClock(base);
  const stopMaintenance = startMaintenance(base, { keys, identity, audit, storeClock });
  const readiness = composeReadiness(base, { hsm: module, audit, rootKeys, isStartOver });
  const replicas = await reportProcess(base, { readiness, rootKeys });

  const app = createApp({
    hosts: { domain: settings.domain, pool: settings.pool },
    cursorKey: await module.cursorKey(),
    ...keys.app,
    ...composeOperations(base, keys),
    ...access,
    ...directory.app,
    ...identity.app,
    ...audit.app,
    ...recovery.app,
    replicas,
    gate: createPoolGate(store.feed, () => readPoolState(store.context)),
    ...requests.app,
    ...(auditLog !== undefined && { auditLog }),
    release: composeRelease(base, keys, audit.certifiedKeys),
    hsm: keys.hsm,
    readiness,
    tracing,
    clock,
    log,
  });
  return {
    app,
    identityApp: identity.managedIdentityApp,
    readiness,
    tried: module.tried,
    endStreams: audit.endStreams,
    async close() {
      await replicas.stop();
      await stopMaintenance();
      await stopRestoreWatch();
      await recovery.close();
      await rootKeys.stop();
      await audit.close();
      await tracing.close();
      await module.close();
      await store.close();
    },
  };
}
