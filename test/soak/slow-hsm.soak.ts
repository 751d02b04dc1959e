import { afterEach, expect, test } from '@jest/globals';
import { freePort } from '../support/free-port.ts';
import { type ProductionService, startProduction } from '../support/production.ts';
import { buildModuleShim, type ModuleShim } from '../support/module-shim.ts';

/** Throughput behind a slow HSM, beside what its sessions allow: `npm run test:soak`. */

const FIXED_MS = 5;
const RANDOM_MS = 5;
const CALLS_AT_ONCE = 16;
const SECONDS = 10;
const VALUE = Buffer.alloc(32, 7).toString('base64url');
/** C_ calls of an operation whose key is loaded. */
const OPERATIONS = [
  ['A256KW', 'wrapkey', { kty: 'oct-HSM' }, 3],
  ['A256GCM', 'encrypt', { kty: 'oct-HSM' }, 3],
  ['ES256', 'sign', { kty: 'EC-HSM', crv: 'P-256' }, 2],
] as const;

let slow: ModuleShim | undefined;
let production: ProductionService | undefined;
afterEach(async () => {
  await slow?.setLatency(0);
  await production?.stop();
  await slow?.remove();
});

test.each([1, 4, 8, 16])(
  '%i sessions',
  async (sessions) => {
    const port = await freePort();
    slow = await buildModuleShim({ parallel: CALLS_AT_ONCE });
    await slow.setLatency(FIXED_MS, RANDOM_MS);
    production = await startProduction({
      ...slow.environment,
      STRONGROOM_WORKERS: '1',
      STRONGROOM_SESSIONS: String(sessions),
      STRONGROOM_METRICS_LISTEN: `127.0.0.1:${String(port)}`,
    });
    const { admin } = production;
    const metric = async (name: string) => {
      const text = await (await fetch(`http://127.0.0.1:${String(port)}/metrics`)).text();
      return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
    };
    for (const [alg, operation, key, calls] of OPERATIONS) {
      const name = `${alg.toLowerCase()}-${String(sessions)}`;
      await admin('POST', `/keys/${name}/create`, key);
      const ask = () => admin('POST', `/keys/${name}/${operation}`, { alg, value: VALUE });
      expect((await ask()).status).toBe(200);
      await metric('nodejs_eventloop_lag_p99_seconds');
      let answered = 0;
      const end = performance.now() + SECONDS * 1000;
      await Promise.all(
        Array.from({ length: 2 * sessions }, async () => {
          for (; performance.now() < end; answered += 1) expect((await ask()).status).toBe(200);
        }),
      );
      const rate = answered / SECONDS;
      const possible = sessions / ((calls * (FIXED_MS + RANDOM_MS / 2)) / 1000);
      const p99 = await metric('nodejs_eventloop_lag_p99_seconds');
      console.info(
        `${alg}, ${String(sessions)} sessions: ${rate.toFixed(0)}/s of ${possible.toFixed(0)}/s that they allow (${((100 * rate) / possible).toFixed(0)} %); event loop's delay at p99 ${(p99 * 1000).toFixed(1)} ms`,
      );
    }
  },
  300_000,
);
