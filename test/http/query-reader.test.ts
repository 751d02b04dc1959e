import { parse } from 'node:querystring';
import { expect, test } from '@jest/globals';
import { createQueryReader } from '../../src/http/query-reader.ts';

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
