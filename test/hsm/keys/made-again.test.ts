import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import graphene from 'graphene-pk11';
import { newObjectId, type ObjectIds } from '../../../src/core/keys/objects/object-id.ts';
import { makeAgain } from '../../../src/hsm/keys/keeping/made-again.ts';
import {
  countObjects,
  listPoolObjects,
  objectLabel,
} from '../../../src/hsm/keys/keeping/pool-objects.ts';
import { generateKey } from '../../../src/hsm/module/calls.ts';
import { pkcs11Error } from '../../../src/hsm/module/return-values.ts';
import { openToken, type Token } from '../../../src/hsm/module/token.ts';
import { testToken } from '../../support/softhsm.ts';

let token: Token;
beforeAll(() => {
  token = openToken(testToken());
});
afterAll(() => {
  token.close();
});

/** Makes an object of a new pool, and fails so many times after that. */
function failing(times: number, failure = () => pkcs11Error('CKR_GENERAL_ERROR', 0x5)) {
  const poolId = randomUUID();
  const objects: ObjectIds = { private: newObjectId(), mac: newObjectId() };
  const runs = { count: 0 };
  const make = () => {
    runs.count += 1;
    generateKey(token.loginSession, graphene.KeyGenMechanism.AES, {
      ...{ token: true, extractable: false, valueLen: 32 },
      ...{ label: objectLabel(poolId), id: Buffer.from(objects.private, 'hex') },
    });
    if (runs.count <= times) throw failure();
    return 'made';
  };
  return { make, runs, poolId, objects, left: () => listPoolObjects(token.loginSession, poolId) };
}

test('a resident key is made again where the module answers with what may pass, and what was left of it is destroyed', () => {
  const { make, poolId, objects, left } = failing(2);
  expect(makeAgain(token.loginSession, poolId, objects, make)).toBe('made');
  expect(left()).toEqual([objects.private]);
  expect(countObjects(token.loginSession, poolId).own).toBe(1);
});

test('three times at most', () => {
  const { make, runs, poolId, objects } = failing(3);
  expect(() => makeAgain(token.loginSession, poolId, objects, make)).toThrow('CKR_GENERAL_ERROR');
  expect(runs.count).toBe(3);
});

test('not where the answer says what is wrong', () => {
  const { make, runs, poolId, objects } = failing(1, () => pkcs11Error('CKR_DEVICE_MEMORY', 0x31));
  expect(() => makeAgain(token.loginSession, poolId, objects, make)).toThrow('CKR_DEVICE_MEMORY');
  expect(runs.count).toBe(1);
});

test('not a sealed key, which leaves nothing in the token and is asked for once more by its caller', () => {
  const { make, runs, poolId } = failing(1);
  expect(() => makeAgain(token.loginSession, poolId, undefined, make)).toThrow();
  expect(runs.count).toBe(1);
});
