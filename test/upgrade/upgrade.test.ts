import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Caller, createCaller, fetchToken } from '../support/client.ts';
import { openReleasedPool, type ReleasedPool, useAsBefore } from '../support/released-pool.ts';
import { type RunningService, startService } from '../support/service.ts';

const run = promisify(execFile);
const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const RESOURCE = 'https://hsm.example';

let pool: ReleasedPool;
let service: RunningService;
let admin: Caller & { close(): void };

beforeAll(async () => {
  pool = await openReleasedPool();
  const environment = { ...pool.settings, DATABASE_URL: pool.database.ownerUrl };
  await run(process.execPath, [MAIN, 'migrate'], { env: environment });
  service = await startService(
    join(pool.settings['SOFTHSM2_CONF'] ?? '', '..', 'unused'),
    { ...pool.settings, STRONGROOM_WORKERS: '1' },
    { caFile: pool.caFile },
  );
  admin = createCaller(service, await fetchToken(service, pool.deeds.administrator, RESOURCE));
}, 60_000);
afterAll(async () => {
  admin.close();
  await service.stop();
  await pool.remove();
});

const post = (path: string, body: object) => admin('POST', `${path}?api-version=7.4`, body);

describe('a pool that the last released version has left', () => {
  test('has keys that do what they did, of every kind and in every version', async () => {
    const { keys } = pool.deeds;
    // Deleted keys serve once they are recovered.
    const there = keys.filter(({ name }) => name !== pool.deeds.deleted.name);
    expect(there.length).toBeGreaterThan(12);
    expect(await useAsBefore(post, { ...pool.deeds, keys: there })).toEqual([]);
  });

  test('has a deleted key that can be recovered for as long as it would have been, a backup that opens, and what was set', async () => {
    const { deleted, backup, keys } = pool.deeds;
    const recovered = await post(`/deletedkeys/${deleted.name}/recover`, {});
    // A service that starts after that date purges it.
    const isPurged = Date.now() / 1_000 > deleted.scheduledPurgeDate && recovered.status === 404;
    expect(isPurged ? 200 : recovered.status).toBe(200);
    const own = isPurged ? [] : keys.filter(({ name }) => name === deleted.name);
    expect(await useAsBefore(post, { ...pool.deeds, keys: own })).toEqual([]);
    expect((await admin('DELETE', '/keys/backed-up?api-version=7.4')).status).toBe(200);
    expect((await admin('DELETE', '/deletedkeys/backed-up?api-version=7.4')).status).toBe(204);
    expect((await post('/keys/restore', { value: backup })).status).toBe(200);
    const read = async (path: string) => (await admin('GET', `${path}?api-version=7.4`)).json();
    expect(await read('/keys/disabled')).toMatchObject({ attributes: { enabled: false } });
    expect(await read('/keys/oct-256')).toMatchObject({ tags: { team: 'one' } });
    expect(await read('/keys/exportable')).toMatchObject({ attributes: { exportable: true } });
    expect(await read('/keys/rsa-2048/rotationpolicy')).toMatchObject({
      attributes: { expiryTime: 'P20Y' },
    });
  });

  test('lets in who was let in, and to what', async () => {
    const reader = createCaller(service, await fetchToken(service, pool.deeds.reader, RESOURCE));
    const digest = Buffer.alloc(32, 1).toString('base64url');
    const sign = (name: string) =>
      reader('POST', `/keys/${name}/sign?api-version=7.4`, { alg: 'ES256', value: digest });
    expect([(await sign('ec-256')).status, (await sign('disabled')).status]).toEqual([200, 403]);
    reader.close();
  });

  test('has an audit log that verifies from its first record to those of now', async () => {
    const { stdout } = await run(process.execPath, [MAIN, 'audit', 'verify'], {
      env: pool.settings,
    });
    expect(stdout).toMatch(/is what was written/);
  });
});
