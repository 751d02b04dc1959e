import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { parseKeyName, parseKeyVersionId } from '../../src/core/keys/key.ts';
import { unpackBytes } from '../../src/core/keys/packed-bytes.ts';
import { openPlanter } from '../support/planter.ts';
import { type ProductionService, startNewPool } from '../support/production.ts';

/** What new root keys cost those who call meanwhile, in a pool of a hundred thousand keys. Printed; that nobody is refused is asserted. */

const KEYS = Number(process.env['STRONGROOM_SOAK_KEYS'] ?? 100_000);
const PLANTED_AT_ONCE = 1_000;
const MEASURED_MS = 15_000;
const CALLERS = 4;
const HOUR_MS = 3_600_000;

const run = promisify(execFile);
const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const VALUE = Buffer.alloc(32, 7).toString('base64url');

let pool: ProductionService;
const names = Array.from({ length: KEYS }, (_, index) => `planted-${index}`);

beforeAll(async () => {
  pool = await startNewPool({ STRONGROOM_WORKERS: '1', STRONGROOM_KEYS: 'sealed' });
  await pool.admin('POST', '/keys/original/create?api-version=7.4', { kty: 'oct-HSM' });
  const planter = await openPlanter(pool.database.serviceUrl);
  const { identity, spec, sealed } = (await planter.read('original')).material;
  for (let at = 0; at < KEYS; at += PLANTED_AT_ONCE)
    await planter.plant(
      names.slice(at, at + PLANTED_AT_ONCE).map((name) => ({
        identity: {
          ...identity,
          name: parseKeyName(name),
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
afterAll(() => pool.stop());

/** Wraps with keys all over the pool until it is told to end. @returns how long each took, and what was refused */
function load() {
  const times: number[] = [];
  const refused: string[] = [];
  let isOver = false;
  const caller = async () => {
    while (!isOver) {
      const name = names[Math.floor(Math.random() * names.length)] ?? '';
      const began = performance.now();
      const { status, text } = await pool.admin('POST', `/keys/${name}/wrapkey?api-version=7.4`, {
        alg: 'A256KW',
        value: VALUE,
      });
      times.push(performance.now() - began);
      if (status !== 200) refused.push(`${status} ${text}`);
    }
  };
  const callers = Array.from({ length: CALLERS }, caller);
  return async () => {
    isOver = true;
    await Promise.all(callers);
    return { times: times.sort((a, b) => a - b), refused };
  };
}

function describeTimes(when: string, times: readonly number[]): string {
  const at = (share: number) => (times[Math.floor(times.length * share)] ?? NaN).toFixed(1);
  return `${when}: ${times.length} calls, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`;
}

test(
  'new root keys for a hundred thousand keys refuse nobody',
  async () => {
    const measured = async () => {
      const end = load();
      await delay(MEASURED_MS);
      return end();
    };
    const before = await measured();
    const end = load();
    const began = performance.now();
    await run(process.execPath, [MAIN, 'root-keys', 'rotate'], { env: pool.settings });
    const seconds = (performance.now() - began) / 1_000;
    const during = await end();
    const after = await measured();
    console.log(
      [
        `${KEYS} keys were wrapped anew in ${seconds.toFixed(0)} s`,
        describeTimes('before', before.times),
        describeTimes('during', during.times),
        describeTimes('after', after.times),
      ].join('\n'),
    );
    expect([...before.refused, ...during.refused, ...after.refused]).toEqual([]);
  },
  HOUR_MS,
);
