import { randomUUID } from 'node:crypto';
import { createCertificates } from '../../src/attestation/certificates.ts';
import { newVersionId } from '../../src/compose.ts';
import { type AuditRecord } from '../../src/core/audit.ts';
import { createAuditChain } from '../../src/core/audit-chain.ts';
import { createCheckpointService } from '../../src/core/checkpoint-service.ts';
import { createStatementKeys } from '../../src/core/statement-keys.ts';
import { createTrailVerifier } from '../../src/core/trail-verification.ts';
import { createAuditSink } from '../../src/store/audit-store.ts';
import { createCheckpointStore, createTrailReader } from '../../src/store/checkpoint-store.ts';
import { createStatementKeyStore } from '../../src/store/statement-key-store.ts';
import { createStateReader } from '../../src/store/witness/state-reader.ts';
import { FakeClock } from './fakes/clock.ts';
import { createRsaHsm } from './fakes/rsa-hsm.ts';
import { makePool, openStoreDatabase, withClient } from './store.ts';

export type TestTrail = Awaited<ReturnType<typeof openTestTrail>>;
export type TestWriter = ReturnType<TestTrail['newWriter']>;

/** A pool's trail in a database of its own, and processes that write to it at a time of the test's choice. */
export async function openTestTrail(start: string) {
  const database = await openStoreDatabase();
  const { db } = database;
  const pool = await makePool(db);
  const clock = new FakeClock(start);
  const newChain = () => createAuditChain({ poolId: pool.id, newGuid: randomUUID, clock });
  const shared = { db, poolId: pool.id, tell: () => undefined };
  const keysChain = newChain();
  const statements = createStatementKeys({
    hsm: createRsaHsm(),
    store: createStatementKeyStore({ ...shared, chain: keysChain }),
    certificates: createCertificates(),
    pool,
    newVersionId,
    newGuid: randomUUID,
    clock,
  });
  const verifier = createTrailVerifier({
    trail: createTrailReader(shared),
    // Of the records alone: the pool was put there without one.
    state: { ...createStateReader(shared), tables: [] },
    statements,
    poolId: pool.id,
    clock,
  });

  function newWriter() {
    const chain = newChain();
    const sink = createAuditSink({ ...shared, chain });
    const checkpoints = createCheckpointService({
      chains: [chain, keysChain],
      store: createCheckpointStore(shared),
      statements,
      poolId: pool.id,
      clock,
      onLoss: () => undefined,
    });
    const record = (): AuditRecord => ({
      time: clock.now(),
      requestId: randomUUID(),
      operation: 'KeySign',
      outcome: 'success',
      status: 200,
      durationMs: 1,
    });
    return {
      chain,
      checkpoints,
      /** @returns their request ids */
      async write(count: number): Promise<string[]> {
        const records = Array.from({ length: count }, record);
        await sink.write(records);
        return records.map(({ requestId }) => requestId);
      },
    };
  }

  return {
    ...shared,
    database,
    clock,
    newWriter,
    verify: () => verifier.verify({ after: 0, recordLimit: 1e6 }),
    asOwner: (statement: string, values: unknown[] = []) =>
      withClient(database.ownerUrl, (client) => client.query(statement, values)),
    close: () => database.close(),
  };
}
