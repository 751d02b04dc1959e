import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { parseKeyName, parseKeyVersionId } from '../../src/core/keys/key.ts';
import { unpackBytes } from '../../src/core/keys/packed-bytes.ts';
import { openPlanter } from '../support/planter.ts';
import { type ProductionService, startNewPool } from '../support/production.ts';

/** What a full backup of a hundred thousand keys takes, its reading and its restore. Printed; that they come to their ends is asserted. */

const KEYS = Number(process.env['STRONGROOM_SOAK_KEYS'] ?? 100_000);
const PLANTED_AT_ONCE = 1_000;
const HOUR_MS = 3_600_000;
const LOOK_EVERY_MS = 100;

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

let pool: ProductionService;
let place: string;

beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), 'strongroom-soak-'));
  pool = await startNewPool({ STRONGROOM_WORKERS: '1', STRONGROOM_KEYS: 'sealed' });
  await pool.admin('POST', '/keys/original/create?api-version=7.4', { kty: 'oct-HSM' });
  const planter = await openPlanter(pool.database.serviceUrl);
  const { identity, spec, sealed } = (await planter.read('original')).material;
  for (let at = 0; at < KEYS; at += PLANTED_AT_ONCE)
    await planter.plant(
      Array.from({ length: PLANTED_AT_ONCE }, (_, index) => ({
        identity: {
          ...identity,
          name: parseKeyName(`planted-${at + index}`),
          version: parseKeyVersionId(randomBytes(16).toString('hex')),
        },
        spec,
        blob: unpackBytes(sealed.blob),
        ...(sealed.macBlob !== undefined && { macBlob: unpackBytes(sealed.macBlob) }),
      })),
    );
  await planter.analyze();
  await planter.close();
}, HOUR_MS);
afterAll(async () => {
  await pool.stop();
  await rm(place, { recursive: true });
});

/** Runs a command to its end, and says what it took. */
async function measured(what: string, ...words: readonly string[]): Promise<string> {
  const began = performance.now();
  const command = spawn(process.execPath, [MAIN, 'backup', ...words], {
    env: pool.settings,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  command.stdout.on('data', (text) => (said += String(text)));
  let peak = '';
  const looking = setInterval(() => {
    readFile(`/proc/${command.pid ?? 0}/status`, 'utf8').then(
      (status) => (peak = /VmHWM:\s*(\d+)/.exec(status)?.[1] ?? peak),
      () => undefined,
    );
  }, LOOK_EVERY_MS);
  const [status] = (await once(command, 'exit')) as [number];
  clearInterval(looking);
  expect(status).toBe(0);
  const seconds = (performance.now() - began) / 1_000;
  console.log(
    `${what} ${KEYS} keys: ${seconds.toFixed(1)} s, at most ${(Number(peak) / 1024).toFixed(0)} MiB`,
  );
  return said;
}

test(
  'a hundred thousand keys are backed up, read and restored',
  async () => {
    const made = JSON.parse(await measured('backup of', 'create', '--to', place, '--json')) as {
      bytes: number;
      keys: number;
    };
    expect(made.keys).toBe(KEYS + 1);
    console.log(`${(made.bytes / made.keys).toFixed(0)} bytes a key`);
    const [folder = ''] = await readdir(place);
    await measured('reading of', 'verify', folder, '--from', place);
    await measured(
      'restore, where all is as it was, of',
      'restore',
      folder,
      '--from',
      place,
      '--replace-pool',
    );
    const { default: pg } = await import('pg');
    const client = new pg.Client({ connectionString: pool.database.ownerUrl });
    await client.connect();
    await client.query(`delete from key where name_key like 'planted-%'`);
    await client.end();
    await measured('restore of all', 'restore', folder, '--from', place, '--replace-pool');
    const { status } = await pool.admin('POST', '/keys/planted-0/wrapkey?api-version=7.4', {
      alg: 'A256KW',
      value: Buffer.alloc(32).toString('base64url'),
    });
    expect(status).toBe(200);
  },
  HOUR_MS,
);
