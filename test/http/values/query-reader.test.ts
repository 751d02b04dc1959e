import { parse } from 'node:querystring';
import { describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { createNameReader, readQuery } from '../../../src/http/values/query-reader.ts';

test.each([
  'api-version=7.6',
  'api-version=7.6&api-version=7.5',
  'maxresults=5&$skiptoken=a%20b',
  '%zz=%',
  '',
  `x=${'long'.repeat(1_000)}`,
])('query %# is read as querystring reads it', (text) => {
  expect({ ...readQuery(text) }).toEqual({ ...parse(text) });
});

test('an absent query has no members', () => {
  expect(Object.keys(readQuery(null))).toEqual([]);
});

test('what one request is given no other can have changed', () => {
  readQuery('api-version=7.6')['api-version'] = 'other';
  expect(readQuery('api-version=7.6')['api-version']).toBe('7.6');
});

test.each([
  ['$Filter=a', { $filter: 'a' }],
  ['%24FILTER=a&API-Version=7.6', { $filter: 'a', 'api-version': '7.6' }],
  ['$filter=a&$FILTER=b&$Filter=c', { $filter: ['a', 'b', 'c'] }],
  ['Api-Version=7.6&Api-Version=7.5', { 'api-version': ['7.6', '7.5'] }],
  ['principalId=a&$__PROTO__=b', { principalId: 'a', $__proto__: 'b' }],
])('the options in %s are named without regard to case', (text, expected) => {
  expect({ ...readQuery(text) }).toEqual(expected);
});

describe('the names that a route declares', () => {
  const schema = z
    .object({ keyName: z.string().optional(), $filter: z.string().optional() })
    .and(z.object({ maxresults: z.string().optional() }).transform((page) => page));
  const read = createNameReader(schema);

  test.each([
    ['KEYNAME=a&MaxResults=5', { keyName: 'a', maxresults: '5' }],
    ['keyName=a&keyname=b', { keyName: ['a', 'b'] }],
    ['keyName=a&other=B&OTHER=c', { keyName: 'a', other: 'B', OTHER: 'c' }],
    ['', {}],
  ])('in %s are read without regard to case, and others stay', (text, expected) => {
    expect({ ...read(readQuery(text)) }).toEqual(expected);
  });

  test('must be told by its schema', () => {
    expect(() => createNameReader(z.record(z.string(), z.string()))).toThrow('record');
  });
});
