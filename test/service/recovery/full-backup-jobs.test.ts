import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { BLOB_SIGNATURE, sasToken, startBlobServer } from '../../support/blob-server.ts';
import type { Answer, Caller } from '../../support/client.ts';
import { makePrincipal } from '../../support/administrator.ts';
import { assignRole } from '../../support/directory.ts';
import { freePort } from '../../support/free-port.ts';
import type { ObjectServer } from '../../support/object-server.ts';
import { ROLE } from '../../support/roles.ts';
import { until } from '../../support/until.ts';
import { useProduction } from '../../support/use-service.ts';

const run = promisify(execFile);
const VALUE = Buffer.alloc(32, 7).toString('base64url');
const VERSION = '?api-version=7.6';

let blobs: ObjectServer;
const { production, service, admin, atEnd } = useProduction(async () => {
  blobs = await startBlobServer();
  return {
    STRONGROOM_BACKUP_HOSTS: blobs.origin,
    STRONGROOM_BACKUP_AUDIT_RECORDS: 'true',
    STRONGROOM_WORKERS: '1',
    // The same one after its only process was killed.
    STRONGROOM_LISTEN: `127.0.0.1:${String(await freePort())}`,
    STRONGROOM_KEYS: 'sealed',
    STRONGROOM_LOG_LEVEL: 'debug',
  };
});
afterAll(() => blobs.close());
beforeEach(() => {
  blobs.fail(undefined);
});

const storage = () => ({ storageResourceUri: `${blobs.origin}/backups`, token: sasToken() });
const restoreOf = (folder: string) => ({
  sasTokenParameters: storage(),
  folderToRestore: folder,
});

interface Job {
  readonly jobId: string;
  readonly status: string;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly startTime: number;
  readonly endTime: number | null;
  readonly azureStorageBlobContainerUri?: string;
}

/** As a poller does: it asks where it was told, and as that stands. */
async function pollerOf(begun: Answer, call: Caller): Promise<() => Promise<Answer>> {
  expect([begun.status, begun.text]).toEqual([202, expect.stringContaining('"InProgress"')]);
  const url = String(begun.headers['azure-asyncoperation']);
  expect(url).toMatch(/^https:\/\/[^/]+\/(?:backup|restore)\/[0-9a-f]{32}\/pending$/);
  expect(Number(begun.headers['retry-after'])).toBeGreaterThan(0);
  return await Promise.resolve(() => call('GET', new URL(url).pathname));
}

async function endOf(begun: Answer, call: Caller = admin): Promise<Job> {
  const poll = await pollerOf(begun, call);
  await until(async () => (await poll()).json<Job>().status !== 'InProgress');
  return (await poll()).json<Job>();
}

let caller: Awaited<ReturnType<typeof makePrincipal>>;
let restorer: Awaited<ReturnType<typeof makePrincipal>>;
/** A backup in which the key `wrapping` is, and what that key has wrapped. */
let folder: string;
let wrapped: string;
beforeAll(async () => {
  caller = await makePrincipal(admin, service, 'https://hsm.example');
  restorer = await makePrincipal(admin, service, 'https://hsm.example');
  atEnd(caller.call);
  atEnd(restorer.call);
  await assignRole(admin, ROLE.backup, caller.id, '/');
  await assignRole(admin, ROLE.restore, restorer.id, '/');
  for (const name of ['wrapping', 'lost'])
    expect(
      (await admin('POST', `/keys/${name}/create${VERSION}`, { kty: 'oct-HSM', key_size: 256 }))
        .status,
    ).toBe(200);
  const answer = await admin('POST', `/keys/wrapping/wrapkey${VERSION}`, {
    alg: 'A256KW',
    value: VALUE,
  });
  wrapped = answer.json<{ value: string }>().value;
  const job = await endOf(await caller.call('POST', `/backup${VERSION}`, storage()), caller.call);
  expect(job).toMatchObject({ status: 'Succeeded', error: null });
  folder = job.azureStorageBlobContainerUri?.split('/').at(-1) ?? '';
}, 120_000);

const unwraps = async () => {
  const { status, text } = await admin('POST', `/keys/wrapping/unwrapkey${VERSION}`, {
    alg: 'A256KW',
    value: wrapped,
  });
  return status === 200 && text.includes(VALUE);
};

describe('a full backup over REST', () => {
  test('is made where it was asked for, in a folder of the name that Managed HSM gives', () => {
    expect(folder).toMatch(/^mhsm-main-\d{14}-[0-9a-f]{8}$/);
    const names = [...blobs.objects.keys()];
    expect(names).toContain(`backups/${folder}/manifest.json`);
    expect(names.every((name) => name.startsWith(`backups/${folder}/`))).toBe(true);
  });

  test('has the records of the audit log where the settings say so', () => {
    const manifest = blobs.objects.get(`backups/${folder}/manifest.json`)?.toString() ?? '';
    const { auditRecords, rows } = JSON.parse(manifest) as {
      auditRecords: boolean;
      rows: Record<string, number>;
    };
    expect(auditRecords).toBe(true);
    expect(rows['audit_event']).toBeGreaterThan(5);
  });

  test('has the members that pollers read', async () => {
    const job = await endOf(await admin('POST', `/prebackup${VERSION}`, storage()));
    expect(job).toEqual({
      jobId: expect.stringMatching(/^[0-9a-f]{32}$/),
      status: 'Succeeded',
      statusDetails: expect.any(String),
      error: null,
      startTime: expect.any(Number),
      endTime: expect.any(Number),
      azureStorageBlobContainerUri: `${blobs.origin}/backups`,
    });
  });

  test.each([
    ['/prebackup', 'POST', {}],
    ['/prebackup', 'POST', { storageResourceUri: null, token: null }],
    ['/prerestore', 'PUT', {}],
    ['/prerestore', 'PUT', { sasTokenParameters: null, folderToRestore: null }],
  ])('%s: %s %j says that nothing is in the way here', async (path, method, body) => {
    expect(await endOf(await admin(method, path + VERSION, body))).toMatchObject({
      status: 'Succeeded',
    });
  });

  test('is checked as a whole before a restore', async () => {
    const check = (of: string) => admin('PUT', `/prerestore${VERSION}`, restoreOf(of));
    expect(await endOf(await check(folder))).toMatchObject({ status: 'Succeeded' });
    expect(await endOf(await check(`/${folder}/`))).toMatchObject({ status: 'Succeeded' });
    expect(await endOf(await check('mhsm-main-20200101000000'))).toMatchObject({
      status: 'Failed',
      error: { code: 'BackupNotFound', message: expect.not.stringContaining('sig=') },
    });
  });

  test('gives one key back that was purged, and no other', async () => {
    const restore = () =>
      restorer.call('PUT', `/keys/lost/restore${VERSION}`, {
        sasTokenParameters: storage(),
        folder,
      });
    expect(await endOf(await restore(), restorer.call)).toMatchObject({
      status: 'Failed',
      error: { code: 'KeyExists' },
    });
    await admin('DELETE', `/keys/lost${VERSION}`);
    expect((await admin('DELETE', `/deletedkeys/lost${VERSION}`)).status).toBe(204);
    expect(await endOf(await restore(), restorer.call)).toMatchObject({ status: 'Succeeded' });
    expect((await admin('GET', `/keys/lost${VERSION}`)).status).toBe(200);
  });

  test('who may restore one key sees what became of that, and of nothing else', async () => {
    const { call, id } = await makePrincipal(admin, service, 'https://hsm.example');
    atEnd(call);
    await assignRole(admin, ROLE.restore, id, '/keys/lost');
    const body = { sasTokenParameters: storage(), folder };
    const begun = await call('PUT', `/keys/lost/restore${VERSION}`, body);
    expect(await endOf(begun, call)).toMatchObject({ status: 'Failed' });
    const check = await admin('PUT', `/prerestore${VERSION}`, restoreOf(folder));
    const poll = await pollerOf(check, call);
    expect((await poll()).status).toBe(403);
    await endOf(check);
  });

  test('is nothing for those who lack its role', async () => {
    const refused = async (call: Caller, method: string, path: string, body?: unknown) => {
      expect([path, (await call(method, path + VERSION, body)).status]).toEqual([path, 403]);
    };
    await refused(caller.call, 'PUT', '/restore', restoreOf(folder));
    await refused(caller.call, 'PUT', '/prerestore', {});
    await refused(caller.call, 'GET', `/restore/${'0'.repeat(32)}/pending`);
    await refused(caller.call, 'PUT', '/keys/lost/restore', {});
    await refused(restorer.call, 'POST', '/backup', storage());
    await refused(restorer.call, 'POST', '/prebackup', {});
    await refused(restorer.call, 'GET', `/backup/${'0'.repeat(32)}/pending`);
  });

  test.each<[string, () => object, number, string, RegExp]>([
    [
      'a host that is not allowed',
      () => ({ ...storage(), storageResourceUri: 'https://169.254.169.254/latest' }),
      400,
      'BadRequest',
      /STRONGROOM_BACKUP_HOSTS/,
    ],
    [
      'a folder of the machine',
      () => ({ ...storage(), storageResourceUri: '/tmp' }),
      400,
      'BadRequest',
      /URL of a container/,
    ],
    [
      'a token without an end',
      () => ({ ...storage(), token: `sig=${BLOB_SIGNATURE}` }),
      400,
      'BadRequest',
      /SAS token does not contain the expiry field/,
    ],
    [
      'a token whose end has come',
      () => ({ ...storage(), token: sasToken(new Date(0)) }),
      400,
      'BadRequest',
      /has expired/,
    ],
    [
      'a managed identity',
      () => ({ storageResourceUri: storage().storageResourceUri, useManagedIdentity: true }),
      400,
      'BadParameter',
      /managed identity/,
    ],
    ['no storage', () => ({}), 400, 'BadParameter', /storageResourceUri/],
  ])('to %s is refused at once', async (_what, body, status, code, message) => {
    const answer = await admin('POST', `/backup${VERSION}`, body());
    expect([answer.status, answer.json<{ error: object }>().error]).toEqual([
      status,
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    ]);
    expect(answer.text).not.toContain(BLOB_SIGNATURE);
  });

  test('of a storage that refuses has failed, in words without the token', async () => {
    const token = `${sasToken()}0`;
    const job = await endOf(await admin('POST', `/backup${VERSION}`, { ...storage(), token }));
    expect(job).toMatchObject({
      status: 'Failed',
      error: { code: 'StorageRefused', message: expect.stringContaining('AuthenticationFailed') },
    });
    expect(JSON.stringify(job)).not.toContain(BLOB_SIGNATURE);
  });

  test('is the only one at a time', async () => {
    blobs.fail(() => 'hang');
    const first = await admin('POST', `/prebackup${VERSION}`, storage());
    for (const asked of [
      admin('POST', `/backup${VERSION}`, storage()),
      admin('PUT', `/restore${VERSION}`, restoreOf(folder)),
    ])
      expect(await asked).toMatchObject({ status: 409, text: expect.stringContaining('Conflict') });
    expect((await admin('GET', `/keys/wrapping${VERSION}`)).status).toBe(200);
    blobs.fail(() => 'reset');
    blobs.dropConnections();
    expect(await endOf(first)).toMatchObject({
      status: 'Failed',
      error: { code: 'StorageUnavailable' },
    });
  });

  test.each(['0'.repeat(32), 'abc', '%2e%2e'])('has no status of the name %s', async (id) => {
    for (const path of [`/backup/${id}/pending`, `/restore/${id}/pending`])
      expect((await admin('GET', path)).status).toBe(404);
  });
});

describe('a full restore over REST', () => {
  test('whose process is killed leaves the pool as it was, which serves again in seconds', async () => {
    await admin('POST', `/keys/later/create${VERSION}`, { kty: 'EC-HSM' });
    let isAsked = false;
    blobs.fail(({ method }) => {
      isAsked ||= method === 'GET';
      return method === 'GET' ? 'hang' : undefined;
    });
    const poll = await pollerOf(await admin('PUT', `/restore${VERSION}`, restoreOf(folder)), admin);
    await until(() => Promise.resolve(isAsked));
    // Whoever names a slow storage closes nothing.
    expect((await admin('GET', `/keys${VERSION}`)).status).toBe(200);
    expect(
      (await admin('POST', `/keys/meanwhile/create${VERSION}`, { kty: 'EC-HSM' })).status,
    ).toBe(200);
    expect((await poll()).json<Job>().status).toBe('InProgress');

    const killedAt = performance.now();
    process.kill(await workerOf(), 'SIGKILL');
    await until(async () => (await poll()).json<Job>().status === 'Failed', 30_000);
    expect((await poll()).json<Job>().error).toMatchObject({ code: 'Interrupted' });
    await until(unwraps, 30_000);
    expect(performance.now() - killedAt).toBeLessThan(25_000);
    expect((await admin('GET', `/keys/later${VERSION}`)).status).toBe(200);
  }, 90_000);

  test('makes the pool what it was', async () => {
    // Let in before the restore, and made in the HSM, one after the other, while it takes place.
    const slow = ['slow-1', 'slow-2', 'slow-3'];
    const made = slow.map((name) =>
      admin('POST', `/keys/${name}/create${VERSION}`, { kty: 'RSA-HSM', key_size: 4096 }),
    );
    const begun = await restorer.call('PUT', `/restore${VERSION}`, restoreOf(folder));
    expect(await endOf(begun, restorer.call)).toMatchObject({
      status: 'Succeeded',
      error: null,
    });
    const refused = (await Promise.all(made)).filter(({ status }) => status !== 200);
    expect(refused.length).toBeGreaterThan(0);
    for (const { status, text, headers } of refused)
      expect([status, text, headers['retry-after']]).toEqual([
        503,
        expect.stringContaining('"PoolRestoring"'),
        '10',
      ]);
    await until(unwraps, 30_000);
    for (const name of ['later', 'meanwhile', ...slow])
      expect((await admin('GET', `/keys/${name}${VERSION}`)).status).toBe(404);
    expect(service.output()).not.toMatch(/"level":50[^\n]*PoolRestoring/);
  }, 90_000);
});

test('no token is in the log, in the audit log, or in any other row', async () => {
  const owner = new pg.Client({ connectionString: production.database.ownerUrl });
  await owner.connect();
  const { rows } = await owner.query<{ text: string }>(
    `select (select coalesce(string_agg(j::text, ''), '') from recovery_job j)
       || (select coalesce(string_agg(a::text, ''), '') from audit_event a) as text`,
  );
  await owner.end();
  const text = rows[0]?.text ?? '';
  expect(text).toContain('FullBackupStart');
  for (const place of [text, service.output()]) expect(place).not.toContain(BLOB_SIGNATURE);
});

async function workerOf(): Promise<number> {
  const { stdout } = await run('ps', ['-o', 'pid=,args=', '--ppid', String(service.process.pid)]);
  return Number.parseInt(stdout.split('\n').find((line) => line.includes('worker.js')) ?? '', 10);
}
