import { beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createAuthorizer } from '../../src/authz/enforcer.ts';
import { action } from '../../src/core/access/actions.ts';
import { ServiceError } from '../../src/core/errors.ts';
import type { Authorizer } from '../../src/core/access/ports.ts';
import { coveringScopes, type Scope } from '../../src/core/access/role.ts';
import { FakeChangeFeed } from '../support/fakes/change-feed.ts';
import { FakeClock } from '../support/fakes/clock.ts';
import { FakePolicyReader } from '../support/fakes/policy-reader.ts';

const SIGN = action('keys/sign/action');
const READ = action('keys/read/action');
const DELETE = action('keys/delete');

const clock = new FakeClock('2026-11-24T00:00:00Z');
let policies: FakePolicyReader;
let feed: FakeChangeFeed;
let errors: unknown[];
let authorizer: Authorizer;

const open = (limits: { callers?: number; sharedPolicies?: number; decisions?: number } = {}) =>
  createAuthorizer({
    policies,
    feed,
    clock,
    callers: 100,
    sharedPolicies: 100,
    decisions: 100,
    ...limits,
    onError: (error) => errors.push(error),
  });

beforeEach(async () => {
  policies = new FakePolicyReader();
  policies.define('signer', [SIGN, READ]);
  policies.define('remover', [DELETE]);
  feed = new FakeChangeFeed();
  errors = [];
  authorizer = await open();
});

const maySign = (objectId: string, scope: Scope = '/keys/a', groups: readonly string[] = []) =>
  authorizer.isAllowed({ tenantId: 't', objectId, groups }, SIGN, scope);

describe('a caller is denied', () => {
  test('without any assignment', async () => {
    await expect(maySign('stranger')).resolves.toBe(false);
  });

  test.each([
    ['its role does not have the action', 'remover', '/'],
    ['its role has no permissions left', 'defunct', '/'],
    ['its role is held at another key', 'signer', '/keys/b'],
    ['its role is held at a key whose name begins alike', 'signer', '/keys/ab'],
    ['its role is held at a key of which the name is the beginning', 'signer', '/keys/'],
    ['its role is held at the same name in other letters', 'signer', '/keys/A'],
  ] as const)('when %s', async (_, role, scope) => {
    policies.assign('caller-1', role, scope);
    await expect(maySign('caller-1')).resolves.toBe(false);
  });

  test('what one of its roles has at another scope than the one it has there', async () => {
    policies.assign('alice', 'signer', '/keys/a');
    policies.assign('alice', 'remover', '/keys/b');
    const alice = { tenantId: 't', objectId: 'alice', groups: [] };
    const asked = [SIGN, DELETE].flatMap((act) =>
      (['/keys/a', '/keys/b'] as const).map((scope) => authorizer.isAllowed(alice, act, scope)),
    );
    await expect(Promise.all(asked)).resolves.toEqual([true, false, false, true]);
  });

  test('when only another caller, or a role of its own name, has the assignment', async () => {
    policies.assign('alice', 'signer', '/');
    policies.assign('signer', 'remover', '/');
    await expect(Promise.all(['bob', 'signer'].map((id) => maySign(id)))).resolves.toEqual([
      false,
      false,
    ]);
  });
});

describe('a group', () => {
  test('gives its assignments to those who are in it, and to nobody else', async () => {
    policies.assign('engineers', 'signer', '/keys/a');
    await expect(maySign('alice', '/keys/a', ['engineers'])).resolves.toBe(true);
    await expect(maySign('alice', '/keys/b', ['engineers'])).resolves.toBe(false);
    await expect(maySign('alice', '/keys/a', ['others'])).resolves.toBe(false);
    await expect(maySign('alice')).resolves.toBe(false);
  });

  test('adds to what its members have themselves', async () => {
    policies.assign('alice', 'signer', '/keys/b');
    policies.assign('engineers', 'signer', '/keys/a');
    await expect(maySign('alice', '/keys/b', ['engineers'])).resolves.toBe(true);
    await expect(maySign('alice', '/keys/a', ['others', 'engineers'])).resolves.toBe(true);
  });

  test('that loses its assignment takes it from its members at once', async () => {
    policies.assign('engineers', 'signer', '/');
    await expect(maySign('alice', '/', ['others', 'engineers'])).resolves.toBe(true);
    policies.revoke('engineers');
    feed.publish({ topic: 'assignment', id: 'engineers' });
    await expect(maySign('alice', '/', ['others', 'engineers'])).resolves.toBe(false);
  });

  test('that gets an assignment gives it to its members at once', async () => {
    await expect(maySign('alice', '/', ['engineers'])).resolves.toBe(false);
    policies.assign('engineers', 'signer', '/');
    feed.publish({ topic: 'assignment', id: 'engineers' });
    await expect(maySign('alice', '/', ['engineers'])).resolves.toBe(true);
  });

  test('that others are in, or nobody: a change of its assignments costs a caller no read', async () => {
    policies.assign('engineers', 'signer', '/');
    await maySign('alice', '/', ['engineers']);
    await maySign('bob');
    for (const id of ['others', 'bob']) feed.publish({ topic: 'assignment', id });
    policies.asked.length = 0;
    await expect(maySign('alice', '/', ['engineers'])).resolves.toBe(true);
    expect(policies.reads).toBe(0);
    feed.publish({ topic: 'assignment', id: 'engineers' });
    await maySign('alice', '/', ['engineers']);
    expect(policies.reads).toBe(1);
  });

  test('member that loses its own assignment has lost it at once', async () => {
    policies.assign('alice', 'signer', '/');
    await expect(maySign('alice', '/', ['engineers'])).resolves.toBe(true);
    policies.revoke('alice');
    feed.publish({ topic: 'assignment', id: 'alice' });
    await expect(maySign('alice', '/', ['engineers'])).resolves.toBe(false);
  });
});

describe('an error', () => {
  test('of any kind denies, is reported, and is not remembered', async () => {
    policies.assign('alice', 'signer', '/');
    policies.failure = new Error('a fault of ours');
    await expect(maySign('alice')).resolves.toBe(false);
    expect(errors).toEqual([policies.failure]);
    policies.failure = undefined;
    await expect(maySign('alice')).resolves.toBe(true);
  });

  test('of a store that cannot be reached is reported as such: nothing was decided', async () => {
    policies.assign('alice', 'signer', '/');
    policies.failure = new ServiceError('StoreUnavailable', 'The database cannot be reached.');
    await expect(maySign('alice')).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect(errors).toEqual([]);
    policies.failure = undefined;
    await expect(maySign('alice')).resolves.toBe(true);
  });
});

describe('while the feed is coherent', () => {
  beforeEach(() => {
    policies.assign('alice', 'signer', '/');
    policies.assign('bob', 'signer', '/');
  });

  test('a caller’s policy is read once, whatever it asks', async () => {
    const alice = { tenantId: 't', objectId: 'alice', groups: [] };
    for (const act of [SIGN, READ, DELETE])
      for (const scope of ['/', '/keys', '/keys/a', '/keys/b'] as const)
        for (let turn = 0; turn < 2; turn += 1)
          await expect(authorizer.isAllowed(alice, act, scope)).resolves.toBe(act !== DELETE);
    expect(policies.reads).toBe(1);
  });

  test.each([
    ['its own assignments', { topic: 'assignment', id: 'alice' }],
    ['any role', { topic: 'role', id: 'other' }],
    ['a reset', 'reset'],
  ] as const)('a change of %s is seen by the next decision', async (_, change) => {
    await expect(maySign('alice')).resolves.toBe(true);
    policies.revoke('alice');
    feed.publish(change);
    await expect(maySign('alice')).resolves.toBe(false);
  });

  test('a role that loses an action loses it for all who hold it', async () => {
    await expect(Promise.all([maySign('alice'), maySign('bob')])).resolves.toEqual([true, true]);
    policies.define('signer', [READ]);
    feed.publish({ topic: 'role', id: 'signer' });
    await expect(Promise.all([maySign('alice'), maySign('bob')])).resolves.toEqual([false, false]);
  });

  test.each([
    ['another caller’s assignments', { topic: 'assignment', id: 'bob' }],
    ['a key', { topic: 'key', id: 'alice' }],
    ['the directory', { topic: 'directory', id: 'alice' }],
  ] as const)('a change of %s costs the caller no read', async (_, change) => {
    await maySign('alice');
    feed.publish(change);
    await maySign('alice');
    expect(policies.reads).toBe(1);
  });

  test('a policy that was read before a revocation and arrives after it is not kept', async () => {
    policies.afterRead = () => {
      policies.afterRead = () => undefined;
      policies.revoke('alice');
      feed.publish({ topic: 'assignment', id: 'alice' });
    };
    await maySign('alice');
    await expect(maySign('alice')).resolves.toBe(false);
    await expect(maySign('alice')).resolves.toBe(false);
    expect(policies.reads).toBe(2);
  });

  test('of callers that may do the same, one that loses it takes it from nobody else', async () => {
    await expect(Promise.all([maySign('alice'), maySign('bob')])).resolves.toEqual([true, true]);
    policies.revoke('alice');
    feed.publish({ topic: 'assignment', id: 'alice' });
    await expect(Promise.all([maySign('alice'), maySign('bob')])).resolves.toEqual([false, true]);
    policies.assign('alice', 'signer', '/keys/b');
    feed.publish({ topic: 'assignment', id: 'alice' });
    await expect(Promise.all([maySign('alice'), maySign('bob')])).resolves.toEqual([false, true]);
    await expect(maySign('alice', '/keys/b')).resolves.toBe(true);
  });

  test('fifty decisions at once after a role has changed read the policy once', async () => {
    await maySign('alice');
    feed.publish({ topic: 'role', id: 'signer' });
    policies.asked.length = 0;
    const decisions = await Promise.all(Array.from({ length: 50 }, () => maySign('alice')));
    expect([new Set(decisions), policies.reads]).toEqual([new Set([true]), 1]);
  });

  test('a grant that is not published yet holds for who asks anew, and from then on', async () => {
    await expect(maySign('carol')).resolves.toBe(false);
    policies.assign('carol', 'signer', '/');
    await expect(maySign('carol')).resolves.toBe(false);
    const carol = { tenantId: 't', objectId: 'carol', groups: [] };
    await expect(authorizer.isAllowedNow(carol, SIGN, '/keys/a')).resolves.toBe(true);
    await expect(maySign('carol')).resolves.toBe(true);
  });

  test('decisions that begin together see one policy each, none a mixture', async () => {
    const together = Array.from({ length: 50 }, (_, index) =>
      maySign(index % 2 === 0 ? 'alice' : 'stranger', `/keys/k${index}`),
    );
    await expect(Promise.all(together)).resolves.toEqual(
      together.map((_, index) => index % 2 === 0),
    );
  });
});

describe('while the feed is cut off', () => {
  test('every decision reads the policy, and a revocation that was not published holds', async () => {
    policies.assign('alice', 'signer', '/');
    await expect(maySign('alice')).resolves.toBe(true);
    feed.coherent = false;
    for (let turn = 0; turn < 3; turn += 1) await expect(maySign('alice')).resolves.toBe(true);
    expect(policies.reads).toBe(4);
    policies.revoke('alice');
    await expect(maySign('alice')).resolves.toBe(false);
  });

  test('what was read is not kept for later', async () => {
    policies.assign('alice', 'signer', '/');
    feed.coherent = false;
    await maySign('alice');
    policies.revoke('alice');
    feed.coherent = true;
    await expect(maySign('alice')).resolves.toBe(false);
  });
});

describe('size', () => {
  test('of 100,000 assignments only the caller’s own and its groups’ are loaded', async () => {
    for (let index = 0; index < 99_997; index += 1)
      policies.assign(`principal-${index}`, 'signer', `/keys/k${index}`);
    policies.assign('alice', 'signer', '/keys/a');
    policies.assign('alice', 'remover', '/keys/b');
    policies.assign('engineers', 'signer', '/keys/c');
    await expect(maySign('alice', '/keys/c', ['engineers'])).resolves.toBe(true);
    expect(policies.asked.map((ids) => [...ids].sort())).toEqual([['alice', 'engineers']]);
    // Three assignments; two permissions of one role, one of the other.
    expect(policies.lines).toBe(6);
  });

  // Half a second here. Casbin's addPolicy, which compares each line with all before it, takes a minute, and nothing else
  // is served meanwhile.
  test('one caller may have 100,000 assignments', async () => {
    for (let index = 0; index < 100_000; index += 1)
      policies.assign('service', 'signer', `/keys/k${index}`);
    const began = process.cpuUsage();
    await expect(maySign('service', '/keys/k99999')).resolves.toBe(true);
    await expect(maySign('service', '/keys/k100000')).resolves.toBe(false);
    // Of a core, since others may have theirs.
    const { user, system } = process.cpuUsage(began);
    expect((user + system) / 1000).toBeLessThan(10_000);
  });

  test('of more callers than are kept the one least recently seen is read again', async () => {
    authorizer = await open({ callers: 3 });
    for (const id of ['a', 'b', 'c', 'a', 'd']) await maySign(id);
    expect(policies.reads).toBe(4);
    for (const id of ['a', 'c', 'd']) await maySign(id);
    expect(policies.reads).toBe(4);
    await maySign('b');
    expect(policies.reads).toBe(5);
  });

  test('decisions stay right when more are asked for than are remembered', async () => {
    authorizer = await open({ decisions: 2 });
    for (const name of ['a', 'c', 'e']) policies.assign('alice', 'signer', `/keys/${name}`);
    for (let turn = 0; turn < 3; turn += 1)
      for (const [name, expected] of Object.entries({ a: true, b: false, c: true, d: false }))
        await expect(maySign('alice', `/keys/${name}`)).resolves.toBe(expected);
  });

  test.each([0, -1, 1.5, Number.NaN])('a limit of %d is refused', async (limit) => {
    await expect(open({ callers: limit })).rejects.toThrow(RangeError);
    await expect(open({ decisions: limit })).rejects.toThrow(RangeError);
    await expect(open({ sharedPolicies: limit })).rejects.toThrow(RangeError);
  });
});

test('any assignments decide as their plain reading does', async () => {
  const principals = ['alice', 'bob', 'engineers', 'others'] as const;
  const actions = [SIGN, READ, DELETE] as const;
  const scopes = ['/', '/keys', '/keys/a', '/keys/ab', '/keys/a-b'] as const;
  const roles: Readonly<Record<string, readonly string[]>> = {
    none: [],
    signer: [SIGN, READ],
    remover: [DELETE],
    // To Casbin, principals and roles are names alike.
    alice: [READ, DELETE],
  };
  const assignment = fc.record({
    principalId: fc.constantFrom(...principals),
    role: fc.constantFrom(...Object.keys(roles)),
    scope: fc.constantFrom(...scopes),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(assignment, { maxLength: 8 }),
      fc.subarray(['engineers', 'others']),
      async (assignments, groups) => {
        policies = new FakePolicyReader();
        for (const [role, held] of Object.entries(roles)) policies.define(role, held);
        for (const { principalId, role, scope } of assignments)
          policies.assign(principalId, role, scope);
        authorizer = await open();
        for (const act of actions)
          for (const scope of scopes) {
            const expected = assignments.some(
              (held) =>
                ['alice', ...groups].includes(held.principalId) &&
                coveringScopes(scope).includes(held.scope) &&
                roles[held.role]?.includes(act),
            );
            const caller = { tenantId: 't', objectId: 'alice', groups };
            expect(await authorizer.isAllowed(caller, act, scope)).toBe(expected);
          }
      },
    ),
    { numRuns: 200 },
  );
  expect(errors).toEqual([]);
});

describe('an assignment that ends by itself', () => {
  const inAMinute = () => clock.seconds + 60;

  test('holds until its end and not a moment longer, although the answer was remembered', async () => {
    policies.assign('caller', 'signer', '/', inAMinute());
    await expect(maySign('caller')).resolves.toBe(true);
    clock.advance(59);
    await expect(maySign('caller')).resolves.toBe(true);
    expect(policies.reads).toBe(1);
    clock.advance(1);
    await expect(maySign('caller')).resolves.toBe(false);
    await expect(maySign('caller')).resolves.toBe(false);
    expect(policies.reads).toBe(2);
  });

  test('leaves the others', async () => {
    policies.assign('caller', 'signer', '/', inAMinute());
    policies.assign('caller', 'signer', '/keys/a');
    await expect(maySign('caller', '/keys/b')).resolves.toBe(true);
    clock.advance(60);
    await expect(maySign('caller', '/keys/b')).resolves.toBe(false);
    await expect(maySign('caller', '/keys/a')).resolves.toBe(true);
  });

  test('and has ended before gives nothing', async () => {
    policies.assign('caller', 'signer', '/', clock.seconds);
    await expect(maySign('caller')).resolves.toBe(false);
  });
});
