import { describe, expect, test } from '@jest/globals';
import { newModel } from 'casbin';
import { createPolicyAdapter, readLines } from '../../src/authz/policy-adapter.ts';
import { FakePolicyReader } from '../support/fakes/policy-reader.ts';

const adapter = createPolicyAdapter();
const model = newModel();

test('policies are only ever loaded filtered', async () => {
  expect(adapter.isFiltered()).toBe(true);
  await expect(adapter.loadPolicy(model)).rejects.toThrow('never loaded as a whole');
});

describe('policies cannot be written through Casbin, past the audit log:', () => {
  test.each([
    ['saving', () => adapter.savePolicy(model)],
    ['adding', () => adapter.addPolicy('p', 'p', ['role', 'action'])],
    ['removing', () => adapter.removePolicy('p', 'p', ['role', 'action'])],
    ['removing many', () => adapter.removeFilteredPolicy('p', 'p', 0, 'role')],
  ])('%s is refused', async (_, write) => {
    await expect(write()).rejects.toThrow('written by the stores');
  });
});

test('of however many assignments that end by themselves the first end is found', async () => {
  const reader = new FakePolicyReader();
  for (let index = 0; index < 200_000; index += 1)
    reader.assign('service', 'signer', `/keys/k${index}`, 1_000 + ((index + 77_777) % 200_000));
  const { assignments, endsAt } = await readLines(reader, ['service'], 1_000);
  expect(endsAt).toBe(1_001);
  expect(assignments).toHaveLength(199_999);
});
