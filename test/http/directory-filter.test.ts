import { describe, expect, test } from '@jest/globals';
import { parseDirectoryFilter, parseNameFilter } from '../../src/http/directory-filter.ts';

describe('a filter of the directory', () => {
  test.each([
    [undefined, {}],
    ['  ', {}],
    ["appId eq 'x'", { appId: 'x' }],
    ["displayName eq 'it''s  two  blanks'", { displayName: "it's  two  blanks" }],
    ["displayName eq 'a and b'", { displayName: 'a and b' }],
    ["startswith(displayName,'bil')", { displayNamePrefix: 'bil' }],
    ["startswith(displayName, 'bil')", { displayNamePrefix: 'bil' }],
    ["servicePrincipalNames/any(c:c eq 'x')", { appId: 'x' }],
    ["appId  eq 'x' AND displayName eq 'y'", { appId: 'x', displayName: 'y' }],
    ["appId eq 'x' and appId eq 'x'", { appId: 'x' }],
  ])('%j is understood', (text, filter) => {
    expect(parseDirectoryFilter(text)).toEqual(filter);
  });

  test.each([
    'displayName',
    "displayName ne 'x'",
    "displayName eq 'x",
    "displayName eq x'",
    "displayName eq ''",
    "displayName eq 'x' or appId eq 'y'",
    "displayName eq 'x' appId eq 'y'",
    "displayName eq 'x' and",
    "appId eq 'x' and appId eq 'y'",
    "appId eq 'x'; drop table application",
    `displayName eq '${'x'.repeat(257)}'`,
    "identifierUris/any(s:s eq 'x')",
  ])('%j is refused', (text) => {
    expect(() => parseDirectoryFilter(text)).toThrow(
      expect.objectContaining({ code: 'BadParameter' }),
    );
  });

  test('of users and groups names no application', () => {
    expect(parseNameFilter("displayName eq 'x'")).toEqual({ displayName: 'x' });
    expect(() => parseNameFilter("appId eq 'x'")).toThrow(
      expect.objectContaining({ code: 'BadParameter' }),
    );
  });
});
