import { describe, expect, test } from '@jest/globals';
import { newModel } from 'casbin';
import { createPolicyAdapter } from '../../src/authz/policy-adapter.ts';

const adapter = createPolicyAdapter();
const model = newModel();

test('policies are only ever loaded filtered', async () => {
  expect(adapter.isFiltered()).toBe(true);
  await expect(adapter.loadPolicy(model)).rejects.toThrow('never loaded as a whole');
});

describe('policies cannot be written through Casbin, past the audit trail:', () => {
  test.each([
    ['saving', () => adapter.savePolicy(model)],
    ['adding', () => adapter.addPolicy('p', 'p', ['role', 'action'])],
    ['removing', () => adapter.removePolicy('p', 'p', ['role', 'action'])],
    ['removing many', () => adapter.removeFilteredPolicy('p', 'p', 0, 'role')],
  ])('%s is refused', async (_, write) => {
    await expect(write()).rejects.toThrow('written by the stores');
  });
});
