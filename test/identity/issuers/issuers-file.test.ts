import { describe, expect, test } from '@jest/globals';
import { IssuersFileError, parseIssuers } from '../../../src/identity/issuers/issuers-file.ts';

/** One issuer whose members are `lines`: the first of them is in line 4. */
const file = (...lines: string[]) =>
  ['{', '  "issuers": [', '    {', ...lines, '    }', '  ]', '}'].join('\n');
const ISSUER = '"issuer": "https://issuer.example",';
const AUDIENCES = '"audiences": ["https://strongroom.example"]';
const TENANT = '7a3b9c1e-0f1d-4a57-9d3c-0d2f6b8e4a11';

describe('an issuer', () => {
  test('needs its name and audiences alone; the rest has defaults', () => {
    const [issuer] = parseIssuers(file(ISSUER, AUDIENCES));
    expect(issuer).toEqual({
      issuer: 'https://issuer.example',
      // Of the issuer's own, so that principals of two issuers are never of the same tenant.
      tenantId: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
      audiences: ['https://strongroom.example'],
      algorithms: expect.not.arrayContaining(['none', 'HS256']),
      claims: { principal: ['sub'], application: ['azp'], displayName: ['name'] },
      objectIds: 'derived',
    });
  });

  test('names claims, also ones that stand inside others', () => {
    const [issuer] = parseIssuers(
      file(
        ISSUER,
        `${AUDIENCES},`,
        `"tenantId": "${TENANT.toUpperCase()}", "objectIds": "claim",`,
        '"principalClaim": "oid", "applicationClaim": "appid", "displayNameClaim": ["a", "b"],',
        '"groupsClaim": ["realm_access", "roles"], "tenantClaim": "tid",',
        '"algorithms": ["ES256"], "jwksUri": "http://localhost:8080/keys"',
      ),
    );
    expect(issuer).toEqual({
      issuer: 'https://issuer.example',
      tenantId: TENANT,
      audiences: ['https://strongroom.example'],
      jwksUri: 'http://localhost:8080/keys',
      algorithms: ['ES256'],
      claims: {
        principal: ['oid'],
        application: ['appid'],
        displayName: ['a', 'b'],
        groups: ['realm_access', 'roles'],
        tenant: ['tid'],
      },
      objectIds: 'claim',
    });
  });

  test('may be none at all', () => {
    expect(parseIssuers('{ "issuers": [] }')).toEqual([]);
  });
});

describe('a wrong file is told with the line', () => {
  test.each<[string, string, RegExp]>([
    ['nothing', '', /^line 1: this is no JSON/],
    ['no JSON', '{\n  "issuers": [\n    nonsense\n  ]\n}', /^line 3: this is no JSON/],
    ['a comma too many', file(ISSUER, `${AUDIENCES},`), /^line 6: this is no JSON/],
    ['a comment', `// issuers\n{ "issuers": [] }`, /^line 1: this is no JSON/],
    ['a list', '[]', /^line 1: /],
    ['another member', '{\n  "issuers": [],\n  "issuer": {}\n}', /^line 1: .*issuer/],
    ['issuers that are no list', '{\n  "issuers": {}\n}', /^line 2: issuers: /],
    ['no issuer', file(AUDIENCES), /^line 3: issuers\.0\.issuer: /],
    ['no audiences', file(ISSUER.replace(',', '')), /^line 3: issuers\.0\.audiences: /],
    [
      'an empty list of audiences',
      file(ISSUER, '"audiences": []'),
      /^line 5: issuers\.0\.audiences: /,
    ],
    [
      'an audience that is no text',
      file(ISSUER, '"audiences": [', '"https://strongroom.example",', '7]'),
      /^line 7: issuers\.0\.audiences\.1: /,
    ],
    [
      'an issuer without TLS',
      file('"issuer": "http://issuer.example",', AUDIENCES),
      /^line 4: issuers\.0\.issuer: must be an https URL/,
    ],
    [
      'an issuer that is no URL',
      file('"issuer": "issuer.example",', AUDIENCES),
      /^line 4: issuers\.0\.issuer: must be an https URL/,
    ],
    [
      'an issuer with a password',
      file('"issuer": "https://a:b@issuer.example",', AUDIENCES),
      /^line 4: issuers\.0\.issuer: must be an https URL/,
    ],
    [
      'a jwksUri with a query',
      file(ISSUER, `${AUDIENCES},`, '"jwksUri": "https://issuer.example/keys?x"'),
      /^line 6: issuers\.0\.jwksUri: must be an https URL/,
    ],
    [
      'a shared secret as algorithm',
      file(ISSUER, `${AUDIENCES},`, '"algorithms": ["RS256", "HS256"]'),
      /^line 6: issuers\.0\.algorithms\.1: /,
    ],
    [
      'none as algorithm',
      file(ISSUER, `${AUDIENCES},`, '"algorithms": ["none"]'),
      /^line 6: issuers\.0\.algorithms\.0: /,
    ],
    [
      'a claim that is a number',
      file(ISSUER, `${AUDIENCES},`, '"groupsClaim": 7'),
      /^line 6: issuers\.0\.groupsClaim: /,
    ],
    [
      'a member that nobody knows',
      file(ISSUER, `${AUDIENCES},`, '"audience": "x"'),
      /^line \d: issuers\.0: .*audience/,
    ],
    [
      'object ids of the claim without a tenant',
      file(ISSUER, `${AUDIENCES},`, '"objectIds": "claim"'),
      /^line 6: issuers\.0\.objectIds: .*tenantId/,
    ],
    [
      'object ids of the claim with a tenant that is no GUID',
      file(ISSUER, `${AUDIENCES},`, '"tenantId": "acme",', '"objectIds": "claim"'),
      /^line 7: issuers\.0\.objectIds: .*tenantId/,
    ],
    [
      'a claim of the tenant without a tenant',
      file(ISSUER, `${AUDIENCES},`, '"tenantClaim": "tid"'),
      /^line 6: issuers\.0\.tenantClaim: .*tenantId/,
    ],
    [
      'the same issuer twice',
      `{ "issuers": [\n{ ${ISSUER} ${AUDIENCES} },\n{ ${ISSUER} ${AUDIENCES} }\n] }`,
      /^line 3: issuers\.1\.issuer: is there already/,
    ],
    [
      'more issuers than a hundred',
      JSON.stringify(
        {
          issuers: Array.from({ length: 101 }, (_, n) => ({
            issuer: `https://${n}.example`,
            audiences: ['x'],
          })),
        },
        null,
        1,
      ),
      /^line 2: issuers: /,
    ],
  ])('%s', (_what, content, message) => {
    let thrown: unknown;
    try {
      parseIssuers(content);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(IssuersFileError);
    expect((thrown as Error).message).toMatch(message);
    expect((thrown as Error).message).not.toContain('\n');
  });
});
