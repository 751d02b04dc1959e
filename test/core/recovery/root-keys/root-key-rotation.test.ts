import { describe, expect, test } from '@jest/globals';
import { AuditDraft } from '../../../../src/core/audit/draft.ts';
import { ServiceError } from '../../../../src/core/errors.ts';
import type { KeyMaterial, VerifiedMaterial } from '../../../../src/core/keys/key.ts';
import type { Retirement, RootKeyState } from '../../../../src/core/recovery/root-keys/ports.ts';
import {
  createRootKeyRotation,
  type RootKeyRotationParts,
} from '../../../../src/core/recovery/root-keys/root-key-rotation.ts';

const NOW = new Date('2026-11-28T00:00:00Z');
const PROOF = Buffer.alloc(32, 1);
const ROW = {} as KeyMaterial;

/** A pool with one row that generation 1 seals, and generation 2, which is the current one. */
function rotationOf(
  rewrap: RootKeyRotationParts['hsm']['rewrap'],
  replaced: () => number,
  proof: Uint8Array = PROOF,
  retirement: Retirement | null = { retires: [1], proof: PROOF },
) {
  const done = { retired: [] as number[], destroyed: [] as number[] };
  let rows = 1;
  const state = (): RootKeyState => {
    const common = { madeAt: NOW, isKept: false, opensBackups: false };
    return {
      generations: [
        ...(done.retired.length === 0 ? [{ ...common, number: 1, isCurrent: false, rows }] : []),
        { ...common, number: 2, isCurrent: true, rows: 1 - rows },
      ],
      retired: done.retired.map((number) => ({ number, retiredAt: new Date(0), proof })),
      ...(retirement !== null && { retirement }),
      now: NOW,
    };
  };
  const rotation = createRootKeyRotation({
    hsm: {
      rewrap,
      makeRootKeys: (after) => Promise.resolve({ generation: after + 1, rootCheck: PROOF }),
      listRootGenerations: () => Promise.resolve([]),
      holdsRootKeys: () => Promise.resolve(true),
      discardRootKeys: () => Promise.resolve(),
      useRootKeys: () => Promise.resolve(true),
      rootGeneration: () => 2,
      listWholeGenerations: () => Promise.resolve([1, 2]),
      voucher: () => Promise.resolve(PROOF),
      retirementList: () => Promise.resolve(PROOF),
      retirementProof: () => Promise.resolve(PROOF),
      destroyRootKeys: (number) => {
        done.destroyed.push(number);
        return Promise.resolve();
      },
    },
    store: {
      currentGeneration: () => Promise.resolve(2),
      listOpeningBackups: () => Promise.resolve([]),
      hasPool: () => Promise.resolve(true),
      readState: () => Promise.resolve(state()),
      isUnfinished: () => Promise.resolve(true),
      makeCurrent: () => Promise.resolve(true),
      listSealed: (table, after) =>
        Promise.resolve(table === 'key_version' && after === undefined && rows > 0 ? [ROW] : []),
      replaceSealed: () => {
        const count = replaced();
        rows -= count;
        return Promise.resolve(count);
      },
      retire: ({ number }) => {
        if (rows === 0) done.retired.push(number);
        return Promise.resolve(rows === 0);
      },
      recordDestroyed: () => Promise.resolve(),
      isRetired: () => Promise.resolve(false),
      listVouchers: () => Promise.resolve([]),
      putEndorsement: () => Promise.resolve(),
    },
    requireHeldByAll: () => Promise.resolve(),
    requireMovable: () => Promise.resolve(),
    hasBackupKeys: () => true,
    draft: (operation) => new AuditDraft(() => NOW, { requestId: 'r', operation }),
  });
  return { rotation, done };
}

const wrapped = () => Promise.resolve(ROW as VerifiedMaterial);

describe('the end of a rotation', () => {
  test('comes when every row is wrapped anew: the old root keys are retired and destroyed', async () => {
    const { rotation, done } = rotationOf(wrapped, () => 1);
    expect(await rotation.finish()).toEqual({ broken: 0, isOver: true });
    expect(done).toEqual({ retired: [1], destroyed: [1] });
  });

  test('does not come while rows are changed as fast as they are wrapped', async () => {
    const { rotation, done } = rotationOf(wrapped, () => 0);
    expect(await rotation.finish()).toEqual({ broken: 0, isOver: false });
    expect(done).toEqual({ retired: [], destroyed: [] });
  });

  test('does not come while a row has a seal that does not verify', async () => {
    const altered = () => Promise.reject(new ServiceError('KeyIntegrityViolation', 'altered'));
    const { rotation, done } = rotationOf(altered, () => 1);
    expect(await rotation.finish()).toEqual({ broken: 1, isOver: false });
    expect(done).toEqual({ retired: [], destroyed: [] });
  });

  test('comes where rows that the service has not written say that others are to go: these stay', async () => {
    const { rotation, done } = rotationOf(wrapped, () => 1, PROOF, { retires: [7], proof: PROOF });
    expect(await rotation.finish()).toEqual({ broken: 0, isOver: true });
    expect(done).toEqual({ retired: [], destroyed: [] });
  });

  test.each<[string, Retirement | null]>([
    ['nothing', null],
    ['somebody else', { retires: [1], proof: Buffer.alloc(32, 2) }],
  ])('retires nothing of which %s says so', async (_what, said) => {
    const { rotation, done } = rotationOf(wrapped, () => 1, PROOF, said);
    // Nor does it wait: whoever can only write rows would keep all rotations from their end.
    expect(await rotation.finish()).toEqual({ broken: 0, isOver: true });
    expect(await rotation.isUnfinished()).toBe(false);
    expect(done).toEqual({ retired: [], destroyed: [] });
  });

  test('destroys nothing on the word of the database alone', async () => {
    const { rotation, done } = rotationOf(wrapped, () => 1, Buffer.alloc(32, 2));
    // Neither the row's proof nor the list of the current root keys is of that generation.
    done.retired.push(7);
    expect(await rotation.finish()).toEqual({ broken: 0, isOver: true });
    expect(await rotation.isUnfinished()).toBe(false);
    expect(done.destroyed).toEqual([]);
  });
});
