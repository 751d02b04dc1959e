import { randomUUID } from 'node:crypto';
import type { TokenSigningKeys } from '../../core/directory/token-signing-keys.ts';
import { createClockWatch } from '../../core/pool/clock-watch.ts';
import { createMaintenance } from '../../core/pool/maintenance.ts';
import { repeat } from '../../core/repeating.ts';
import { makeAuditPartitions } from '../../store/audit/checkpoint-store.ts';
import { countUsage } from '../../store/audit/usage-store.ts';
import { readStoreTime } from '../../store/pool/store-time.ts';
import { putRowsOnRecord } from '../../store/witness/rows-on-record.ts';
import type { Audit } from '../audit.ts';
import type { Base } from './base.ts';
import type { Keys } from '../keys.ts';
import { LIMITS } from '../limits.ts';

interface MaintenanceParts {
  readonly keys: Keys;
  readonly identity: { readonly signingKeys: TokenSigningKeys } | undefined;
  readonly audit: Audit;
  readonly storeClock: ReturnType<typeof watchClock>;
}

/** Begins what the pool does by itself: purges, rotations, and the upkeep of the audit log. @returns stops it */
export function startMaintenance(base: Base, parts: MaintenanceParts): () => Promise<void> {
  const { log, clock } = base;
  const { keys, identity, audit, storeClock } = parts;
  const maintenance = createMaintenance({
    keys: keys.store,
    rotations: keys.rotations,
    rotation: keys.app.rotation,
    signingKeys: identity?.signingKeys,
    auditLog: audit.auditLog,
    clock,
    storeClock,
    newGuid: randomUUID,
    onEvent: (event) => {
      log.warn({ event }, 'a key is to be renewed');
    },
    onError: (operation, error) => {
      log.error({ err: error, operation }, 'maintenance failed: it is tried again');
    },
  });
  const keepAuditLog = createAuditLogUpkeep(base, parts);
  const keepObjects = createObjectUpkeep(base);
  return repeat(
    async () => {
      await maintenance.runOnce();
      await keepObjects().catch((error: unknown) => {
        log.error({ err: error }, "the upkeep of the HSM's objects failed: it is tried again");
      });
      await keepAuditLog().catch((error: unknown) => {
        log.error({ err: error }, 'the upkeep of the audit log failed: it is tried again');
      });
    },
    LIMITS.maintenanceEveryMs,
    Math.random,
    (error) => {
      log.error({ err: error }, 'the upkeep of the pool failed: it is tried again');
    },
  );
}

/** Of a resident pool: destroys what crashes have left, and counts what there is. */
function createObjectUpkeep({ log, keeper }: Base): () => Promise<void> {
  let countedAt = performance.now();
  return async () => {
    if (keeper === undefined) return;
    const objects = await keeper.mend();
    if (objects > 0) log.warn({ objects }, 'objects that no key needs were destroyed in the HSM');
    if (performance.now() - countedAt < LIMITS.objectsEveryMs) return;
    countedAt = performance.now();
    await keeper.look();
  };
}

/** Compares this machine's clock with PostgreSQL's. */
export function watchClock({ context, clock, log }: Pick<Base, 'context' | 'clock' | 'log'>) {
  return createClockWatch({
    readStoreTime: () => readStoreTime(context),
    clock,
    onChange: (difference, agrees) => {
      const seconds = `${Math.round(Math.abs(difference))} s`;
      if (agrees) log.info({}, "this machine's clock agrees with PostgreSQL's again");
      else
        log.error(
          {},
          `this machine's clock is ${seconds} ${difference > 0 ? 'ahead of' : 'behind'} PostgreSQL's: nothing is purged or rotated by itself until they agree`,
        );
    },
  });
}

function createAuditLogUpkeep(
  { log, context, chains }: Base,
  { audit, storeClock }: MaintenanceParts,
): () => Promise<void> {
  let rowsOnRecord: number | undefined;
  let partitionsMadeAt = Number.NEGATIVE_INFINITY;

  async function recordFoundRows(): Promise<void> {
    if (rowsOnRecord !== undefined) return;
    rowsOnRecord = await putRowsOnRecord({ ...context, chain: chains.found }, randomUUID);
    chains.found.end();
    if (rowsOnRecord !== undefined && rowsOnRecord > 0)
      log.info(
        { rows: rowsOnRecord },
        'rows from before an upgrade are on record: from now on a row that no record witnesses is found',
      );
  }

  return async () => {
    // Who has been silent for long by a wrong clock may be at work.
    if ((await storeClock.agreedTime()) !== undefined) await audit.checkpoints.countersign();
    await recordFoundRows();
    for (let rounds = 0; rounds < LIMITS.usageRounds && (await countUsage(context)); rounds += 1);
    if (performance.now() - partitionsMadeAt < LIMITS.partitionsEveryMs) return;
    await makeAuditPartitions(context);
    partitionsMadeAt = performance.now();
  };
}
