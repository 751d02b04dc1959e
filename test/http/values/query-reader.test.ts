import { parse } from 'node:querystring';
import { expect, test } from '@jest/globals';
import { createQueryReader } from '../../../src/http/values/query-reader.ts';

test.each([
  'api-version=7.6',
  'api-version=7.6&api-version=7.5',
  'maxresults=5&$skiptoken=a%20b',
  '%zz=%',
  '',
  `x=${'long'.repeat(1_000)}`,
])('query %# is read as querystring reads it, the second time too', (text) => {
  const read = createQueryReader();
  for (let time = 0; time < 2; time += 1) expect({ ...read(text) }).toEqual({ ...parse(text) });
});

test('an absent query has no members', () => {
  expect(Object.keys(createQueryReader()(null))).toEqual([]);
});

test('what one request is given no other can have changed', () => {
  const read = createQueryReader();
  const query = read('api-version=7.6') as Record<string, unknown>;
  expect(() => {
    query['api-version'] = 'other';
  }).toThrow(TypeError);
  expect(read('api-version=7.6')['api-version']).toBe('7.6');
});

test.each([
  ['$Filter=a', { $filter: 'a' }],
  ['%24FILTER=a&API-Version=7.6', { $filter: 'a', 'api-version': '7.6' }],
  ['$filter=a&$FILTER=b&$Filter=c', { $filter: ['a', 'b', 'c'] }],
  ['Api-Version=7.6&Api-Version=7.5', { 'api-version': ['7.6', '7.5'] }],
  ['principalId=a&$__PROTO__=b', { principalId: 'a', $__proto__: 'b' }],
])('the options in %s are named without regard to case', (text, expected) => {
  const read = createQueryReader();
  for (let time = 0; time < 2; time += 1) expect({ ...read(text) }).toEqual(expected);
});
