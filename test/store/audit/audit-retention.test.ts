import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import { applyRetention } from '../../../src/cli/audit/retention.ts';
import { openSignedLog } from '../../../src/compose/signed-log.ts';
import { AuditDraft } from '../../../src/core/audit/draft.ts';
import type { AuditRecord } from '../../../src/core/audit/record.ts';
import { createAuditChain } from '../../../src/core/audit/chain.ts';
import type { AgreedClock } from '../../../src/core/clock.ts';
import { describeRemoval, removeAuditMonths } from '../../../src/store/audit/audit-retention.ts';
import { createAuditWriter } from '../../../src/store/audit/audit-store.ts';
import { changing, openDatabase } from '../../../src/store/database.ts';
import { createPool } from '../../../src/store/pool/pool-store.ts';
import { witnessAgain } from '../../../src/store/witness/witness-again.ts';
import { createRsaHsm } from '../../support/fakes/rsa-hsm.ts';
import { openStoreDatabase, withClient } from '../../support/store.ts';

/** A pool whose life began in January 2025. */
async function openOldPool() {
  const database = await openStoreDatabase();
  for (const [name, from, to] of [
    ['2025_01', '2025-01-01', '2025-02-01'],
    ['2025_02', '2025-02-01', '2025-03-01'],
    ['2025_03', '2025-03-01', '2025-04-01'],
  ])
    await withClient(database.ownerUrl, (client) =>
      client.query(
        `create table audit_event_${String(name)} partition of audit_event
         for values from ('${String(from)}T00:00Z') to ('${String(to)}T00:00Z')`,
      ),
    );
  const db = openDatabase({ url: database.ownerUrl, connections: 5, onIdleError: () => undefined });
  const pool = {
    id: randomUUID(),
    name: 'main',
    tenantId: randomUUID(),
    softDeleteDays: 90,
    purgeProtection: false,
    rootGeneration: 1,
    rootCheck: randomBytes(32),
    keeping: 'sealed' as const,
    activation: 'hsm' as const,
    restores: 0,
    isHome: true,
  };
  const time = { now: new Date('2025-01-31T23:59:00Z') };
  const clock = { now: () => time.now };
  const newChain = () => createAuditChain({ poolId: pool.id, newGuid: randomUUID, clock });
  const chain = newChain();
  const keysChain = newChain();
  const context = {
    db,
    poolId: pool.id,
    homeId: pool.id,
    restores: 0,
    chain,
    publish: () => undefined,
  };
  const signedLog = openSignedLog({ ...context, chain: keysChain }, pool, createRsaHsm(), clock);
  const { verifier } = signedLog;
  const checkpoints = signedLog.checkpoints([chain, keysChain]);
  const newChange = () =>
    new AuditDraft(clock.now, { requestId: randomUUID(), operation: 'Change' });
  const changes = { ...context, chain: keysChain };
  await createPool(changes, pool, newChange());
  const writer = createAuditWriter(context);
  const record = (): AuditRecord => ({
    time: time.now,
    requestId: randomUUID(),
    operation: 'KeySign',
    outcome: 'success',
    status: 200,
    durationMs: 1,
  });
  return {
    database,
    time,
    pool,
    context,
    checkpoints,
    chainId: chain.id(),
    changesChainId: keysChain.id(),
    verify: (after = 0) => verifier.verify({ after, recordLimit: 1e6 }),
    set: async (at: string, name: string, value: 'true' | 'false') => {
      time.now = new Date(at);
      await changing(
        changes,
        newChange(),
        () => [],
        async (trx) => {
          await sql`insert into setting values (${pool.id}, ${name}, ${value})
            on conflict (pool_id, name) do update set value = excluded.value`.execute(trx);
          return true;
        },
      );
    },
    write: async (at: string, count: number) => {
      time.now = new Date(at);
      await writer.write(Array.from({ length: count }, record));
    },
    retain: (
      months: number,
      storeClock: AgreedClock = { agreedTime: () => Promise.resolve(time.now) },
    ) =>
      applyRetention({ context: { ...context, chain: newChain() }, signedLog }, months, storeClock),
    close: async () => {
      await db.destroy();
      await database.close();
    },
  };
}

let old: Awaited<ReturnType<typeof openOldPool>>;
const opened: (typeof old)[] = [];
beforeEach(async () => {
  old = await openOldPool();
  opened.push(old);
  // One chain from one month to the next, with heads signed in both.
  await old.set('2025-01-31T23:58:59Z', 'old', 'true');
  await old.set('2025-01-31T23:58:59Z', 'changed', 'true');
  await old.write('2025-01-31T23:59:00Z', 5);
  await old.checkpoints.sign();
  await old.write('2025-01-31T23:59:58Z', 4);
  await old.write('2025-02-01T00:00:02Z', 3);
  await old.checkpoints.sign();
  await old.set('2025-02-01T00:00:59Z', 'changed', 'false');
  await old.write('2025-02-01T00:01:00Z', 2);
  await old.checkpoints.sign();
  old.time.now = new Date('2025-03-15T12:00:00Z');
});
afterAll(async () => {
  for (const one of opened) await one.close();
});
const asOwner = (statement: string) =>
  withClient(old.database.ownerUrl, (client) => client.query(statement));

describe('retention', () => {
  test('takes whole months away, and the rest verifies as before', async () => {
    expect(await old.verify()).toMatchObject({ verified: true });
    expect(await old.retain(1)).toEqual({ months: 1, before: new Date('2025-02-01T00:00:00Z') });
    const { rows } = await asOwner(
      `select min(sequence) as first from audit_event where chain = '${old.chainId}'`,
    );
    expect(rows).toEqual([{ first: '10' }]);
    expect(await old.verify()).toMatchObject({
      verified: true,
      removedBefore: new Date('2025-02-01T00:00:00Z'),
    });
    expect(await old.retain(1)).toBeUndefined();
    old.time.now = new Date('2025-04-02T00:00:00Z');
    expect(await old.retain(1)).toEqual({ months: 1, before: new Date('2025-03-01T00:00:00Z') });
    expect(await old.verify()).toMatchObject({ verified: true });
  });

  test('leaves a month that is not over for so long', async () => {
    expect(await old.retain(2)).toBeUndefined();
    expect(await old.verify()).toMatchObject({ verified: true });
  });

  test('takes nothing away while the clocks of this machine and of PostgreSQL disagree', async () => {
    old.time.now = new Date('2027-06-15T00:00:00Z');
    const attempt = old.retain(1, { agreedTime: () => Promise.resolve(undefined) });
    await expect(attempt).rejects.toMatchObject({
      name: 'OperatorError',
      message: expect.stringMatching(/clock.*nothing was taken away/),
    });
    expect(await old.verify()).toMatchObject({ verified: true });
  });

  test('leaves an audit log alone that was tampered with', async () => {
    await asOwner(`delete from audit_event where chain = '${old.chainId}' and sequence = 2`);
    await expect(old.retain(1)).rejects.toThrow('The audit log is not what was written');
    const { rows } = await asOwner(
      `select count(*) from audit_event where chain = '${old.chainId}'`,
    );
    expect(rows).toEqual([{ count: '13' }]);
  });

  test('puts on record again what only those months witness: rows are held against it from then on', async () => {
    const before = await old.verify();
    await old.retain(1);
    expect(await old.verify()).toMatchObject({ verified: true, rows: before.rows });
    const { rows } = await asOwner(
      `select count(*) from audit_witness where time < '2025-02-01T00:00Z'`,
    );
    expect(rows).toEqual([{ count: '0' }]);
    await asOwner(`update setting set value = 'false' where name = 'old'`);
    expect(await old.verify()).toMatchObject({
      verified: false,
      problem: {
        kind: 'row changed',
        table: 'setting',
        row: '["old"]',
        record: { operation: 'StateWitnessed' },
      },
    });
  });

  test('covers no row that was changed before it: nothing is taken away then', async () => {
    await asOwner(`update setting set value = 'false' where name = 'old'`);
    await expect(old.retain(1)).rejects.toThrow('The audit log is not what was written');
    expect(await old.verify()).toMatchObject({ problem: { kind: 'row changed' } });
  });

  test('covers no row that was changed after it, though the service has changed it since', async () => {
    await old.retain(1);
    await asOwner(`update setting set value = 'false' where name = 'old'`);
    await old.set('2025-03-15T12:00:00Z', 'old', 'true');
    expect(await old.verify()).toMatchObject({
      problem: { kind: 'row changed', table: 'setting', seenBy: { operation: 'Change' } },
    });
  });

  test('that is cut off before anything is taken away does no harm', async () => {
    const { context, time } = old;
    await witnessAgain(context, new Date('2025-02-01T00:00:00Z'), {
      time: time.now,
      requestId: randomUUID(),
    });
    expect(await old.verify()).toMatchObject({ verified: true });
    expect(await old.retain(1)).toMatchObject({ months: 1 });
    expect(await old.verify()).toMatchObject({ verified: true });
  });

  test('hides nothing that is taken away afterwards', async () => {
    await old.retain(1);
    await asOwner(`delete from audit_event where chain = '${old.chainId}' and sequence = 10`);
    expect(await old.verify()).toMatchObject({
      verified: false,
      problem: { kind: 'removed', chain: old.chainId, sequence: 10 },
    });
  });

  /** Changes a row, and puts a record of it, and its entry in the index, where nothing is left to hold them against. */
  const forge = (chain: string, sequence: number) =>
    asOwner(`
      update setting set value = 'false' where name = 'old';
      insert into audit_event (pool_id, chain, sequence, time, request_id, operation, outcome, status, duration_ms,
        witnessed, hash)
      select s.pool_id, '${chain}', ${sequence}, '2025-01-31T12:00Z', gen_random_uuid(), 'Change', 'success', 200, 0,
        jsonb_build_array(jsonb_build_object('table', 'setting', 'row', '["old"]', 'revision', 1000000, 'after', s.digest,
          'found', 'retention')),
        decode(repeat('00', 32), 'hex')
      from setting cross join lateral witness_state(to_jsonb(setting), '{name}', '{}') s where name = 'old';
      insert into audit_witness (pool_id, source, row_key, revision, after, found, chain, sequence, time)
      select pool_id, 'setting', '["old"]', 1000000, witnessed -> 0 ->> 'after', 'retention', chain, sequence, time
      from audit_event where witnessed -> 0 ->> 'revision' = '1000000'`);

  test.each([
    ['a chain that goes on', () => old.chainId],
    ['the chain of the changes', () => old.changesChainId],
  ])('leaves no place for a record that is put into the removed part of %s', async (_, chain) => {
    await old.retain(1);
    await forge(chain(), 1);
    expect(await old.verify()).toMatchObject({
      verified: false,
      problem: { kind: 'inserted', chain: chain(), sequence: 1 },
    });
    expect(await old.verify(2)).toMatchObject({ verified: false, problem: { kind: 'inserted' } });
  });

  test('leaves no place in a chain of which nothing is left', async () => {
    old.time.now = new Date('2025-04-02T00:00:00Z');
    await old.retain(1);
    const { rows } = await asOwner(
      `select from audit_event where chain in ('${old.chainId}', '${old.changesChainId}')`,
    );
    expect(rows).toEqual([]);
    expect(await old.verify()).toMatchObject({ verified: true });
    await forge(old.chainId, 3);
    expect(await old.verify()).toMatchObject({
      verified: false,
      problem: { kind: 'inserted', chain: old.chainId, sequence: 3 },
    });
  });

  describe('that was signed, and cut off before anything was taken away', () => {
    const before = new Date('2025-02-01T00:00:00Z');
    const january = [{ table: 'audit_event_2025_01', end: before }];
    const sign = async () => {
      await witnessAgain(old.context, before, { time: old.time.now, requestId: randomUUID() });
      const removal = await describeRemoval(old.context, january, before);
      await old.checkpoints.sign(removal);
      return removal;
    };

    test('does no harm: all is there, and verified', async () => {
      const { records } = await old.verify();
      await sign();
      const report = await old.verify();
      expect(report).toMatchObject({ verified: true });
      expect(report.removedBefore).toBeUndefined();
      expect(report.records).toBeGreaterThan(records);
      expect(await old.retain(1)).toMatchObject({ months: 1 });
      expect(await old.verify()).toMatchObject({ verified: true, removedBefore: before });
    });

    test('excuses no record that is changed, and none that is missing', async () => {
      await sign();
      await asOwner(
        `update audit_event set operation = 'Other' where chain = '${old.chainId}' and sequence = 2`,
      );
      expect(await old.verify()).toMatchObject({
        problem: { kind: 'changed', chain: old.chainId, sequence: 2 },
      });
      await asOwner(`delete from audit_event where chain = '${old.chainId}' and sequence <= 9`);
      expect(await old.verify()).toMatchObject({
        problem: { kind: 'removed', chain: old.chainId, sequence: 1 },
      });
    });

    test('lets rows be changed until it is carried out', async () => {
      const removal = await sign();
      await old.set('2025-03-15T12:00:01Z', 'old', 'false');
      await old.set('2025-03-15T12:00:02Z', 'new', 'true');
      expect(await old.verify()).toMatchObject({ verified: true });
      await removeAuditMonths(old.context, january, removal);
      expect(await old.verify()).toMatchObject({ verified: true, removedBefore: before });
    });
  });

  test('takes along what was written when there was no table for its month', async () => {
    await asOwner(`
      alter table audit_event detach partition audit_event_2025_01;
      insert into audit_event select * from audit_event_2025_01;
      drop table audit_event_2025_01`);
    old.time.now = new Date('2025-04-02T00:00:00Z');
    expect(await old.verify()).toMatchObject({ verified: true });
    expect(await old.retain(1)).toMatchObject({ months: 1 });
    const { rows } = await asOwner(`select from audit_event where time < '2025-03-01T00:00Z'`);
    expect(rows).toEqual([]);
    expect(await old.verify()).toMatchObject({ verified: true });
  });

  test('is no excuse without its signed statement', async () => {
    await old.retain(1);
    await asOwner('delete from audit_checkpoint where is_retention');
    expect(await old.verify()).toMatchObject({ verified: false });
  });
});
