import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { makePrincipal } from '../../support/administrator.ts';
import type { Caller } from '../../support/client.ts';
import { outsideEc } from '../../support/plain-keys.ts';
import { type ProductionService, startNewPool } from '../../support/production.ts';
import { ROLE } from '../../support/roles.ts';
import { useSharedService } from '../../support/use-service.ts';

/** Each way in which Managed HSM is known to refuse, with its exact status, code, inner code, and text where that is known. */

type Client = Caller & { close(): void };
type Row = readonly [
  why: string,
  who: 'administrator' | 'nobody',
  method: string,
  path: string,
  body: unknown,
  status: number,
  code: string,
  innerCode: string | undefined,
  text?: string,
];

const { service, admin: administrator, atEnd } = useSharedService();
let nobody: Client;

const NOBODY = '00000000-0000-4000-8000-000000000000';
const ZERO = '0'.repeat(32);
const AUTHORIZATION = '/providers/Microsoft.Authorization';
const ACTIONS = 'Microsoft.KeyVault/managedHsm/';
const value = (bytes = 32) => Buffer.alloc(bytes, 7).toString('base64url');
const now = Math.floor(Date.now() / 1000);
const outside = outsideEc('P-256').jwk;

beforeAll(async () => {
  nobody = (await makePrincipal(administrator, service)).call;
  atEnd(nobody);
  for (const [name, body] of [
    ['aes', { kty: 'oct' }],
    ['rsa', { kty: 'RSA' }],
    ['ec', { kty: 'EC' }],
    ['disabled', { kty: 'oct', attributes: { enabled: false } }],
    ['expired', { kty: 'oct', attributes: { exp: now - 10 } }],
    ['early', { kty: 'oct', attributes: { nbf: now + 86_400 } }],
    ['signs', { kty: 'RSA', key_ops: ['sign'] }],
    ['deleted', { kty: 'EC' }],
  ] as const)
    expect((await administrator('POST', `/keys/${name}/create`, body)).status).toBe(200);
  expect((await administrator('DELETE', '/keys/deleted')).status).toBe(200);
});

async function expectRefusal(
  [, who, method, path, body, status, code, innerCode, text]: Row,
  callers: Readonly<Record<'administrator' | 'nobody', Caller>> = { administrator, nobody },
): Promise<void> {
  const answer = await callers[who](method, path, body);
  const { error } = answer.json<{
    error: { code: string; message: string; innererror?: { code: string } };
  }>();
  expect([answer.status, error.code, error.innererror?.code]).toEqual([status, code, innerCode]);
  expect(error.message).toMatch(
    new RegExp(`\\(Activity ID: ${String(answer.headers['x-ms-request-id'])}\\)$`),
  );
  if (text !== undefined) expect(error.message).toContain(text);
  expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
}

const allKeys: readonly (readonly [method: string, path: string, action: string])[] = [
  ['POST', '/keys/aes/create', 'keys/create'],
  ['PUT', '/keys/aes', 'keys/import/action'],
  ['GET', '/keys/aes', 'keys/read/action'],
  ['GET', `/keys/aes/${ZERO}`, 'keys/read/action'],
  ['GET', '/keys/aes/versions', 'keys/read/action'],
  ['PATCH', '/keys/aes', 'keys/write/action'],
  ['DELETE', '/keys/aes', 'keys/delete'],
  ['POST', '/keys/aes/rotate', 'keys/rotate/action'],
  ['POST', '/keys/aes/backup', 'keys/backup/action'],
  ['GET', '/deletedkeys/aes', 'keys/deletedKeys/read/action'],
  ['DELETE', '/deletedkeys/aes', 'keys/deletedKeys/delete'],
  ['POST', '/deletedkeys/aes/recover', 'keys/deletedKeys/recover/action'],
  ['POST', '/keys/aes/encrypt', 'keys/encrypt/action'],
  ['POST', '/keys/aes/decrypt', 'keys/decrypt/action'],
  ['POST', '/keys/aes/wrapkey', 'keys/wrap/action'],
  ['POST', '/keys/aes/unwrapkey', 'keys/unwrap/action'],
  ['POST', '/keys/aes/sign', 'keys/sign/action'],
  ['POST', '/keys/aes/verify', 'keys/verify/action'],
];

describe('403 AccessDenied, naming the action and the scope', () => {
  test.each([
    ...allKeys.map(([method, path, action]) => [method, path, action, '/keys/aes'] as const),
    ['GET', '/keys', 'keys/read/action', '/keys'],
    ['GET', '/deletedkeys', 'keys/deletedKeys/read/action', '/keys'],
    ['POST', '/rng', 'rng/action', '/'],
    ['GET', `${AUTHORIZATION}/roleAssignments`, 'roleAssignments/read/action', '/'],
    ['GET', `${AUTHORIZATION}/roleDefinitions`, 'roleDefinitions/read/action', '/'],
    [
      'PUT',
      `/keys/aes${AUTHORIZATION}/roleAssignments/${NOBODY}`,
      'roleAssignments/write/action',
      '/keys/aes',
    ],
    [
      'DELETE',
      `/keys${AUTHORIZATION}/roleAssignments/${NOBODY}`,
      'roleAssignments/delete/action',
      '/keys',
    ],
  ] as const)('%s %s', async (method, path, action, scope) => {
    // The body is not valid either: it isn't looked at.
    const body = method === 'GET' ? undefined : '{';
    const text = `Not authorized to access ${ACTIONS}${action} on ${scope} (`;
    await expectRefusal([
      ...['', 'nobody', method, path, body, 403, 'AccessDenied', undefined, text],
    ] as unknown as Row);
  });

  test('for a key that is not there alike: nobody learns which keys exist', async () => {
    const texts = await Promise.all(
      ['aes', 'deleted', 'no-such-key'].map(async (name) => {
        const { status, text } = await nobody('GET', `/keys/${name}`);
        return `${status} ${text.replace(/[0-9a-f-]{36}/, '').replace(name, '')}`;
      }),
    );
    expect(new Set(texts).size).toBe(1);
  });
});

const kw = { alg: 'A256KW', value: value() };
const rows: readonly Row[] = [
  ...(['encrypt', 'decrypt', 'wrapkey', 'unwrapkey', 'sign', 'verify'] as const).map(
    (path): Row => [
      'a disabled key does nothing',
      'administrator',
      'POST',
      `/keys/disabled/${path}`,
      path === 'verify' ? { alg: 'HS256', digest: value(), value: value() } : kw,
      403,
      'Forbidden',
      'KeyDisabled',
      `Operation ${path.replace('wrapkey', 'wrapKey')} is not allowed on a disabled key`,
    ],
  ),
  ...(
    [
      ['encrypt', { alg: 'A256GCM', value: value() }],
      ['wrapkey', kw],
      ['sign', { alg: 'HS256', value: value() }],
    ] as const
  ).flatMap(([path, body]): Row[] => [
    [
      'an expired key protects nothing new',
      'administrator',
      'POST',
      `/keys/expired/${path}`,
      body,
      403,
      'Forbidden',
      'KeyExpired',
    ],
    [
      'a key does nothing new before its time',
      'administrator',
      'POST',
      `/keys/early/${path}`,
      body,
      403,
      'Forbidden',
      'KeyNotYetValid',
    ],
  ]),
  ...(
    [
      ['decrypt', { alg: 'RSA-OAEP', value: value(256) }],
      ['encrypt', { alg: 'RSA-OAEP', value: value() }],
      ['wrapkey', { alg: 'RSA-OAEP', value: value() }],
      ['unwrapkey', { alg: 'RSA-OAEP', value: value(256) }],
      ['verify', { alg: 'RS256', digest: value(), value: value(256) }],
    ] as const
  ).map(([path, body]): Row => [
    'an operation that is not in key_ops',
    'administrator',
    'POST',
    `/keys/signs/${path}`,
    body,
    403,
    'Forbidden',
    'KeyOperationForbidden',
    `Operation ${path.replace('wrapkey', 'wrapKey')} is not permitted on this key.`,
  ]),
  ...(
    [
      ['GET', '/keys/unknown'],
      ['GET', `/keys/aes/${ZERO}`],
      ['PATCH', '/keys/unknown', {}],
      ['PATCH', `/keys/aes/${ZERO}`, {}],
      ['DELETE', '/keys/unknown'],
      ['POST', '/keys/unknown/backup'],
      ['POST', '/keys/unknown/rotate'],
      ['GET', '/keys/unknown/rotationpolicy'],
      ['PUT', '/keys/unknown/rotationpolicy', { lifetimeActions: [] }],
      ['POST', '/keys/deleted/backup'],
      ['POST', '/keys/unknown/wrapkey', kw],
      ['POST', `/keys/aes/${ZERO}/unwrapkey`, kw],
      ['GET', '/deletedkeys/unknown'],
      ['GET', '/deletedkeys/aes'],
      ['DELETE', '/deletedkeys/unknown'],
      ['DELETE', '/deletedkeys/aes'],
      ['POST', '/deletedkeys/unknown/recover'],
      ['POST', '/deletedkeys/aes/recover'],
      ['GET', '/keys/deleted'],
      ['PATCH', '/keys/deleted', {}],
      ['DELETE', '/keys/deleted'],
      ['POST', '/keys/deleted/sign', { alg: 'ES256', value: value() }],
    ] as const
  ).map(([method, path, body]): Row => [
    'a key, a version or a deleted key that is not there',
    'administrator',
    method,
    path,
    body,
    404,
    'KeyNotFound',
    undefined,
    'Key not found',
  ]),
  ...(
    [
      ['POST', '/keys/deleted/create', { kty: 'EC' }],
      ['POST', '/keys/DELETED/create', { kty: 'oct' }],
      ['PUT', '/keys/deleted', { key: outside }],
    ] as const
  ).map(([method, path, body]): Row => [
    'the name of a key that can be recovered',
    'administrator',
    method,
    path,
    body,
    409,
    'Conflict',
    'ObjectIsDeletedButRecoverable',
    'is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the key can only be recovered or purged.',
  ]),
  ...(
    [
      ['GET', '/keys/a_b'],
      ['GET', '/keys/a%20b'],
      ['POST', `/keys/${'x'.repeat(128)}/create`, { kty: 'EC' }],
      ['PUT', '/keys/a.b', { key: outside }],
      ['GET', '/keys/aes/not-a-version'],
      ['POST', '/keys/aes/short/wrapkey', kw],
      ['DELETE', '/deletedkeys/a_b'],
    ] as const
  ).map(([method, path, body]): Row => [
    'what is no name or no version',
    'administrator',
    method,
    path,
    body,
    400,
    'Invalidkeyidentifier',
    undefined,
    'Invalid key identifier',
  ]),
  ...[0, -1, 129, 2 ** 31].map((count): Row => [
    'too few or too many random bytes',
    'administrator',
    'POST',
    '/rng',
    { count },
    400,
    'BadParameter',
    undefined,
    'GetRandomBytesRequest: count cannot be greater than 128 or less than 1',
  ]),
  ...(
    [
      ['GET', 'roleDefinitions/no-guid', undefined, 'Role definition name must be a GUID'],
      ['GET', 'roleAssignments/no-guid', undefined, 'must be a GUID'],
      [
        'PUT',
        'roleAssignments/no-guid',
        { properties: { roleDefinitionId: ROLE.user, principalId: NOBODY } },
        'must be a GUID',
      ],
    ] as const
  ).map(([method, path, body, text]): Row => [
    'a name of a role that is no GUID',
    'administrator',
    method,
    `${AUTHORIZATION}/${path}`,
    body,
    400,
    'BadParameter',
    undefined,
    text,
  ]),
  [
    'a role that is not there',
    'administrator',
    'GET',
    `${AUTHORIZATION}/roleDefinitions/${NOBODY}`,
    undefined,
    404,
    'RoleDefinitionNotFound',
    undefined,
    'Requested role definition not found',
  ],
  ...['GET', 'DELETE'].map((method): Row => [
    'an assignment that is not there',
    'administrator',
    method,
    `${AUTHORIZATION}/roleAssignments/${NOBODY}`,
    undefined,
    404,
    'RoleAssignmentNotFound',
    undefined,
    'Requested role assignment not found',
  ]),
  [
    'a setting that is not there',
    'administrator',
    'GET',
    '/settings/none',
    undefined,
    404,
    'SettingNotFound',
    undefined,
  ],
  [
    'a setting that is neither true nor false',
    'administrator',
    'PATCH',
    '/settings/AllowKeyManagementOperationsThroughARM',
    { value: 'maybe' },
    400,
    'BadParameter',
    undefined,
  ],
  ...(
    [
      ['GET', '/no/such/path'],
      ['GET', '/'],
      ['POST', '/keys/aes'],
      ['PUT', '/keys/aes/create'],
      ['POST', '/keys/aes/import'],
      ['DELETE', '/keys'],
      ['OPTIONS', '/keys'],
    ] as const
  ).map(([method, path]): Row => [
    'an operation that is not there',
    'administrator',
    method,
    path,
    undefined,
    404,
    'NotFound',
    undefined,
  ]),
  [
    'exportable without a policy of release',
    'administrator',
    'POST',
    '/keys/new/create',
    { kty: 'EC', attributes: { exportable: true } },
    400,
    'BadParameter',
    undefined,
    'Exportable keys must have release policy',
  ],
  [
    'a policy of release without a version',
    'administrator',
    'POST',
    '/keys/new/create',
    {
      kty: 'EC',
      attributes: { exportable: true },
      release_policy: { data: Buffer.from('{"anyOf":[]}').toString('base64url') },
    },
    400,
    'BadParameter',
    undefined,
    "Key Release Policy: missing 'version' property",
  ],
  [
    'a version of the API that nobody knows',
    'administrator',
    'GET',
    '/keys?api-version=2031-02-30',
    undefined,
    400,
    'BadParameter',
    undefined,
    'The specified version (2031-02-30) is not recognized. Consider using the latest supported version (2026-04-01, or the preview 2026-07-01-preview).',
  ],
  ...(
    [
      ['rsa/sign', { alg: 'ES256', value: value() }],
      ['ec/sign', { alg: 'ES256K', value: value() }],
      ['ec/verify', { alg: 'RS256', digest: value(), value: value(64) }],
      ['aes/wrapkey', { alg: 'A128KW', value: value() }],
      ['aes/encrypt', { alg: 'A192GCM', value: value() }],
      ['aes/sign', { alg: 'RS256', value: value() }],
      ['rsa/encrypt', { alg: 'A256GCM', value: value() }],
    ] as const
  ).map(([path, body]): Row => [
    'an algorithm that does not fit the key',
    'administrator',
    'POST',
    `/keys/${path}`,
    body,
    400,
    'BadParameter',
    undefined,
  ]),
  ...['AAAA', Buffer.from('{}').toString('base64url')].map((blob): Row => [
    'what is no backup of this pool',
    'administrator',
    'POST',
    '/keys/restore',
    { value: blob },
    400,
    'MalformedBackupBlob',
    undefined,
  ]),
  [
    'a body beyond the limit',
    'administrator',
    'POST',
    '/keys/aes/wrapkey',
    { alg: 'A256KW', value: 'A'.repeat(300_000) },
    413,
    'RequestEntityTooLarge',
    undefined,
  ],
  ...(
    [
      [{ key: { kty: 'oct', k: value(33) } }, 'size'],
      [{ key: { ...outside, x: value() } }, 'public half'],
      [{ key: { ...outside, crv: 'P-384' } }, 'curve'],
      [{ key: { kty: 'RSA' } }, 'members'],
      [{ key: { kty: 'EC', key_hsm: value(9) } }, 'blob'],
      [{}, 'no key'],
    ] as const
  ).map(([body, what]): Row => [
    `a key to import that is not right: ${what}`,
    'administrator',
    'PUT',
    '/keys/refused',
    body,
    400,
    'BadParameter',
    undefined,
  ]),
];

describe('refusals', () => {
  test.each(rows)('%s: %s, %s %s', async (...row) => {
    await expectRefusal(row);
  });

  test('leave a record each, with the code that the caller saw', async () => {
    const answer = await administrator('POST', '/keys/disabled/wrapkey', kw);
    const unknown = await administrator('GET', '/no/such/path');
    const { value: events } = (
      await administrator('GET', '/audit/events?outcome=failure&maxresults=1000')
    ).json<{ value: { requestId: string; status: number; errorCode: string }[] }>();
    for (const [{ headers }, status, errorCode] of [
      [answer, 403, 'KeyDisabled'],
      [unknown, 404, 'NotFound'],
    ] as const)
      expect(events).toContainEqual(
        expect.objectContaining({ requestId: headers['x-ms-request-id'], status, errorCode }),
      );
  });
});

describe('what two callers do to one deleted key at the same time', () => {
  test('happens once: the others are told that it is gone, or where it stands', async () => {
    for (const [method, path] of [
      ['POST', '/deletedkeys/contended/recover'],
      ['DELETE', '/keys/contended'],
      ['DELETE', '/deletedkeys/contended'],
    ] as const) {
      await administrator('POST', '/keys/contended/create', { kty: 'EC' });
      if (path.startsWith('/deletedkeys')) await administrator('DELETE', '/keys/contended');
      const answers = await Promise.all(
        Array.from({ length: 6 }, () => administrator(method, path)),
      );
      const won = answers.filter(({ status }) => status < 300);
      expect([path, won.length]).toEqual([path, 1]);
      for (const lost of answers.filter((answer) => !won.includes(answer)))
        expect([lost.status, lost.json<{ error: { code: string } }>().error.code]).toEqual([
          404,
          'KeyNotFound',
        ]);
      await administrator('DELETE', '/keys/contended');
      await administrator('DELETE', '/deletedkeys/contended');
    }
  });
});

describe('a pool with purge protection and a short retention', () => {
  let production: ProductionService;
  beforeAll(async () => {
    production = await startNewPool({
      STRONGROOM_PURGE_PROTECTION: 'true',
      STRONGROOM_SOFT_DELETE_DAYS: '7',
      STRONGROOM_WORKERS: '1',
    });
  }, 120_000);
  afterAll(() => production.stop());

  test('says so at each key, purges nothing before its time, and lets recover', async () => {
    const { admin: call } = production;
    const made = (await call('POST', '/keys/k/create', { kty: 'EC' })).json<{
      attributes: object;
    }>();
    expect(made.attributes).toMatchObject({
      recoverableDays: 7,
      recoveryLevel: 'CustomizedRecoverable',
    });
    const deleted = (await call('DELETE', '/keys/k')).json<{
      deletedDate: number;
      scheduledPurgeDate: number;
    }>();
    expect(deleted.scheduledPurgeDate - deleted.deletedDate).toBe(7 * 86_400);
    await expectRefusal(
      [
        '',
        'administrator',
        'DELETE',
        '/deletedkeys/k',
        undefined,
        403,
        'Forbidden',
        'PurgeProtected',
      ],
      { administrator: call, nobody: call },
    );
    expect((await call('POST', '/deletedkeys/k/recover')).json()).toEqual(made);
  });
});
