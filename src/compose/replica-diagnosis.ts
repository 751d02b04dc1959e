import { type Finding, findings, ok, warning } from '../core/diagnosis/finding.ts';
import { type Replica, toReplicas } from '../core/pool/replicas.ts';
import { openDatabase } from '../store/database.ts';
import { findPool, type Pool } from '../store/pool/pool-store.ts';
import { createPendingGenerationStore } from '../store/recovery/root-keys/pending-generation-store.ts';
import { createReplicaStore } from '../store/pool/replica-store.ts';
import { LIMITS } from './limits.ts';
import { commandContext } from './store.ts';
import type { ServiceSettings } from './service/settings.ts';

const SUBJECT = 'replica';
const CLOCK_LIMIT_MS = 1_000;

/** Which replicas serve the pool, by what they have said of themselves. */
export function examineReplicas(
  settings: Pick<ServiceSettings, 'databaseUrl' | 'pool'>,
): Promise<readonly Finding[]> {
  return findings(SUBJECT, async () => {
    const { databaseUrl: url } = settings;
    const db = openDatabase({ url, connections: 1, onIdleError: () => undefined });
    try {
      const pool = await findPool(db, settings.pool);
      const none = [ok(SUBJECT, 'None serves the pool now.')];
      if (pool === undefined) return none;
      const context = commandContext(db, pool);
      const replicas = toReplicas(
        await createReplicaStore(context).list(LIMITS.replicaProcesses),
        (await createPendingGenerationStore(context).find())?.generation,
      );
      if (replicas.length === 0) return none;
      return replicas.map((replica) => describe(replica, pool, replicas));
    } finally {
      await db.destroy();
    }
  });
}

function describe(replica: Replica, pool: Pool, all: readonly Replica[]): Finding {
  const who = `"${replica.name}" (${replica.id}, version ${replica.version})`;
  if (replica.status === 'silent')
    return warning(
      SUBJECT,
      `${who} was heard of last at ${replica.seenAt.toISOString()}: it has ended without a word, hangs, or is cut off from the database.`,
    );
  if (replica.status === 'not ready')
    return warning(SUBJECT, `${who} does not serve. ${replica.reason ?? ''}`.trim());
  if (!replica.rootGenerations.includes(pool.rootGeneration))
    return warning(SUBJECT, `${who} lacks the root keys of generation ${pool.rootGeneration}.`);
  if (replica.lacksRootGeneration !== undefined)
    return warning(
      SUBJECT,
      `${who} lacks the root keys of generation ${replica.lacksRootGeneration}, which wait for it: restore the newest security domain there (\`strongroom security-domain restore\`).`,
    );
  if (Math.abs(replica.clockDifferenceMs ?? 0) > CLOCK_LIMIT_MS)
    return warning(
      SUBJECT,
      `The clock of ${who} is ${Math.abs(replica.clockDifferenceMs ?? 0)} ms ${(replica.clockDifferenceMs ?? 0) > 0 ? 'ahead of' : 'behind'} the database's.`,
    );
  if (all.some(({ version, status }) => status !== 'silent' && version !== replica.version))
    return warning(SUBJECT, `${who} serves beside others of another version: end the upgrade.`);
  return ok(
    SUBJECT,
    `${who} serves with ${replica.processes} processes; changes reach it in ${replica.feedLagMs ?? 0} ms.`,
  );
}
