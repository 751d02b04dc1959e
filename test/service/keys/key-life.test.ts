import { createHash, createPublicKey, verify as verifyWithNode } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { ownerUrl } from '../../support/cluster.ts';
import { isFullExtent } from '../../support/extent.ts';
import { outsideEc, outsideRsa, wrapForTransfer } from '../../support/plain-keys.ts';
import { startProduction } from '../../support/production.ts';
import { useService } from '../../support/use-service.ts';
import { isSealed } from '../../support/keeping.ts';

/** A key's way through the REST API, beyond making and using it: import, backup, rotation, settings. */

interface Bundle {
  readonly key: Readonly<Record<string, string>>;
  readonly attributes: Readonly<Record<string, unknown>>;
}
interface Problem {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly innererror?: { code: string };
  };
}

const { service, admin: call } = useService();

async function made(name: string, body: object): Promise<Bundle> {
  const answer = await call('POST', `/keys/${name}/create?api-version=7.4`, body);
  expect([answer.status, answer.text]).toEqual([200, expect.anything()]);
  return answer.json<Bundle>();
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await delay(250);
}

describe('import', () => {
  test('a JWK becomes a key that signs for its old public key, and shows no private member', async () => {
    const outside = outsideEc('P-384');
    const answer = await call('PUT', '/keys/imported-ec?api-version=7.4', {
      key: { ...outside.jwk, kty: 'EC', key_ops: ['sign'] },
      Hsm: false,
      tags: { from: 'outside' },
    });
    const { key, attributes } = answer.json<Bundle>();
    expect(answer.status).toBe(200);
    expect(Object.keys(key).sort()).toEqual(['crv', 'key_ops', 'kid', 'kty', 'x', 'y']);
    expect(key['kty']).toBe('EC-HSM');
    expect(attributes['exportable']).toBe(false);
    const signed = await call('POST', '/keys/imported-ec/sign', {
      alg: 'ES384',
      value: createHash('sha384').update('message').digest('base64url'),
    });
    const { value } = signed.json<{ value: string }>();
    expect(
      verifyWithNode(
        'sha384',
        Buffer.from('message'),
        { key: outside.publicKey, dsaEncoding: 'ieee-p1363' },
        Buffer.from(value, 'base64url'),
      ),
    ).toBe(true);
    const verified = await call('POST', '/keys/imported-ec/verify', {
      alg: 'ES384',
      digest: createHash('sha384').update('message').digest('base64url'),
      value,
    });
    // verify is not among its operations.
    expect(verified.status).toBe(403);
    expect(verified.json<Problem>().error.innererror?.code).toBe('KeyOperationForbidden');
  });

  test.each(['base64url', 'base64'] as const)(
    'a .byok file in %s becomes a key',
    async (encoding) => {
      const exchange = await made(`kek-${encoding}`, { kty: 'RSA-HSM', key_ops: ['import'] });
      const outside = outsideRsa(2048);
      const file = {
        schema_version: '1.0.0',
        header: { kid: exchange.key['kid'], alg: 'dir', enc: 'CKM_RSA_AES_KEY_WRAP' },
        ciphertext: wrapForTransfer(
          createPublicKey({
            format: 'jwk',
            key: { kty: 'RSA', n: exchange.key['n'] ?? '', e: exchange.key['e'] ?? '' },
          }),
          outside.privateKey.export({ type: 'pkcs8', format: 'der' }),
        ).toString('base64url'),
        generator: 'strongroom test',
      };
      const answer = await call('PUT', `/keys/byok-${encoding}?api-version=7.4`, {
        key: {
          kty: 'RSA-HSM',
          key_ops: ['sign', 'verify'],
          key_hsm: Buffer.from(JSON.stringify(file)).toString(encoding),
        },
        attributes: { enabled: true },
      });
      expect([answer.status, answer.json<Bundle>().key['n']]).toEqual([200, outside.jwk['n']]);
      const digest = Buffer.alloc(32, 1);
      const signed = await call('POST', `/keys/byok-${encoding}/sign`, {
        alg: 'RS256',
        value: digest.toString('base64url'),
      });
      expect(signed.status).toBe(200);
    },
  );

  test('an RSA key signs for its old public key', async () => {
    const outside = outsideRsa(2048);
    await call('PUT', '/keys/imported-rsa', { key: outside.jwk });
    const signed = await call('POST', '/keys/imported-rsa/sign', {
      alg: 'RS256',
      value: createHash('sha256').update('message').digest('base64url'),
    });
    const signature = Buffer.from(signed.json<{ value: string }>().value, 'base64url');
    expect(verifyWithNode('sha256', Buffer.from('message'), outside.publicKey, signature)).toBe(
      true,
    );
  });

  test.each([
    ['no key', {}, 400, 'BadParameter', undefined],
    [
      'a public key only',
      { key: { kty: 'RSA', n: outsideRsa(2048).jwk['n'], e: 'AQAB' } },
      400,
      'BadParameter',
      undefined,
    ],
    [
      'a transfer blob that is none',
      { key: { kty: 'RSA', key_hsm: 'AAAA' } },
      400,
      'BadParameter',
      undefined,
    ],
    [
      'an exchange key that is not there',
      { key: { kty: 'RSA', key_hsm: byokFor('nowhere') } },
      404,
      'KeyNotFound',
      undefined,
    ],
    [
      'an exchange key for other purposes',
      { key: { kty: 'RSA', key_hsm: 'use' } },
      403,
      'Forbidden',
      'KeyOperationForbidden',
    ],
    [
      'exportable without a policy',
      { key: outsideEc('P-256').jwk, attributes: { exportable: true } },
      400,
      'BadParameter',
      undefined,
    ],
  ] as const)('%s is refused', async (_what, body, status, code, inner) => {
    let sent: unknown = body;
    if ('key' in body && 'key_hsm' in body.key && body.key.key_hsm === 'use') {
      const { key } = await made('no-kek', { kty: 'RSA-HSM' });
      sent = { key: { kty: 'RSA', key_hsm: byokFor('no-kek', key['kid']?.split('/').at(-1)) } };
    }
    const answer = await call('PUT', '/keys/refused?api-version=7.4', sent);
    const { error } = answer.json<Problem>();
    expect([answer.status, error.code, error.innererror?.code]).toEqual([status, code, inner]);
    expect((await call('GET', '/keys/refused')).status).toBe(404);
  });
});

(isSealed ? describe : describe.skip)('backup and restore', () => {
  const gone = async (name: string) => {
    expect((await call('DELETE', `/keys/${name}`)).status).toBe(200);
    expect((await call('DELETE', `/deletedkeys/${name}`)).status).toBe(204);
  };
  const backupOf = async (name: string) =>
    (await call('POST', `/keys/${name}/backup?api-version=7.4`)).json<{ value: string }>().value;
  const restored = (value: string) => call('POST', '/keys/restore?api-version=7.4', { value });

  test('all versions come back with their identifiers, attributes and tags, and work', async () => {
    const first = await made('saved', {
      kty: 'RSA-HSM',
      tags: { a: '1' },
      attributes: { exp: 4_000_000_000 },
    });
    const second = await made('saved', {
      kty: 'EC-HSM',
      key_ops: ['sign'],
      attributes: { enabled: false },
    });
    const third = await made('saved', { kty: 'oct-HSM' });
    const imported = await call('PUT', '/keys/saved', {
      key: { kty: 'oct', k: Buffer.alloc(16, 9).toString('base64url') },
    });
    const wrapped = await call(
      'POST',
      `/keys/saved/${third.key['kid']?.split('/').at(-1) ?? ''}/wrapkey`,
      {
        alg: 'A256KW',
        value: Buffer.alloc(32, 5).toString('base64url'),
      },
    );
    const before = (await call('GET', '/keys/saved/versions')).json<{ value: unknown[] }>();
    const current = (await call('GET', '/keys/saved')).text;
    const blob = await backupOf('saved');
    const header = Buffer.from(blob, 'base64url').toString().split('.')[0] ?? '';
    expect(JSON.parse(Buffer.from(header, 'base64url').toString())).toEqual({
      alg: 'dir',
      enc: 'A256CBC-HS512',
      kid: 'backup-protection-key',
    });

    await gone('saved');
    const answer = await restored(blob);
    expect([answer.status, answer.text]).toEqual([200, current]);
    expect((await call('GET', '/keys/saved/versions')).json()).toEqual(before);
    for (const { key, attributes } of [first, second, third, imported.json<Bundle>()]) {
      const again = (await call('GET', new URL(key['kid'] ?? '').pathname)).json<Bundle>();
      expect([again.key, again.attributes]).toEqual([key, attributes]);
    }
    const { kid = '', value = '' } = wrapped.json<Record<string, string>>();
    const unwrapped = await call('POST', `${new URL(kid).pathname}/unwrapkey`, {
      alg: 'A256KW',
      value,
    });
    expect(unwrapped.json<{ value: string }>().value).toBe(
      Buffer.alloc(32, 5).toString('base64url'),
    );
  });

  test('onto a name that is there, or deleted, nothing is restored', async () => {
    await made('taken', { kty: 'EC-HSM' });
    const blob = await backupOf('taken');
    const existing = await restored(blob);
    expect([existing.status, existing.json<Problem>().error.code]).toEqual([409, 'Conflict']);
    await call('DELETE', '/keys/taken');
    const deleted = await restored(blob);
    expect([deleted.status, deleted.json<Problem>().error.innererror?.code]).toEqual([
      409,
      'ObjectIsDeletedButRecoverable',
    ]);
    expect((await call('POST', '/keys/taken/backup')).status).toBe(404);
  });

  test('a blob altered in any byte is refused', async () => {
    await made('altered', { kty: 'EC-HSM' });
    const blob = Buffer.from(await backupOf('altered'), 'base64url');
    await gone('altered');
    const places = [
      ...Array.from({ length: 200 }, (_, index) => index),
      ...Array.from({ length: 120 }, (_, index) => blob.length - 1 - index),
    ];
    for (let at = 200; at < blob.length - 120; at += 23) places.push(at);
    const tried = isFullExtent ? places : places.filter((_place, index) => index % 4 === 0);
    for (const at of tried) {
      // The lowest bit: for the last character of a part of the JWE it is a bit that stands for nothing.
      const copy = Buffer.from(blob);
      copy[at] = (copy[at] ?? 0) ^ 1;
      const answer = await restored(copy.toString('base64url'));
      expect([at, answer.status, answer.json<Problem>().error.code]).toEqual([
        at,
        400,
        'MalformedBackupBlob',
      ]);
    }
    expect((await restored(blob.toString('base64url'))).status).toBe(200);
  });

  test.each([
    ['nothing', undefined, 'BadParameter'],
    ['no text', 7, 'BadParameter'],
    ['no base64url', '§§', 'BadParameter'],
    ['other bytes', 'AAAA', 'MalformedBackupBlob'],
    [
      'a JWE with another algorithm',
      Buffer.from('eyJhbGciOiJub25lIn0....').toString('base64url'),
      'MalformedBackupBlob',
    ],
  ])('%s is refused', async (_what, value, code) => {
    const answer = await call('POST', '/keys/restore', { value });
    expect([answer.status, answer.json<Problem>().error.code]).toEqual([400, code]);
  });

  test('a pool with other root keys refuses the blob', async () => {
    await made('foreign', { kty: 'EC-HSM' });
    const blob = await backupOf('foreign');
    const other = await startProduction({ STRONGROOM_WORKERS: '1' });
    try {
      const answer = await other.admin('POST', '/keys/restore', { value: blob });
      const { error } = answer.json<Problem>();
      expect([answer.status, error.code]).toEqual([400, 'MalformedBackupBlob']);
      expect(error.message).toMatch(
        /^Backup blob belongs to a different crypto domain and cannot be used with this instance\./,
      );
    } finally {
      await other.stop();
    }
  }, 60_000);
});

describe('rotation', () => {
  const rotate = {
    trigger: { timeAfterCreate: 'P28D', timeBeforeExpiry: null },
    action: { type: 'rotate' },
  };
  const notify = { trigger: { timeBeforeExpiry: 'P30D' }, action: { type: 'Notify' } };

  test('on demand makes a version of the same kind, and the old one still decrypts', async () => {
    const before = await made('turning', {
      kty: 'RSA-HSM',
      key_size: 3072,
      key_ops: ['encrypt', 'decrypt'],
      tags: { a: 'b' },
    });
    const encrypted = await call('POST', '/keys/turning/encrypt', {
      alg: 'RSA-OAEP-256',
      value: 'AAEC',
    });
    const answer = await call('POST', '/keys/turning/rotate?api-version=7.4');
    const after = answer.json<Bundle & { tags: unknown }>();
    expect(answer.status).toBe(200);
    expect(after.key['kid']).not.toBe(before.key['kid']);
    expect(after.key['key_ops']).toEqual(before.key['key_ops']);
    expect(Buffer.from(after.key['n'] ?? '', 'base64url')).toHaveLength(384);
    expect(after.tags).toEqual({ a: 'b' });
    expect(after.attributes['exp']).toBeUndefined();
    expect((await call('GET', '/keys/turning')).json<Bundle>().key['kid']).toBe(after.key['kid']);
    const { kid = '', value = '' } = encrypted.json<Record<string, string>>();
    expect(kid).toBe(before.key['kid']);
    const decrypted = await call('POST', `${new URL(kid).pathname}/decrypt`, {
      alg: 'RSA-OAEP-256',
      value,
    });
    expect(decrypted.json<{ value: string }>().value).toBe('AAEC');
  });

  test('by policy: a policy is set, shown, applied to the next version, and taken away', async () => {
    await made('planned', { kty: 'EC-HSM' });
    const path = '/keys/planned/rotationpolicy?api-version=7.4';
    const id = `${service.localUrl}/keys/planned/rotationpolicy`;
    expect((await call('GET', path)).json()).toEqual({ attributes: {}, id, lifetimeActions: [] });
    const put = await call('PUT', path, {
      lifetimeActions: [rotate, notify],
      attributes: { expiryTime: 'P90D', created: 1 },
    });
    const expected = {
      attributes: { created: expect.any(Number), expiryTime: 'P90D', updated: expect.any(Number) },
      id,
      lifetimeActions: [
        { action: { type: 'Rotate' }, trigger: { timeAfterCreate: 'P28D' } },
        { action: { type: 'Notify' }, trigger: { timeBeforeExpiry: 'P30D' } },
      ],
    };
    expect([put.status, put.json()]).toEqual([200, expected]);
    expect((await call('GET', path)).json()).toEqual(expected);
    const { attributes } = (await call('POST', '/keys/planned/rotate')).json<Bundle>();
    expect(Number(attributes['exp']) - Number(attributes['created'])).toBe(90 * 86_400);
    const blank = await call('PUT', path, { lifetimeActions: [], attributes: {} });
    expect(blank.json()).toEqual({ attributes: {}, id, lifetimeActions: [] });
  });

  test.each([
    ['27 days', { lifetimeActions: [{ ...rotate, trigger: { timeAfterCreate: 'P27D' } }] }],
    ['three actions', { lifetimeActions: [rotate, notify, rotate] }],
    [
      'both triggers',
      {
        lifetimeActions: [
          { ...rotate, trigger: { timeAfterCreate: 'P90D', timeBeforeExpiry: 'P30D' } },
        ],
        attributes: { expiryTime: 'P1Y' },
      },
    ],
    ['no action', { lifetimeActions: [{ trigger: { timeAfterCreate: 'P90D' } }] }],
    ['a duration that is none', { attributes: { expiryTime: 'soon' } }],
  ])('a policy with %s is refused', async (_what, body) => {
    const answer = await call('PUT', '/keys/turning/rotationpolicy', body);
    expect([answer.status, answer.json<Problem>().error.code]).toEqual([400, 'BadParameter']);
  });

  test.each([
    ['POST', '/keys/nobody/rotate', undefined],
    ['GET', '/keys/nobody/rotationpolicy', undefined],
    ['PUT', '/keys/nobody/rotationpolicy', { attributes: { expiryTime: 'P90D' } }],
  ])('%s %s is answered with KeyNotFound', async (method, path, body) => {
    const answer = await call(method, path, body);
    expect([answer.status, answer.json<Problem>().error.code]).toEqual([404, 'KeyNotFound']);
  });
});

describe('settings', () => {
  const shown = (name: string, value: string) => ({ name, type: 'boolean', value });

  test('are Azure’s and our own, with their defaults', async () => {
    expect((await call('GET', '/settings?api-version=7.4')).json()).toEqual({
      settings: [
        shown('AllowKeyManagementOperationsThroughARM', 'false'),
        shown('AllowRsa15', 'true'),
      ],
    });
    expect((await call('GET', '/settings/AllowRsa15?api-version=7.4')).json()).toEqual(
      shown('AllowRsa15', 'true'),
    );
  });

  test.each([
    ['GET', '/settings/Nothing', undefined, 404, 'SettingNotFound'],
    ['PATCH', '/settings/Nothing', { value: 'true' }, 404, 'SettingNotFound'],
    ['PATCH', '/settings/AllowRsa15', { value: 'perhaps' }, 400, 'BadParameter'],
    ['PATCH', '/settings/AllowRsa15', { value: true }, 400, 'BadParameter'],
    ['PATCH', '/settings/AllowRsa15', {}, 400, 'BadParameter'],
    ['GET', '/settings/toString', undefined, 404, 'SettingNotFound'],
  ])('%s %s with %j is refused', async (method, path, body, status, code) => {
    const answer = await call(method, path, body);
    expect([answer.status, answer.json<Problem>().error.code]).toEqual([status, code]);
  });

  test('RSA1_5 is switched off in every process at once, for all four operations, and on again', async () => {
    await made('old', { kty: 'RSA-HSM' });
    const encrypted = (
      await call('POST', '/keys/old/encrypt', { alg: 'RSA1_5', value: 'AAEC' })
    ).json<{ value: string }>().value;
    const set = async (value: string) => {
      const answer = await call('PATCH', '/settings/AllowRsa15?api-version=7.4', { value });
      expect([answer.status, answer.json()]).toEqual([200, shown('AllowRsa15', value)]);
    };
    await set('false');
    // Whichever process answers: what is acknowledged holds in the others within a second.
    await delay(1_000);
    for (const [operation, value] of [
      ['encrypt', 'AAEC'],
      ['wrapkey', 'AAEC'],
      ['decrypt', encrypted],
      ['unwrapkey', encrypted],
    ] as const)
      for (let tries = 0; tries < 4; tries += 1) {
        const answer = await call('POST', `/keys/old/${operation}`, { alg: 'RSA1_5', value });
        expect([answer.status, answer.json<Problem>().error.innererror?.code]).toEqual([
          403,
          'AlgorithmDisabled',
        ]);
      }
    const other = await call('POST', '/keys/old/encrypt', { alg: 'RSA-OAEP', value: 'AAEC' });
    expect(other.status).toBe(200);
    await set('true');
    await delay(1_000);
    const again = await call('POST', '/keys/old/decrypt', { alg: 'RSA1_5', value: encrypted });
    expect(again.json<{ value: string }>().value).toBe('AAEC');
  });
});

(isSealed ? describe : describe.skip)('AES-GCM encryptions of a key version', () => {
  test('end at 2^32, also after the key was purged and restored; decryption goes on', async () => {
    const { key } = await made('counted', { kty: 'oct-HSM' });
    const version = key['kid']?.split('/').at(-1) ?? '';
    const encrypt = () => call('POST', '/keys/counted/encrypt', { alg: 'A256GCM', value: 'AAEC' });
    const first = await encrypt();
    const database = new pg.Client({ connectionString: await ownerUrl(service.dataFolder) });
    await database.connect();
    const { rows } = await database.query<{ reserved: string }>(
      'select reserved from gcm_use where version = $1',
      [version],
    );
    expect(Number(rows[0]?.reserved)).toBe(64);
    await database.query('update gcm_use set reserved = 4294967286 where version = $1', [version]);
    const statuses: number[] = [];
    // What the two processes have set aside already, and the last ten.
    for (let tries = 0; tries < 2 * 64 + 10; tries += 1) statuses.push((await encrypt()).status);
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThanOrEqual(10);
    const refused = await encrypt();
    expect([refused.status, refused.json<Problem>().error.innererror?.code]).toEqual([
      403,
      'EncryptionLimitReached',
    ]);
    const backup = (await call('POST', '/keys/counted/backup')).json<{ value: string }>().value;
    await call('DELETE', '/keys/counted');
    await call('DELETE', '/deletedkeys/counted');
    await database.query('update gcm_use set reserved = 0 where version = $1', [version]);
    await database.end();
    expect((await call('POST', '/keys/restore', { value: backup })).status).toBe(200);
    expect((await encrypt()).status).toBe(403);
    const { iv, tag, value } = first.json<Record<string, string>>();
    const decrypted = await call('POST', '/keys/counted/decrypt', {
      alg: 'A256GCM',
      iv,
      tag,
      value,
    });
    expect(decrypted.json<{ value: string }>().value).toBe('AAEC');
  });
});

describe('what is due by itself, in a service of two processes', () => {
  let database: pg.Client;
  beforeAll(async () => {
    database = new pg.Client({ connectionString: await ownerUrl(service.dataFolder) });
    await database.connect();
  });
  afterAll(() => database.end());

  /** Tries until it is so, or the test's time is up. */
  const versionsOf = async (name: string) =>
    (await call('GET', `/keys/${name}/versions`)).json<{ value: unknown[] }>().value.length;
  const eventsOf = async (operation: string) =>
    (await call('GET', `/audit/events?operation=${operation}`))
      .json<{ value: { keyName: string }[] }>()
      .value.map(({ keyName }) => keyName);

  test('a key is rotated, its keepers are told, and a deleted key is purged: once', async () => {
    for (const name of ['due', 'told', 'over'])
      await made(name, { kty: 'EC-HSM', attributes: { exp: 4_000_000_000 } });
    const put = (name: string, type: string) =>
      call('PUT', `/keys/${name}/rotationpolicy`, {
        lifetimeActions: [{ trigger: { timeBeforeExpiry: 'P28D' }, action: { type } }],
        attributes: { expiryTime: 'P90D' },
      });
    expect((await put('due', 'Rotate')).status).toBe(200);
    expect((await put('told', 'Notify')).status).toBe(200);
    expect((await call('DELETE', '/keys/over')).status).toBe(200);
    // The clock can't be turned, so the dates are.
    await database.query(
      `update rotation_policy set rotate_at = 1 where rotate_at is not null and name_key = 'due'`,
    );
    await database.query(
      `update rotation_policy set notify_at = 1 where notify_at is not null and name_key = 'told'`,
    );
    await database.query(`update key set deleted_at = 1, purge_at = 1 where name_key = 'over'`);
    await until(async () => (await versionsOf('due')) > 1);
    await until(async () => (await eventsOf('KeyNearExpiry')).length > 0);
    await until(async () => (await eventsOf('KeyPurgeScheduled')).length > 0);
    expect((await call('GET', '/deletedkeys/over')).status).toBe(404);
    expect(await eventsOf('KeyRotateScheduled')).toEqual(['due']);
    expect(await eventsOf('KeyNearExpiry')).toEqual(['told']);
    expect(await eventsOf('KeyPurgeScheduled')).toEqual(['over']);
    expect(await versionsOf('due')).toBe(2);
    expect(service.output()).toContain('Microsoft.KeyVault.KeyNearExpiry');
  }, 60_000);
});

function byokFor(name: string, version = '0'.repeat(32)): string {
  return Buffer.from(
    JSON.stringify({
      schema_version: '1.0.0',
      header: {
        kid: `https://main.strongroom.localhost/keys/${name}/${version}`,
        alg: 'dir',
        enc: 'CKM_RSA_AES_KEY_WRAP',
      },
      ciphertext: Buffer.alloc(300).toString('base64url'),
    }),
  ).toString('base64url');
}

test.each([1e15, -1e15])(
  'a date of %d in the database breaks no list and no rotation',
  async (date) => {
    const name = `dated-${date < 0 ? 'before' : 'after'}`;
    await made(name, { kty: 'oct', attributes: { exp: 4_000_000_000 } });
    const database = new pg.Client({ connectionString: await ownerUrl(service.dataFolder) });
    await database.connect();
    await database.query('update key_version set expires = $2 where name_key = $1', [name, date]);
    await database.end();
    const listed = await call('GET', '/audit/expiring-keys?before=9999-12-31T23:59:59Z');
    expect([listed.status, listed.text.includes(`"${name}"`)]).toEqual([200, date < 0]);
    const nearest = date < 0 ? -62_135_596_800 : 253_402_300_799;
    const read = await call('GET', `/keys/${name}`);
    expect(read.json<Bundle>().attributes['exp']).toBe(nearest);
    const policy = {
      lifetimeActions: [{ trigger: { timeBeforeExpiry: 'P30D' }, action: { type: 'Notify' } }],
    };
    expect((await call('PUT', `/keys/${name}/rotationpolicy`, policy)).status).toBe(200);
    expect((await call('POST', `/keys/${name}/rotate`)).status).toBe(200);
  },
);

(isSealed ? describe : describe.skip)(
  'a record whose public half somebody has altered in the database',
  () => {
    let database: pg.Client;
    beforeAll(async () => {
      database = new pg.Client({ connectionString: await ownerUrl(service.dataFolder) });
      await database.connect();
    });
    afterAll(async () => {
      await database.end();
    });

    /** Puts another number in the place of a public one, and gives back what puts it right again. */
    async function alter(
      name: string,
      column: 'public_1' | 'public_2',
    ): Promise<() => Promise<void>> {
      const where = 'where name_key = $1';
      const { rows } = await database.query<Record<string, Buffer>>(
        `select ${column} from key_version ${where}`,
        [name],
      );
      const right = rows[0]?.[column] ?? Buffer.alloc(0);
      const wrong = Buffer.from(right);
      wrong.writeUInt8(wrong.readUInt8(wrong.length - 1) ^ 2, wrong.length - 1);
      const put = async (value: Buffer) => {
        await database.query(`update key_version set ${column} = $2 ${where}`, [name, value]);
        // What the feed says of a change, so that no process goes by what it remembers.
        await database.query(
          `select pg_notify('strongroom_change', json_build_object('poolId', id, 'topic', 'key', 'id', $1::text)::text) from pool`,
          [name],
        );
      };
      await put(wrong);
      return () => put(right);
    }

    const refused = [500, 'KeyIntegrityViolation'];
    async function outcome(method: string, path: string, body?: unknown) {
      const answer = await call(method, path, body);
      return [answer.status, answer.json<Partial<Problem>>().error?.code];
    }

    test.each([
      ['RSA-HSM', 'public_1'],
      ['RSA-HSM', 'public_2'],
      ['EC-HSM', 'public_1'],
      ['EC-HSM', 'public_2'],
    ] as const)(
      'of %s (%s) is in no answer and no backup, and nothing is done',
      async (kty, column) => {
        const name = `altered-${kty}-${column}`.toLowerCase().replace('_', '-');
        const { key } = await made(name, { kty });
        const version = (key['kid'] ?? '').split('/').at(-1) ?? '';
        const before = await call('GET', `/keys/${name}`);
        const repair = await alter(name, column);
        const algorithm = kty === 'EC-HSM' ? 'ES256' : 'RS256';
        const digest = Buffer.alloc(32, 1).toString('base64url');
        await until(async () => (await call('GET', `/keys/${name}`)).status !== 200);
        for (const [method, path, body] of [
          ['GET', `/keys/${name}`],
          ['GET', `/keys/${name}/${version}`],
          ['GET', `/keys/${name}/attestation`],
          ['PATCH', `/keys/${name}`, { tags: { a: 'b' } }],
          ['PATCH', `/keys/${name}/${version}`, { attributes: { enabled: false } }],
          ['PATCH', `/keys/${name}`, { key_ops: ['sign'] }],
          ['POST', `/keys/${name}/backup`],
          ['POST', `/keys/${name}/rotate`],
          ['POST', `/keys/${name}/sign`, { alg: algorithm, value: digest }],
          ['POST', `/keys/${name}/verify`, { alg: algorithm, digest, value: digest }],
          ['DELETE', `/keys/${name}`],
        ] as const)
          expect([path, ...(await outcome(method, path, body))]).toEqual([path, ...refused]);
        // Lists show no half of a key.
        const versions = await call('GET', `/keys/${name}/versions`);
        expect([versions.status, versions.json<{ value: object[] }>().value]).toEqual([
          200,
          [expect.not.objectContaining({ key: expect.anything() as unknown })],
        ]);
        await repair();
        await until(async () => (await call('GET', `/keys/${name}`)).status === 200);
        expect((await call('GET', `/keys/${name}`)).json()).toEqual(before.json());

        expect((await call('DELETE', `/keys/${name}`)).status).toBe(200);
        const repairDeleted = await alter(name, column);
        expect(await outcome('GET', `/deletedkeys/${name}`)).toEqual(refused);
        expect(await outcome('POST', `/deletedkeys/${name}/recover`)).toEqual(refused);
        await repairDeleted();
        const recovered = await call('POST', `/deletedkeys/${name}/recover`);
        expect(recovered.json<Bundle>().key).toEqual(before.json<Bundle>().key);
      },
    );
  },
);

describe('a key’s name', () => {
  test('is spelled as its creator wrote it, however it is asked for', async () => {
    const value = Buffer.alloc(32, 7).toString('base64url');
    await made('CaseTwo', { kty: 'oct' });
    const answers = [
      await call('POST', '/keys/casetwo/create', { kty: 'oct' }),
      await call('PUT', '/keys/CASETWO', { key: { kty: 'oct', k: value } }),
      await call('POST', '/keys/caseTWO/rotate'),
      await call('GET', '/keys/casetwo'),
      await call('GET', '/keys/casetwo/versions?maxresults=1'),
      await call('PATCH', '/keys/casetwo', { tags: { a: 'b' } }),
      await call('POST', '/keys/casetwo/wrapkey', { alg: 'A256KW', value }),
      await call('GET', '/keys/casetwo/rotationpolicy'),
      await call('PUT', '/keys/casetwo/rotationpolicy', {
        lifetimeActions: [{ trigger: { timeAfterCreate: 'P90D' }, action: { type: 'Rotate' } }],
      }),
      await call('GET', '/keys/casetwo/attestation'),
    ];
    const backup = (await call('POST', '/keys/casetwo/backup')).json<object>();
    const conflict = await call('POST', '/keys/restore', backup);
    answers.push(await call('DELETE', '/keys/CASETWO'), await call('GET', '/deletedkeys/casetwo'));
    answers.push(await call('POST', '/keys/casetwo/create', { kty: 'oct' }));
    answers.push(await call('POST', '/deletedkeys/casetwo/recover'));
    await call('DELETE', '/keys/casetwo');
    await call('DELETE', '/deletedkeys/casetwo');
    if (isSealed) answers.push(conflict, await call('POST', '/keys/restore', backup));
    expect(answers.map(({ status }) => status)).toEqual([
      ...Array.from({ length: 12 }, () => 200),
      ...[409, 200],
      ...(isSealed ? [409, 200] : []),
    ]);
    for (const { text } of answers) {
      expect(text).toMatch(/CaseTwo/);
      expect(text).not.toMatch(/casetwo|CASETWO|caseTWO/);
    }
    const events = await call('GET', '/audit/events?keyName=casetwo&maxresults=100');
    const named = events
      .json<{ value: { keyName: string; outcome: string }[] }>()
      .value.filter(({ outcome }) => outcome === 'success')
      .map(({ keyName }) => keyName);
    expect(new Set(named)).toEqual(new Set(['CaseTwo']));
  });
});
