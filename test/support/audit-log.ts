import { randomUUID } from 'node:crypto';
import { createCertificates } from '../../src/attestation/certificates.ts';
import { newVersionId } from '../../src/core/keys/new-version-id.ts';
import type { AuditRecord } from '../../src/core/audit/record.ts';
import { createAuditChain } from '../../src/core/audit/chain.ts';
import { createCheckpointService } from '../../src/core/audit/checkpoint-service.ts';
import { createCertifiedKeys } from '../../src/core/pool/certified-keys.ts';
import { createLogVerifier } from '../../src/core/audit/verification/log-verification.ts';
import { createAuditWriter } from '../../src/store/audit/audit-store.ts';
import {
  createCheckpointStore,
  createAuditLogReader,
} from '../../src/store/audit/checkpoint-store.ts';
import { createCertifiedKeyStore } from '../../src/store/pool/certified-key-store.ts';
import { createStateReader } from '../../src/store/witness/state-reader.ts';
import { FakeClock } from './fakes/clock.ts';
import { createRsaHsm } from './fakes/rsa-hsm.ts';
import { makePool, openStoreDatabase, withClient } from './store.ts';

export type TestAuditLog = Awaited<ReturnType<typeof openTestAuditLog>>;
export type TestWriter = ReturnType<TestAuditLog['newWriter']>;

/** A pool's audit log in a database of its own, and processes that write to it at a time of the test's choice. */
export async function openTestAuditLog(start: string) {
  const database = await openStoreDatabase();
  const { db } = database;
  const pool = await makePool(db);
  const clock = new FakeClock(start);
  const newChain = () => createAuditChain({ poolId: pool.id, newGuid: randomUUID, clock });
  const shared = { db, poolId: pool.id, homeId: pool.id, restores: 0, publish: () => undefined };
  const keysChain = newChain();
  const statements = createCertifiedKeys({
    hsm: createRsaHsm(),
    store: createCertifiedKeyStore({ ...shared, chain: keysChain }),
    certificates: createCertificates(),
    pool,
    newVersionId,
    newGuid: randomUUID,
    clock,
  });
  const verifier = createLogVerifier({
    auditLog: createAuditLogReader(shared),
    // Of the records alone: the pool was put there without one.
    state: { ...createStateReader(shared), tables: [] },
    certifiedKeys: statements,
    poolId: pool.id,
    clock,
  });

  function newWriter() {
    const chain = newChain();
    const writer = createAuditWriter({ ...shared, chain });
    const checkpoints = createCheckpointService({
      chains: [chain, keysChain],
      store: createCheckpointStore(shared),
      certifiedKeys: statements,
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
        await writer.write(records);
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
