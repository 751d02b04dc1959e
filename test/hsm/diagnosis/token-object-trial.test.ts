import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { examineTokenObjects } from '../../../src/hsm/diagnosis/token-object-trial.ts';
import { createRootKeys } from '../../../src/hsm/keys/root-keys.ts';
import { findObjects } from '../../../src/hsm/module/calls.ts';
import { openToken, type Token } from '../../../src/hsm/module/token.ts';
import { testToken } from '../../support/softhsm.ts';

const MINUTE_MS = 60_000;

let token: Token;
beforeAll(() => {
  token = openToken(testToken());
});
afterAll(() => {
  token.close();
});

const count = () => findObjects(token.loginSession, { token: true }, 10_000).length;

test.each(['sealed', 'resident'] as const)(
  'the token objects of a %s pool are made, found again, and gone',
  (keeping) => {
    const before = count();
    expect(examineTokenObjects(token.loginSession, keeping).severity).toBe('ok');
    expect(count()).toBe(before);
  },
);

test('what an examination has left that was killed is destroyed by a later one, and nothing else is', () => {
  const before = count();
  const began = Date.now();
  createRootKeys(token.loginSession, 'a pool', 1);
  createRootKeys(token.loginSession, `examined-${began}-0a`, 1);
  expect(count()).toBe(before + 4);
  // It may be under way.
  examineTokenObjects(token.loginSession, 'sealed', began + 9 * MINUTE_MS);
  expect(count()).toBe(before + 4);
  examineTokenObjects(token.loginSession, 'sealed', began + 11 * MINUTE_MS);
  expect(count()).toBe(before + 2);
});
