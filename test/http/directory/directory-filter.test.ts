import { describe, expect, test } from '@jest/globals';
import {
  APPLICATIONS,
  GROUPS,
  parseDirectoryFilter,
  SERVICE_PRINCIPALS,
  USERS,
} from '../../../src/http/directory/directory-filter.ts';

const eq = (property: string, value: string | boolean) => ({ property, operator: 'eq', value });
const begins = (property: string, value: string) => ({ property, operator: 'startsWith', value });
const refused = expect.objectContaining({ code: 'BadParameter' });

describe('a filter of the directory', () => {
  test.each([
    [undefined, []],
    ['  ', []],
    ["appId eq 'x'", [eq('appId', 'x')]],
    ["displayName eq 'it''s  two  blanks'", [eq('displayName', "it's  two  blanks")]],
    ["displayName eq '''x'''", [eq('displayName', "'x'")]],
    ["displayName eq 'a and b'", [eq('displayName', 'a and b')]],
    ["startswith(displayName,'bil')", [begins('displayName', 'bil')]],
    ["startsWith( displayName , 'bil' )", [begins('displayName', 'bil')]],
    ["servicePrincipalNames/any(c:c eq 'x')", [eq('appId', 'x')]],
    ["servicePrincipalNames/any(x: x eq 'x')", [eq('appId', 'x')]],
    ['accountEnabled eq true', [eq('accountEnabled', true)]],
    ["appId  eq 'x' AND displayName eq 'y'", [eq('appId', 'x'), eq('displayName', 'y')]],
    ["(appId eq 'x') and (displayName eq 'y')", [eq('appId', 'x'), eq('displayName', 'y')]],
    ["appId eq 'x' and appId eq 'y'", [eq('appId', 'x'), eq('appId', 'y')]],
    [`${'('.repeat(200)}appId eq 'x'${')'.repeat(200)}`, [eq('appId', 'x')]],
  ])('%j is understood', (text, filter) => {
    expect(parseDirectoryFilter(text, SERVICE_PRINCIPALS)).toEqual(filter);
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
    "and displayName eq 'x'",
    "(displayName eq 'x'",
    "displayName eq 'x')",
    "not (displayName eq 'x')",
    'displayName eq true',
    "accountEnabled eq 'true'",
    'startswith(accountEnabled,true)',
    "servicePrincipalNames eq 'x'",
    "servicePrincipalNames/any(c:d eq 'x')",
    "servicePrincipalNames/all(c:c eq 'x')",
    "appId eq 'x'; drop table application",
    "constructor eq 'x'",
    "__proto__ eq 'x'",
    `displayName eq '${'x'.repeat(257)}'`,
  ])('%j is refused', (text) => {
    expect(() => parseDirectoryFilter(text, SERVICE_PRINCIPALS)).toThrow(refused);
  });

  // What az asks of each list before it makes, shows or deletes an entry.
  test.each([
    [
      GROUPS,
      "displayName eq 'g' and mailNickname eq 'n'",
      [eq('displayName', 'g'), eq('mailNickname', 'n')],
    ],
    [GROUPS, "startswith(displayName,'g')", [begins('displayName', 'g')]],
    [GROUPS, "startswith(mailNickname,'g')", [begins('mailNickname', 'g')]],
    [USERS, "userPrincipalName eq 'a@b.c'", [eq('userPrincipalName', 'a@b.c')]],
    [APPLICATIONS, "identifierUris/any(s:s eq 'api://x')", [eq('identifierUris', 'api://x')]],
  ])('of %j, %s', (kind, text, filter) => {
    expect(parseDirectoryFilter(text, kind)).toEqual(filter);
  });

  test('asks of users and groups nothing that only applications have', () => {
    for (const kind of [USERS, GROUPS])
      expect(() => parseDirectoryFilter("appId eq 'x'", kind)).toThrow(refused);
    expect(() => parseDirectoryFilter("mailNickname eq 'x'", APPLICATIONS)).toThrow(refused);
  });

  // A hundred times what a request may hold: whoever went over it again for each blank or quote wouldn't come to an end.
  test.each([
    ['blanks before a quote', `x${' '.repeat(50_000)}'`],
    ['blanks', `${' '.repeat(50_000)}x`],
    ['quotes', `displayName eq ${"'".repeat(50_001)}`],
    ['quotes and blanks', "' ".repeat(25_000)],
    ['letters', 'a'.repeat(50_000)],
    ['brackets', '('.repeat(512)],
    ['clauses', "appId eq 'x' and ".repeat(3_000)],
  ])('of many %s costs no more than it is long', (_, text) => {
    expect(() => parseDirectoryFilter(text, SERVICE_PRINCIPALS)).toThrow(refused);
  });
});
