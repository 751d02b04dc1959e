import { randomUUID } from 'node:crypto';
import {
  FORGOTTEN_AFTER_MS,
  type Replica,
  type ReplicaStore,
  REPORT_EVERY_MS,
  type ServingProcess,
  toReplicas,
} from '../../core/pool/replicas.ts';
import { repeat } from '../../core/repeating.ts';
import type { Readiness } from '../../http/pool/health.routes.ts';
import { createReplicaStore } from '../../store/pool/replica-store.ts';
import { createPendingGenerationStore } from '../../store/recovery/root-keys/pending-generation-store.ts';
import { createRootKeyOfferStore } from '../../store/recovery/root-keys/root-key-offer-store.ts';
import { LIMITS } from '../limits.ts';
import type { Base } from './base.ts';

interface ReportedParts {
  readonly readiness: Readiness;
  readonly rootKeys: {
    readonly held: readonly number[];
    heldPending(): Promise<number | undefined>;
    lookNow(): void;
  };
}

/** Says now and every few seconds how this process is, and knows of the others. */
export async function reportProcess(
  { context, feed, clock, log, settings, hsm }: Base,
  { readiness, rootKeys }: ReportedParts,
) {
  const offers = createRootKeyOfferStore(context);
  const pending = createPendingGenerationStore(context);
  const store: ReplicaStore = createReplicaStore(context);
  const { version, schema, ...replica } = settings.replica;
  const process: ServingProcess = {
    id: randomUUID(),
    replica,
    version,
    schema,
    startedAt: clock.now(),
  };
  let heldPending: number | undefined;
  let clockDifferenceMs: number | undefined;
  let known: readonly Replica[] = [];
  let lookedAt = Number.NEGATIVE_INFINITY;

  /** The current ones, and those that are to become them. */
  async function heldGenerations(): Promise<readonly number[]> {
    const held = new Set(rootKeys.held);
    const waiting = await rootKeys.heldPending();
    // It may be the last one that was waited for.
    if (waiting !== undefined && waiting !== heldPending) rootKeys.lookNow();
    heldPending = waiting;
    if (waiting !== undefined) held.add(waiting);
    const offer = await offers.find();
    if (offer !== undefined && (await hsm.holdsRootKeys(offer.generation, offer.rootCheck)))
      held.add(offer.generation);
    return [...held];
  }

  const list = async () =>
    toReplicas(await store.list(LIMITS.replicaProcesses), (await pending.find())?.generation);

  async function report(): Promise<void> {
    const { parts, reason } = await readiness();
    const missing = Object.keys(parts).filter((name) => parts[name] === false);
    const rootGenerations = await heldGenerations();
    const asked = clock.now().getTime();
    const time = await store.report(process, {
      isReady: missing.length === 0,
      reason: missing.length === 0 ? undefined : (reason ?? `Not ready: ${missing.join(', ')}.`),
      rootGenerations,
      feedLagMs: feed.lagMs(),
      clockDifferenceMs,
    });
    // The store looked at its clock somewhere between the two.
    clockDifferenceMs = Math.round((asked + clock.now().getTime()) / 2 - time.getTime());
    if (performance.now() - lookedAt < LIMITS.replicasEveryMs) return;
    lookedAt = performance.now();
    await store.forget(FORGOTTEN_AFTER_MS);
    known = await list();
  }

  const onFault = (error: unknown) => {
    log.debug({ err: error, pool: settings.pool }, 'this process could not say how it is');
  };
  // Before it serves: whoever makes new root keys has to wait for it.
  await report().catch(onFault);
  const stop = repeat(report, REPORT_EVERY_MS, Math.random, onFault);
  let isStopped = false;
  let reporting: Promise<void> | undefined;
  // Somebody may wait to hear whether new root keys are held here.
  feed.subscribe((change) => {
    if (change === 'reset' || change.topic !== 'root-keys' || isStopped) return;
    reporting ??= report()
      .catch(onFault)
      .finally(() => {
        reporting = undefined;
      });
  });
  return {
    list,
    /** Of the pool; as last read. */
    get known(): readonly Replica[] {
      return known;
    },
    async stop(): Promise<void> {
      isStopped = true;
      await stop();
      await reporting;
      await store.remove(process.id).catch(() => undefined);
    },
  };
}
