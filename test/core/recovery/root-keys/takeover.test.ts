import { expect, test } from '@jest/globals';
import { requireStartable } from '../../../../src/core/recovery/root-keys/takeover.ts';

const POOL = '6dbf3a2c-1f1a-4c38-9f4a-0d3b6f5f3d11';

const asked = (used: readonly number[], brought: readonly number[]) =>
  requireStartable(
    {
      listUsedGenerations: (poolId) => Promise.resolve(poolId === POOL ? used : [9]),
      listBrought: (poolId) => Promise.resolve(poolId === POOL ? brought : [9]),
    },
    { poolId: POOL, generation: 3 },
  );

test.each<[readonly number[], readonly number[]]>([
  [[], [3]],
  [[], []],
  [[3], []],
  // What the pool itself has had before, whose root keys vouch for those of now.
  [[2, 3], [3]],
])('a pool is restored where %j were in use and %j brought in', async (used, brought) => {
  await expect(asked(used, brought)).resolves.toBeUndefined();
});

test.each<[readonly number[], readonly number[], string]>([
  [[4], [3], 'has had newer root keys of that pool in use (generation 4;'],
  [[], [2, 3], 'holds root keys of that pool from another upload (generation 2;'],
  [[], [5], 'from another upload (generation 5;'],
])(
  'it is not where its start would refuse: %j in use, %j brought in',
  async (used, brought, words) => {
    await expect(asked(used, brought)).rejects.toMatchObject({
      code: 'Conflict',
      message: expect.stringContaining(words) as unknown,
    });
  },
);
