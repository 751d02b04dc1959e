import { randomBytes, randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import {
  type VerifiedMaterial,
  type KeyName,
  parseKeyName,
  parseKeyVersionId,
} from '../../../src/core/keys/key.ts';
import { createClockWatch } from '../../../src/core/pool/clock-watch.ts';
import { createMaintenance, type KeyEvent } from '../../../src/core/pool/maintenance.ts';
import { createVersionMaker } from '../../../src/core/keys/new-version.ts';
import { createRotationService } from '../../../src/core/keys/rotation/rotation-service.ts';
import type { AgreedClock } from '../../../src/core/clock.ts';
import { readStoreTime } from '../../../src/store/pool/store-time.ts';
import { createKeyReader } from '../../../src/store/keys/key-reader.ts';
import { createKeyWriter } from '../../../src/store/keys/key-writer.ts';
import { createRotationStore } from '../../../src/store/keys/rotation-store.ts';
import { FakeClock } from '../../support/fakes/clock.ts';
import {
  asItIs,
  type Db,
  eventsOf,
  makePool,
  newChange,
  newVersion,
  openStoreDatabase,
  processOf,
  versionOf,
} from '../../support/store.ts';

const database = await openStoreDatabase();
afterAll(() => database.close());

const DAY = 86_400;
const START = '2026-11-24T00:00:00Z';

/** A process that does maintenance on a pool; its HSM makes keys as `generate` says. */
function startProcess(
  db: Db,
  pool: { id: string },
  clock: FakeClock,
  generate?: () => Promise<void>,
  storeClock: AgreedClock = { agreedTime: () => Promise.resolve(clock.now()) },
) {
  const context = processOf(db, pool);
  const keys = { ...createKeyReader(context), ...createKeyWriter(context) };
  const rotations = createRotationStore(context);
  const events: KeyEvent[] = [];
  const errors: unknown[] = [];
  const rotation = createRotationService({
    hsm: {
      requireIntact: (material) => Promise.resolve(material as VerifiedMaterial),
      generateKey: async (identity, spec) => {
        await generate?.();
        const { material } = newVersion(pool.id, identity.name);
        return { ...material, identity, spec } as VerifiedMaterial;
      },
    },
    rotations,
    addVersion: createVersionMaker({
      keys,
      pool: { poolId: pool.id, softDeleteDays: 7, purgeProtection: false },
      clock,
      newVersionId: () => parseKeyVersionId(randomBytes(16).toString('hex')),
    }),
    clock,
  });
  const maintenance = createMaintenance({
    keys,
    rotations,
    rotation,
    signingKeys: { rotateDue: () => Promise.resolve(false) },
    auditLog: { append: () => Promise.resolve(), appendLater: () => undefined },
    clock,
    storeClock,
    newGuid: randomUUID,
    onEvent: (event) => events.push(event),
    onError: (_operation, error) => errors.push(error),
  });
  return { context, keys, rotations, rotation, maintenance, events, errors };
}

let pool: { id: string };
let clock: FakeClock;
let one: ReturnType<typeof startProcess>;
let other: ReturnType<typeof startProcess>;
beforeEach(async () => {
  pool = await makePool(database.db);
  clock = new FakeClock(START);
  one = startProcess(database.db, pool, clock);
  other = startProcess(database.otherDb, pool, clock);
});

async function makeKey(text: string, attributes = {}): Promise<KeyName> {
  const version = newVersion(pool.id, text, {
    attributes: { created: clock.seconds, updated: clock.seconds, ...attributes },
  });
  await one.keys.insertVersion(version, newChange());
  return version.material.identity.name;
}
const names = (count: number) => Array.from({ length: count }, (_, index) => `key-${index}`);
const versionsOf = async (name: KeyName) =>
  (await one.keys.listVersions(name, { limit: 1000 })).items;
/** Many runs at once in both processes, as more processes would do them. */
const runAll = () =>
  Promise.all([one, other, one, other].map(({ maintenance }) => maintenance.runOnce()));
/** Deletions are dated by PostgreSQL's clock, which no test sets: their dates go back instead. */
const agedBy = (seconds: number) =>
  database.db
    .updateTable('key')
    .set({ deleted_at: sql`deleted_at - ${seconds}`, purge_at: sql`purge_at - ${seconds}` })
    .where('pool_id', '=', pool.id)
    .where('deleted_at', 'is not', null)
    .execute();
const operations = async () => {
  const counts: Record<string, number> = {};
  for (const { operation } of await eventsOf(one.context))
    counts[operation] = (counts[operation] ?? 0) + 1;
  return counts;
};

describe('deleted keys', () => {
  test('are purged when their retention ends, not before, and each once', async () => {
    for (const text of names(20)) {
      const name = await makeKey(text);
      await one.keys.deleteKey(name, 7 * DAY, newChange('KeyDelete'));
    }
    const kept = await makeKey('kept');
    await agedBy(7 * DAY - 600);
    await runAll();
    expect((await one.keys.listDeletedKeys({ limit: 100 })).items).toHaveLength(20);
    await agedBy(600);
    await runAll();
    expect((await one.keys.listDeletedKeys({ limit: 100 })).items).toEqual([]);
    expect(await one.keys.findKey(kept)).toBeDefined();
    expect((await operations())['KeyPurgeScheduled']).toBe(20);
    const left = await database.db
      .selectFrom('key_version')
      .select('name_key')
      .where('pool_id', '=', pool.id)
      .execute();
    expect(left).toEqual([{ name_key: 'kept' }]);
    expect([...one.errors, ...other.errors]).toEqual([]);
  });

  test('of a purge-protected pool are purged too, once their retention has ended', async () => {
    await database.db
      .updateTable('pool')
      .set({ purge_protection: true })
      .where('id', '=', pool.id)
      .execute();
    const name = await makeKey('protected');
    await one.keys.deleteKey(name, 7 * DAY, newChange());
    await expect(one.keys.purgeKey(name, newChange())).rejects.toMatchObject({
      code: 'PurgeProtected',
    });
    await runAll();
    expect(await one.keys.findDeletedKey(name)).toBeDefined();
    await agedBy(7 * DAY);
    await runAll();
    expect(await one.keys.findDeletedKey(name)).toBeUndefined();
  });
});

describe('a process whose clock jumps', () => {
  const policy = { actions: [{ type: 'Rotate', timeAfterCreate: 'P30D' }], expiryTime: 'P90D' };
  const stepped = (days: number) => {
    const wrong = new FakeClock(new Date(Date.now() + days * DAY * 1000).toISOString());
    const changes: [number, boolean][] = [];
    const watch = createClockWatch({
      readStoreTime: () => readStoreTime(processOf(database.db, pool)),
      clock: wrong,
      onChange: (difference, agrees) => changes.push([difference, agrees]),
    });
    return { ...startProcess(database.db, pool, wrong, undefined, watch), watch, changes, wrong };
  };

  test.each([
    [100, 'ahead'],
    [-100, 'behind'],
    [1, 'ahead'],
  ])('by %i days %s purges and rotates nothing, and says so once', async (days) => {
    const [deleted, rotated] = [await makeKey('deleted'), await makeKey('rotated')];
    await one.keys.deleteKey(deleted, 7 * DAY, newChange());
    await agedBy(7 * DAY);
    await one.rotation.putPolicy(rotated, policy, newChange());
    const { maintenance, changes, errors, watch } = stepped(days);
    await maintenance.runOnce();
    await maintenance.runOnce();
    expect(await one.keys.findDeletedKey(deleted)).toBeDefined();
    expect(await versionsOf(rotated)).toHaveLength(1);
    expect(changes).toEqual([[expect.closeTo(days * DAY, -2), false]]);
    expect(watch.differenceSeconds).toBeCloseTo(days * DAY, -2);
    expect(errors).toEqual([]);
  });

  test('goes on when its clock is right again', async () => {
    const name = await makeKey('deleted');
    await one.keys.deleteKey(name, 7 * DAY, newChange());
    await agedBy(7 * DAY);
    const { maintenance, changes, wrong } = stepped(100);
    await maintenance.runOnce();
    wrong.advance(-100 * DAY);
    await maintenance.runOnce();
    expect(await one.keys.findDeletedKey(name)).toBeUndefined();
    expect(changes.map(([, agrees]) => agrees)).toEqual([false, true]);
  });

  test('never purges by its own clock, even where it agrees within the minutes that are allowed', async () => {
    const name = await makeKey('deleted');
    await one.keys.deleteKey(name, 7 * DAY, newChange());
    await agedBy(7 * DAY - 60);
    const { maintenance } = stepped(100 / 86_400);
    await maintenance.runOnce();
    expect(await one.keys.findDeletedKey(name)).toBeDefined();
  });

  test('dates a deletion by the clock of the store', async () => {
    const name = await makeKey('deleted');
    const { keys } = stepped(100);
    const { deletedAt = 0 } = (await keys.deleteKey(name, 7 * DAY, newChange())) ?? {};
    expect(Math.abs(deletedAt - Date.now() / 1000)).toBeLessThan(60);
  });
});

describe('rotation', () => {
  const policy = { actions: [{ type: 'Rotate', timeAfterCreate: 'P30D' }], expiryTime: 'P90D' };

  test('happens when due and exactly once, with any number of processes', async () => {
    const keys = await Promise.all(names(12).map((text) => makeKey(text)));
    for (const name of keys) await one.rotation.putPolicy(name, policy, newChange('Policy'));
    clock.advance(30 * DAY - 1);
    await runAll();
    expect((await operations())['KeyRotateScheduled']).toBeUndefined();
    clock.advance(1);
    await runAll();
    for (const name of keys) {
      const [first, second, ...more] = await versionsOf(name);
      expect(more).toEqual([]);
      expect(second?.attributes.expires).toBe(clock.seconds + 90 * DAY);
      expect(second?.material.identity.operations).toEqual(first?.material.identity.operations);
      expect(first?.attributes.enabled).toBe(true);
    }
    await runAll();
    expect((await operations())['KeyRotateScheduled']).toBe(12);
    expect([...one.errors, ...other.errors]).toEqual([]);
  });

  test('that came due several times while nothing ran is made up for once', async () => {
    const name = await makeKey('late');
    await one.rotation.putPolicy(name, policy, newChange());
    clock.advance(365 * DAY);
    await runAll();
    await runAll();
    expect(await versionsOf(name)).toHaveLength(2);
    clock.advance(30 * DAY);
    await runAll();
    expect(await versionsOf(name)).toHaveLength(3);
  });

  test('of a process that died over it is done by another, once the claim has run out', async () => {
    const name = await makeKey('orphaned');
    await one.rotation.putPolicy(name, policy, newChange());
    clock.advance(30 * DAY);
    expect(
      await other.rotations.claimDueRotation(clock.seconds, clock.seconds + 300),
    ).toBeDefined();
    await one.maintenance.runOnce();
    expect(await versionsOf(name)).toHaveLength(1);
    clock.advance(300);
    await one.maintenance.runOnce();
    expect(await versionsOf(name)).toHaveLength(2);
  });

  test('by one that was only slow does not come on top', async () => {
    const name = await makeKey('slow');
    await one.rotation.putPolicy(name, policy, newChange());
    clock.advance(30 * DAY);
    const slow = startProcess(database.db, pool, clock, async () => {
      // While this one's HSM works its claim runs out, and another process is faster.
      clock.advance(301);
      await other.maintenance.runOnce();
    });
    await slow.maintenance.runOnce();
    expect(await versionsOf(name)).toHaveLength(2);
    expect(slow.errors).toEqual([]);
  });

  test('that fails is tried again, and leaves a record', async () => {
    const name = await makeKey('failing');
    await one.rotation.putPolicy(name, policy, newChange());
    clock.advance(30 * DAY);
    let isBroken = true;
    const flaky = startProcess(database.db, pool, clock, () =>
      isBroken ? Promise.reject(new Error('no HSM')) : Promise.resolve(),
    );
    await flaky.maintenance.runOnce();
    expect(flaky.errors).toHaveLength(1);
    isBroken = false;
    await flaky.maintenance.runOnce();
    expect(await versionsOf(name)).toHaveLength(1);
    clock.advance(300);
    await flaky.maintenance.runOnce();
    expect(await versionsOf(name)).toHaveLength(2);
  });

  test('passes over keys that are deleted or whose newest version is disabled, until they are not', async () => {
    const [deleted, disabled] = [await makeKey('deleted'), await makeKey('disabled')];
    for (const name of [deleted, disabled]) await one.rotation.putPolicy(name, policy, newChange());
    await one.keys.deleteKey(deleted, 90 * DAY, newChange());
    const set = (enabled: boolean) =>
      one.keys.updateVersion(
        disabled,
        undefined,
        {
          reseal: asItIs,
          apply: (current) => ({ ...current, attributes: { ...current.attributes, enabled } }),
        },
        newChange(),
      );
    await set(false);
    clock.advance(40 * DAY);
    await runAll();
    expect((await operations())['KeyRotateScheduled']).toBeUndefined();
    await one.keys.recoverKey(deleted, newChange());
    await set(true);
    await runAll();
    expect(
      [await versionsOf(deleted), await versionsOf(disabled)].map((all) => all.length),
    ).toEqual([2, 2]);
    expect([...one.errors, ...other.errors]).toEqual([]);
  });

  test('by hand starts the time to the next one anew, and a blank policy ends it', async () => {
    const name = await makeKey('by-hand');
    await one.rotation.putPolicy(name, policy, newChange());
    clock.advance(20 * DAY);
    await one.rotation.rotate(name, newChange());
    clock.advance(10 * DAY);
    await runAll();
    expect(await versionsOf(name)).toHaveLength(2);
    clock.advance(20 * DAY);
    await runAll();
    expect(await versionsOf(name)).toHaveLength(3);
    await one.rotation.putPolicy(name, { actions: [] }, newChange());
    expect((await one.rotation.getPolicy(name)).policy).toBeUndefined();
    clock.advance(100 * DAY);
    await runAll();
    expect(await versionsOf(name)).toHaveLength(3);
  });
});

describe('notice of a key that is to be renewed', () => {
  const policy = { actions: [{ type: 'Notify', timeBeforeExpiry: 'P30D' }] };

  test('is given once for a version and its date, and again when the date moves', async () => {
    const name = await makeKey('noticed', { expires: clock.seconds + 100 * DAY });
    await one.rotation.putPolicy(name, policy, newChange());
    const seen = () => [...one.events, ...other.events];
    clock.advance(70 * DAY - 1);
    await runAll();
    expect(seen()).toEqual([]);
    clock.advance(1);
    await runAll();
    await runAll();
    const [version] = await versionsOf(name);
    expect(seen()).toEqual([
      {
        type: 'Microsoft.KeyVault.KeyNearExpiry',
        subject: 'noticed',
        time: clock.now().toISOString(),
        data: {
          ObjectType: 'Key',
          ObjectName: 'noticed',
          Version: version && versionOf(version),
          NBF: null,
          EXP: clock.seconds + 30 * DAY,
        },
      },
    ]);
    const edit = (changed: object) =>
      one.keys.updateVersion(
        name,
        undefined,
        {
          reseal: asItIs,
          apply: (current) => ({ ...current, attributes: { ...current.attributes, ...changed } }),
        },
        newChange(),
      );
    await edit({ updated: clock.seconds });
    await runAll();
    expect(seen()).toHaveLength(1);
    await edit({ expires: clock.seconds + 60 * DAY });
    await runAll();
    expect(seen()).toHaveLength(1);
    clock.advance(30 * DAY);
    await runAll();
    expect(seen()).toHaveLength(2);
    expect((await operations())['KeyNearExpiry']).toBe(2);
  });
});

test('a policy of a key that is not there is refused', async () => {
  const nobody = parseKeyName('nobody');
  await expect(one.rotation.getPolicy(nobody)).rejects.toMatchObject({ code: 'KeyNotFound' });
  await expect(
    one.rotation.putPolicy(nobody, { actions: [], expiryTime: 'P90D' }, newChange()),
  ).rejects.toMatchObject({ code: 'KeyNotFound' });
  await expect(one.rotation.rotate(nobody, newChange())).rejects.toMatchObject({
    code: 'KeyNotFound',
  });
});
