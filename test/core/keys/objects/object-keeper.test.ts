import { describe, expect, test } from '@jest/globals';
import { ServiceError } from '../../../../src/core/errors.ts';
import type { KeyMaterial, KeyName, KeyVersionId } from '../../../../src/core/keys/key.ts';
import { packBytes } from '../../../../src/core/keys/packed-bytes.ts';
import { newVersionId } from '../../../../src/core/keys/new-version-id.ts';
import { createObjectKeeper } from '../../../../src/core/keys/objects/object-keeper.ts';
import {
  type BeginObjects,
  newObjectId,
  type ObjectId,
  type ObjectIds,
  toReference,
} from '../../../../src/core/keys/objects/object-id.ts';
import {
  MAKING_PERMITS_SECONDS,
  type ObjectPermit,
  permit,
} from '../../../../src/core/keys/objects/permit.ts';
import type { ObjectUse } from '../../../../src/core/keys/objects/ports.ts';
import { FakeHsmObjects, FakeObjectLedger } from '../../../support/fakes/object-ledger.ts';
import { testIdentity } from '../../../support/hsm.ts';

function opened(limit?: number) {
  const ledger = new FakeObjectLedger();
  const hsm = new FakeHsmObjects();
  const told: ObjectUse[] = [];
  const errors: unknown[] = [];
  const refused: ObjectId[] = [];
  const keeper = createObjectKeeper({
    ...{ hsm, ledger, limit },
    clock: { now: () => new Date(ledger.now * 1000) },
    onRefused: (objects) => refused.push(...objects.map(({ id }) => id)),
    onNearlyFull: (use) => told.push(use),
    onError: (error) => errors.push(error),
  });
  /** As the HSM makes one. */
  const make = async (begun: BeginObjects) => {
    const { private: id } = await begun();
    hsm.own.add(id);
    return id;
  };
  /** As the service makes one, whole. */
  const create = async () => {
    const identity = testIdentity('pool', 'key');
    await keeper.making(identity, false, make);
    ledger.settle(identity.version);
  };
  return { ledger, hsm, told, errors, refused, keeper, make, create };
}

const identity = testIdentity('pool', 'key');

describe('an object', () => {
  test('is on record before it is made, and so is the secret beside an AES key', async () => {
    const { keeper, ledger } = opened();
    for (const [hasMac, count] of [
      [false, 1],
      [true, 2],
    ] as const) {
      const before = ledger.intents.size;
      await keeper.making(testIdentity('pool', 'key'), hasMac, async (begun) => {
        expect(ledger.intents.size - before).toBe(0);
        await begun();
        expect(ledger.intents.size - before).toBe(count);
      });
    }
  });

  test('takes no place where the key is refused before, or plainly answered without it', async () => {
    const { keeper, hsm, ledger } = opened(1);
    const failing = [
      new ServiceError('Overloaded', 'Too many keys are being made.'),
      new ServiceError('HsmFull', 'The HSM has no room.'),
      new ServiceError('BadParameter', 'The HSM does not take this key.'),
    ].flatMap((error) => [
      () => Promise.reject(error),
      (begun: BeginObjects) => begun().then(() => Promise.reject(error)),
    ]);
    for (const make of failing) {
      const refused = keeper.making(testIdentity('pool', 'key'), false, make);
      await expect(refused).rejects.toBeInstanceOf(ServiceError);
      expect([ledger.intents.size, hsm.own.size]).toEqual([0, 0]);
    }
  });

  test('that was plainly not made is struck by the next mending where the HSM is away now', async () => {
    const { keeper, hsm, ledger } = opened();
    hsm.failure = new Error('the HSM is away');
    const refused = keeper.making(identity, false, async (begun) => {
      await begun();
      throw new ServiceError('BadParameter', 'The HSM does not take this key.');
    });
    await expect(refused).rejects.toMatchObject({ code: 'BadParameter' });
    expect(ledger.intents.size).toBe(1);
    hsm.failure = undefined;
    await keeper.mend();
    expect(ledger.intents.size).toBe(0);
  });

  test('whose making fails half way is destroyed, and the failure is told', async () => {
    const { keeper, hsm, ledger, make } = opened();
    const failing = keeper.making(identity, false, async (begun) => {
      await make(begun);
      throw new Error('the session was lost');
    });
    await expect(failing).rejects.toThrow('the session was lost');
    expect([hsm.own.size, ledger.intents.size]).toEqual([0, 0]);
  });

  test('that was not there yet when it was to be destroyed stays on record until it can come no more', async () => {
    const { keeper, hsm, ledger, make } = opened();
    const slow: ObjectIds[] = [];
    const failing = keeper.making(identity, false, async (begun) => {
      slow.push(await begun());
      throw new Error('no answer in time');
    });
    await expect(failing).rejects.toThrow('no answer in time');
    // It was looked for, and takes no place meanwhile.
    expect([ledger.intents.size, await ledger.count()]).toEqual([1, 0]);
    for (const intent of ledger.intents.values()) intent.isClaimed = false;
    for (const objects of slow) await make(() => Promise.resolve(objects));
    expect(await keeper.mend()).toBe(1);
    expect([hsm.own.size, ledger.intents.size]).toEqual([0, 0]);
    for (const { private: id } of slow) {
      const version = newVersionId();
      const what = { kind: 'making', time: ledger.now } as const;
      await ledger.begin(await permit(hsm, [id], { ...identity, version }, what), identity, 9);
      await ledger.giveUp(identity.version, true);
    }
    for (const intent of ledger.intents.values()) intent.isOver = true;
    expect(await keeper.mend()).toBe(0);
    expect(ledger.intents.size).toBe(0);
  });

  test.each([
    ['is not written', (): Promise<boolean> => Promise.resolve(false)],
    ['can not be written', (): Promise<boolean> => Promise.reject(new Error('no database'))],
  ])('whose row %s is destroyed', async (_how, write) => {
    const { keeper, hsm, ledger, make } = opened();
    await keeper.making(identity, false, make);
    await keeper.writing(identity.version, write, Boolean).catch(() => undefined);
    expect([hsm.own.size, ledger.intents.size]).toEqual([0, 0]);
  });

  test('stays where its row was written and the word of it was lost', async () => {
    const { keeper, hsm, ledger, make } = opened();
    await keeper.making(identity, false, make);
    const writing = keeper.writing(
      identity.version,
      () => {
        ledger.settle(identity.version);
        return Promise.reject(new Error('the connection was cut'));
      },
      Boolean,
    );
    await expect(writing).rejects.toThrow('the connection was cut');
    expect([hsm.own.size, ledger.intents.size]).toEqual([1, 0]);
  });

  test('that the HSM does not destroy now is destroyed by the next mending', async () => {
    const { keeper, hsm, ledger, errors, make } = opened();
    await keeper.making(identity, false, make);
    hsm.failure = new Error('the HSM is away');
    await ledger.giveUp(identity.version, true);
    await keeper.removed();
    expect([hsm.own.size, errors]).toEqual([1, [hsm.failure]]);
    hsm.failure = undefined;
    for (const intent of ledger.intents.values()) intent.isClaimed = false;
    expect(await keeper.mend()).toBe(1);
    expect(ledger.intents.size).toBe(0);
  });
});

describe('an object is not destroyed', () => {
  const material = (id: ObjectId, version = newVersionId()): KeyMaterial => ({
    identity: { ...identity, version },
    spec: { keyType: 'EC-HSM', curve: 'P-256' },
    sealed: {
      ...{ rootGeneration: 1, blob: packBytes(toReference(id)) },
      seal: packBytes(Buffer.alloc(32)),
    },
  });

  test.each([
    ['without a permit', {}],
    ['by a permit for another one', { id: newObjectId() }],
    ['by one for another version', { version: newVersionId() }],
    ['by one whose kind was altered', { kind: 'removal' as const }],
    ['by one whose time was altered', { time: 1_000_001 }],
  ])('%s', async (_how, altered) => {
    const { keeper, hsm, ledger, refused } = opened();
    const id = newObjectId();
    hsm.own.add(id);
    const what = { kind: 'making', time: ledger.now } as const;
    const [made] = await permit(hsm, [id], identity, what);
    if (made === undefined) throw new Error('no permit');
    await ledger.begin([{ ...made, ...altered, id }], identity, undefined);
    const intent = ledger.intents.get(id);
    if (intent !== undefined) {
      if (Object.keys(altered).length === 0) delete intent.permit;
      else intent.permit = { ...made, ...altered };
    }
    await ledger.giveUp(identity.version, true);
    expect(await keeper.mend()).toBe(0);
    expect([hsm.own.has(id), refused, ledger.setAsideOnes]).toEqual([true, [id], [id]]);
  });

  test('by the permit of its making, once there was a row of it', async () => {
    const { keeper, hsm, ledger, refused, create } = opened();
    const [stolen] = await stealing(ledger, create);
    if (stolen === undefined) throw new Error('no permit');
    const version = stolen.version as KeyVersionId;
    await ledger.begin([stolen], { ...identity, version }, undefined);
    await ledger.giveUp(version, true);
    expect(await keeper.mend()).toBe(0);
    expect([hsm.own.size, refused]).toEqual([1, [stolen.id]]);
  });

  test.each([
    ['a day after it was begun', MAKING_PERMITS_SECONDS, 1],
    ['later', MAKING_PERMITS_SECONDS + 1, 0],
  ])('by the permit of its making %s: %i seconds, %i destroyed', async (_when, seconds, count) => {
    const { keeper, hsm, ledger, make } = opened();
    await keeper.making(identity, false, make);
    ledger.now += seconds;
    await ledger.giveUp(identity.version, true);
    expect([await keeper.mend(), hsm.own.size]).toEqual([count, 1 - count]);
  });

  test('when a row was removed whose seal is not its own, and others of that key are', async () => {
    const { keeper, hsm, ledger, refused } = opened();
    const [altered, intact] = [newObjectId(), newObjectId()];
    const rows = [material(altered), material(intact)];
    ledger.materials = rows;
    hsm.altered.add(rows[0]?.identity.version ?? '');
    for (const id of [altered, intact]) hsm.own.add(id);
    const remove = () => {
      for (const { identity: key, sealed } of rows)
        ledger.doom(key.version, sealed.blob === rows[0]?.sealed.blob ? altered : intact);
      return Promise.resolve(true);
    };
    await keeper.removing(() => ledger.findMaterials(), remove, Boolean);
    expect([[...hsm.own], refused]).toEqual([[altered], [altered]]);
  });

  test('before the date on which its deleted key is purged', async () => {
    const { keeper, hsm, ledger } = opened();
    const id = newObjectId();
    hsm.own.add(id);
    const row = material(id);
    ledger.materials = [row];
    await keeper.deleted('key' as KeyName, ledger.now + 100);
    ledger.doom(row.identity.version, id, ledger.retained[0]);
    ledger.now += 99;
    await keeper.removed();
    expect(hsm.own.size).toBe(1);
    ledger.now += 1;
    for (const intent of ledger.intents.values()) intent.isClaimed = false;
    await keeper.removed();
    expect([hsm.own.size, ledger.intents.size]).toEqual([0, 0]);
  });
});

/** What whoever reads the ledger sees while it is done. */
async function stealing(
  ledger: FakeObjectLedger,
  act: () => Promise<unknown>,
): Promise<readonly ObjectPermit[]> {
  const stolen: ObjectPermit[] = [];
  const begin = ledger.begin.bind(ledger);
  ledger.begin = (objects, ...rest) => {
    stolen.push(...objects);
    return begin(objects, ...rest);
  };
  await act();
  return stolen;
}

describe('the limit of objects', () => {
  test('is told of at nine tenths of it, once, and not exceeded: nothing is left half made', async () => {
    const { keeper, hsm, ledger, told, create } = opened(20);
    hsm.others = 10;
    await keeper.look();
    for (let count = 0; count < 7; count += 1) await create();
    expect(told).toEqual([]);
    for (let count = 0; count < 3; count += 1) await create();
    expect(told).toEqual([{ used: 18, limit: 20 }]);
    await expect(create()).rejects.toMatchObject({ code: 'HsmFull' });
    expect([hsm.own.size, ledger.intents.size, await keeper.use()]).toEqual([
      ...[10, 0],
      { used: 20, limit: 20 },
    ]);
  });

  test('counts both objects of an AES key', async () => {
    const { keeper, hsm } = opened(1);
    await expect(keeper.making(identity, true, (begun) => begun())).rejects.toMatchObject({
      code: 'HsmFull',
    });
    expect(hsm.own.size).toBe(0);
  });

  test("is the HSM's own affair where it is not known", async () => {
    const { create, told } = opened();
    for (let count = 0; count < 30; count += 1) await create();
    expect(told).toEqual([]);
  });
});
