import type { RequestListener } from 'node:http';
import type { Logger } from 'pino';
import type { Clock } from '../core/clock.ts';
import { createPoolGate } from '../core/pool/pool-gate.ts';
import type { Tracing } from '../core/tracing.ts';
import type { TriedModule } from '../hsm/capabilities/tried-module.ts';
import type { Pkcs11Hsm } from '../hsm/pkcs11-hsm.ts';
import { type App, createApp, type OtherPools } from '../http/app.ts';
import type { Readiness } from '../http/pool/health.routes.ts';
import { createMetrics } from '../observability/metrics.ts';
import { readPoolState } from '../store/pool/activation-store.ts';
import type { Pool } from '../store/pool/pool-store.ts';
import { composeAccess } from './access.ts';
import { recordActivation } from './activation.ts';
import { composeAudit } from './audit.ts';
import { composeDirectory } from './directory.ts';
import { openHsm, openHsmBeside, requireKeeping } from './hsm.ts';
import { composeIdentity } from './identity.ts';
import { composeKeys } from './keys.ts';
import { openObjectKeeper } from './objects.ts';
import { composeOperations } from './operations.ts';
import { composeRecovery } from './recovery.ts';
import { createPoolProvisioner } from './provisioning/pool-provisioner.ts';
import { composeRelease } from './release.ts';
import { composeResources } from './resources.ts';
import { openPoolKeys } from './root-keys.ts';
import type { Base } from './service/base.ts';
import { startMaintenance, watchClock } from './service/maintenance.ts';
import { readPoolReadings } from './service/pool-readings.ts';
import { composeReadiness } from './service/readiness.ts';
import { reportProcess } from './service/replicas.ts';
import { watchRequests } from './service/request-watch.ts';
import { watchRestores } from './service/restore-watch.ts';
import { watchRootKeys } from './service/root-key-watch.ts';
import type { Overrides } from './service/service.ts';
import type { ServiceSettings } from './service/settings.ts';
import { openServiceStore, type ProcessStore, type ServiceStore } from './store.ts';
import { logUnopenedKeys } from './unopened-keys.ts';

/** What all pools of a worker process share. */
export interface ServingProcess {
  readonly store: ProcessStore;
  readonly clock: Clock;
  readonly tracing: Tracing;
  readonly others: (pool: Pool) => OtherPools;
  /** Whether it serves other pools already. */
  readonly isServing: boolean;
  readonly overrides: Omit<Overrides, 'clock'>;
}

/** Of the pool that keeps a directory: what the other pools of its tenant go by. */
export type Entrance = ReturnType<typeof composeIdentity>['app'];

/** A pool that a worker process serves. */
export interface ServedPool {
  readonly pool: Pool;
  readonly app: App;
  readonly entrance: Entrance;
  /** App Service's identity endpoint; of the pool that keeps the directory alone. */
  readonly identityApp: RequestListener | undefined;
  /** What was found out about its PKCS#11 module. */
  readonly tried: TriedModule;
  readonly readiness: Readiness;
  /** Ends the answers that have no end of their own. */
  endStreams(): void;
  /** Writes what is waiting, and gives up the HSM. Requests must have ended. */
  close(): Promise<void>;
}

/**
 * Puts a pool's service together: the one place where the adapters meet, each area in the file of its name.
 * @param entrance of the pool that keeps the directory; the pool's own where absent
 * @throws OperatorError where a setting has to be mended
 */
export async function composePool(
  process: ServingProcess,
  settings: ServiceSettings,
  log: Logger,
  entrance?: Entrance,
): Promise<ServedPool> {
  const { clock, tracing } = process;
  const { onHang, onRestored, isStartOver, auditLog } = process.overrides;
  const store = await openServiceStore(process.store, settings, clock);
  const keeping = requireKeeping(store.pool, settings.keeping);
  const hanging = { onHang, usesThreads: true };
  const module = process.isServing
    ? await openHsmBeside(settings, keeping, log, hanging)
    : openHsm(settings, keeping, log, hanging);
  const cursorKey = await openKeys(store, module).catch(async (error: unknown) => {
    store.leave();
    await module.close();
    throw error;
  });
  logUnopenedKeys(store.context, module, log);
  const metrics = createMetrics(settings.pool, () =>
    readPoolReadings({
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
  const hsm = metrics.meterHsm(module, tracing);
  const keeper = openObjectKeeper(store.context, store.pool, hsm, settings, log);
  const objects = await keeper?.look();
  log.info({ ...objects }, `the keys of the pool are ${keeping}`);
  const base: Base = { ...store, settings, log, clock, hsm, keeper, metrics };

  const requests = watchRequests(metrics, log);
  const audit = composeAudit(base, requests.underWay);
  const keys = composeKeys(base);
  const access = await composeAccess(base);
  const directory = entrance === undefined ? composeDirectory(base) : undefined;
  const identity = directory && composeIdentity(base, directory, audit);
  const rootKeys = watchRootKeys(base);
  const recovery = composeRecovery(base, rootKeys);
  const stopRestoreWatch = watchRestores(base, onRestored ?? (() => undefined));
  const storeClock = watchClock(base);
  const stopMaintenance = startMaintenance(base, { keys, identity, audit, storeClock });
  const readiness = composeReadiness(base, { hsm: module, audit, rootKeys, isStartOver });
  const replicas = await reportProcess(base, { readiness, rootKeys });
  const resources =
    directory &&
    (await composeResources(base, {
      authorizer: access.authorizer,
      storeClock,
      provisioner: createPoolProvisioner({ settings, db: store.context.db, home: store.pool }),
    }));
  const way = entrance ?? identity?.app;
  if (way === undefined) throw new TypeError('a pool has an entrance of its own, or another one');

  const app = createApp({
    domain: settings.domain,
    name: settings.pool,
    others: process.others(store.pool),
    cursorKey,
    ...keys.app,
    ...composeOperations(base, keys),
    ...access,
    tenant: directory &&
      identity &&
      resources && {
        ...directory.app,
        identity: identity.endpoints,
        resources: resources.app,
      },
    ...way,
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
    pool: store.pool,
    app,
    entrance: way,
    identityApp: identity?.managedIdentityApp,
    readiness,
    tried: module.tried,
    endStreams: audit.endStreams,
    async close() {
      await resources?.stop();
      await replicas.stop();
      await stopMaintenance();
      await stopRestoreWatch();
      await recovery.close();
      await rootKeys.stop();
      await audit.close();
      store.leave();
      metrics.close();
      await module.close();
    },
  };
}

/** @returns by which the cursors of the pool's pages are known for its own */
async function openKeys({ context, pool }: ServiceStore, hsm: Pkcs11Hsm): Promise<Uint8Array> {
  await openPoolKeys(context, pool, hsm);
  await recordActivation(context);
  return hsm.cursorKey();
}
