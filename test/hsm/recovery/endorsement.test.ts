import { randomUUID } from 'node:crypto';
import { afterAll, beforeEach, expect, test } from '@jest/globals';
import {
  endorse,
  findUnvouching,
  isRetirable,
} from '../../../src/core/recovery/root-keys/endorsement.ts';
import { openTestHsm } from '../../support/hsm.ts';

const { hsm } = openTestHsm();
afterAll(() => hsm.close());

let poolId: string;
beforeEach(() => {
  poolId = randomUUID();
  hsm.createRootKeys(poolId, 1);
});

/** As after a rotation in which the process has made the next generation. */
async function rotated(retires: readonly number[] = []) {
  const { generation, rootCheck } = await hsm.makeRootKeys(hsm.rootGeneration());
  return { generation, rootCheck, said: await endorse(hsm, generation, retires) };
}

test('root keys that a rotation has made are vouched for by those of before, whoever reads it', async () => {
  const { generation, said } = await rotated();
  expect(said.vouchers.map(({ by }) => by)).toEqual([1]);
  expect(await findUnvouching(hsm, generation, said.vouchers)).toEqual([]);
});

test('root keys of which only rows tell are not: the older ones do not say so', async () => {
  const { generation, said } = await rotated();
  const [voucher] = said.vouchers;
  if (voucher === undefined) throw new TypeError('generation 1 vouches');
  const forged = [{ ...voucher, proof: Buffer.alloc(32) }];
  expect(await findUnvouching(hsm, generation, [])).toEqual([1]);
  expect(await findUnvouching(hsm, generation, forged)).toEqual([1]);
  // What was said of one generation is not said of another, and what another one says counts for nothing.
  const later = await hsm.makeRootKeys(generation);
  const moved = [
    { ...voucher, generation: later.generation },
    { by: 2, generation: later.generation, proof: await hsm.voucher(2, later.generation) },
  ];
  expect(await findUnvouching(hsm, later.generation, moved)).toEqual([1]);
});

test('what one older generation vouches for, another one may vouch for by it', async () => {
  const first = await rotated();
  await hsm.useRootKeys(first.generation, first.rootCheck);
  const second = await rotated();
  const bySecond = second.said.vouchers.filter(({ by }) => by === first.generation);
  const chain = [...bySecond, ...first.said.vouchers];
  expect(await findUnvouching(hsm, second.generation, chain)).toEqual([]);
  expect(await findUnvouching(hsm, second.generation, bySecond)).toEqual([1]);
});

test('an older generation may go if the current one has said so, in the very list', async () => {
  const { generation, said } = await rotated([1]);
  const may = (number: number, retires = said.retirement.retires) =>
    isRetirable(hsm, generation, number, { ...said.retirement, retires });
  expect(await may(1)).toBe(true);
  expect(await may(7)).toBe(false);
  expect(await may(1, [1, 7])).toBe(false);
  expect(await may(7, [7])).toBe(false);
  expect(await isRetirable(hsm, generation, 1, undefined)).toBe(false);
  // What generation 1 says is not what the current one says.
  const proof = await hsm.retirementList(1, [1]);
  expect(await isRetirable(hsm, generation, 1, { retires: [1], proof })).toBe(false);
});
