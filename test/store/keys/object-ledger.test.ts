import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomBytes, randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { createAuditChain } from '../../../src/core/audit/chain.ts';
import { systemClock } from '../../../src/core/clock.ts';
import type { KeyIdentity, KeyMaterial } from '../../../src/core/keys/key.ts';
import {
  newObjectId,
  type ObjectId,
  toReference,
} from '../../../src/core/keys/objects/object-id.ts';
import type { ObjectPermit } from '../../../src/core/keys/objects/permit.ts';
import { packBytes } from '../../../src/core/keys/packed-bytes.ts';
import type { StoreContext } from '../../../src/store/database.ts';
import {
  createObjectLedger,
  doomObjects,
  settleObjects,
} from '../../../src/store/keys/object-ledger.ts';
import { testIdentity } from '../../support/hsm.ts';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.ts';
import { makePool, openConnections } from '../../support/store.ts';

let database: TestDatabase;
let context: StoreContext;
beforeAll(async () => {
  database = await createTestDatabase();
  const db = openConnections(database.serviceUrl);
  const pool = await makePool(db);
  const chain = createAuditChain({ poolId: pool.id, newGuid: randomUUID, clock: systemClock });
  context = { db, poolId: pool.id, homeId: pool.id, restores: 0, chain, publish: () => undefined };
});
afterAll(async () => {
  await context.db.destroy();
  await database.drop();
});

/** As the HSM gives one, but for its proof. */
function permitFor(id: ObjectId, { name, version }: KeyIdentity): ObjectPermit {
  return { id, name, version, kind: 'making', time: 1_700_000_000, proof: randomBytes(32) };
}

/** A resident key that has been made, and is on record. */
async function begun() {
  const ledger = createObjectLedger(context, 'this process');
  const identity = testIdentity(context.poolId, 'key');
  const id = newObjectId();
  await ledger.begin([permitFor(id, identity)], identity, undefined);
  const blob = toReference(id);
  const sealed = { rootGeneration: 1, blob: packBytes(blob), seal: packBytes(Buffer.alloc(32)) };
  const material: KeyMaterial = { identity, spec: { keyType: 'EC-HSM', curve: 'P-256' }, sealed };
  const settle = () => context.db.transaction().execute((trx) => settleObjects(trx, material));
  return { ledger, identity, id, blob, settle };
}

describe('an object that is to be made', () => {
  test('is struck off when its row is written, and is no more to be given up', async () => {
    const { ledger, identity, settle } = await begun();
    const before = await ledger.count();
    await settle();
    await ledger.giveUp(identity.version, true);
    expect([await ledger.count(), await ledger.claimDoomed()]).toEqual([before - 1, []]);
  });

  test('gets no row once it has been given up: it is being destroyed', async () => {
    const { ledger, identity, id, settle } = await begun();
    await ledger.giveUp(identity.version, false);
    await expect(settle()).rejects.toMatchObject({ code: 'HsmUnavailable' });
    expect(await ledger.claimDoomed()).toEqual([expect.objectContaining({ id, isOver: false })]);
    const before = await ledger.count();
    await ledger.noteAbsent([id]);
    expect(await ledger.count()).toBe(before - 1);
    await ledger.strike([id]);
  });

  test('of the last place is begun by one of those who want it, and the others leave nothing', async () => {
    const ledger = createObjectLedger(context, 'this process');
    const room = (await ledger.count()) + 1;
    const ids = Array.from({ length: 8 }, newObjectId);
    const counts = await Promise.all(
      ids.map((id) => {
        const identity = testIdentity(context.poolId, 'key');
        return ledger.begin([permitFor(id, identity)], identity, room);
      }),
    );
    expect(counts.filter((count) => count <= room)).toEqual([room]);
    expect(await ledger.count()).toBe(room);
    await ledger.strike(ids);
  });

  test('is given up when it is too old, and not before', async () => {
    const { ledger, id } = await begun();
    expect(await ledger.giveUpOlderThan(600)).toBe(0);
    await sql`update hsm_object_intent set since = now() - interval '2 hours'`.execute(context.db);
    expect(await ledger.giveUpOlderThan(600)).toBe(1);
    expect(await ledger.claimDoomed()).toEqual([expect.objectContaining({ id, isOver: true })]);
    await ledger.strike([id]);
  });
});

describe('an object that is to be destroyed', () => {
  test('is given to one of those who ask', async () => {
    const { ledger, identity, id, blob, settle } = await begun();
    await settle();
    await context.db
      .transaction()
      .execute((trx) =>
        doomObjects(trx, context.poolId, [{ version: identity.version, name: 'key', blob }]),
      );
    const claimed = await Promise.all([1, 2, 3, 4].map(() => ledger.claimDoomed()));
    expect(claimed.flat()).toEqual([expect.objectContaining({ id, isOver: true })]);
    await ledger.strike([id]);
    expect(await ledger.count()).toBe(0);
  });

  test('is on record for each version of a key, however many, and where it was on record already', async () => {
    const { ledger, identity, id, blob } = await begun();
    const more = Array.from({ length: 11_000 }, () => toReference(newObjectId()));
    const removed = [blob, ...more].map((reference) => ({
      ...{ version: identity.version, name: 'key', blob: reference },
    }));
    await context.db.transaction().execute((trx) => doomObjects(trx, context.poolId, removed));
    expect(await ledger.count()).toBe(removed.length);
    await ledger.strike([id]);
    await sql`delete from hsm_object_intent`.execute(context.db);
  });

  test('is none of a sealed key', async () => {
    const { ledger, identity } = await begun();
    const before = await ledger.count();
    const wrapped = { version: identity.version, name: 'key', blob: Buffer.alloc(40, 3) };
    await context.db.transaction().execute((trx) => doomObjects(trx, context.poolId, [wrapped]));
    expect(await ledger.count()).toBe(before);
  });
});
