import { beforeEach, expect, test } from '@jest/globals';
import type { PolicyLines } from '../../src/authz/policy-adapter.ts';
import { sharePolicies } from '../../src/authz/shared-policies.ts';

const SIGNER = ['signer', 'sign'] as const;
const READER = ['reader', 'read'] as const;
const at = (role: string, scope: string) => ['caller', role, scope] as const;
const lines = (...assignments: ReturnType<typeof at>[]): PolicyLines => ({
  permissions: [SIGNER, READER],
  assignments,
});

let opened: PolicyLines[];
let policyOf: (lines: PolicyLines) => Promise<PolicyLines>;

beforeEach(() => {
  opened = [];
  policyOf = sharePolicies(2, (given) => {
    opened.push(given);
    return Promise.resolve(given);
  });
});

test('the same lines, in any order, are one policy', async () => {
  const first = await policyOf(lines(at('signer', '/'), at('reader', '/keys/a')));
  const second = await policyOf({
    permissions: [READER, SIGNER],
    assignments: [at('reader', '/keys/a'), at('signer', '/')],
  });
  expect(second).toBe(first);
  expect(opened).toHaveLength(1);
});

test.each([
  ['another scope', lines(at('signer', '/keys/b'))],
  ['another role', lines(at('reader', '/keys/a'))],
  ['one more', lines(at('signer', '/keys/a'), at('reader', '/keys/a'))],
  ['none', lines()],
  ['a role that may do less', { ...lines(at('signer', '/keys/a')), permissions: [READER] }],
  [
    'the same words, divided otherwise',
    { permissions: [['signer', 'sign","reader']] as const, assignments: [] },
  ],
] as const)('lines with %s are another policy', async (_, others) => {
  const first = await policyOf(lines(at('signer', '/keys/a')));
  expect(await policyOf(others)).not.toBe(first);
});

test('no more are remembered than may be, and what was forgotten is opened again', async () => {
  for (const scope of ['/keys/a', '/keys/b', '/keys/c', '/keys/a'])
    await policyOf(lines(at('signer', scope)));
  expect(opened).toHaveLength(4);
});

test('long ones are opened for each caller', async () => {
  const many = lines(
    ...Array.from({ length: 1_000 }, (_, index) => at('signer', `/keys/${index}`)),
  );
  expect(await policyOf(many)).toBe(many);
  await policyOf({ ...many });
  expect(opened).toHaveLength(2);
});

test('one that could not be opened is not remembered', async () => {
  let fails = true;
  const flaky = sharePolicies(2, (given) =>
    fails ? Promise.reject(new Error('no')) : Promise.resolve(given),
  );
  await expect(flaky(lines())).rejects.toThrow('no');
  fails = false;
  await expect(flaky(lines())).resolves.toEqual(lines());
});

test('fifty who come at once for the same lines have it opened once', async () => {
  const policies = await Promise.all(
    Array.from({ length: 50 }, () => policyOf(lines(at('signer', '/')))),
  );
  expect([new Set(policies).size, opened.length]).toEqual([1, 1]);
});
