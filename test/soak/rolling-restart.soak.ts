import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Balancer, openBalancer } from '../support/balancer.ts';
import { createCaller, fetchToken } from '../support/client.ts';
import { freePort } from '../support/free-port.ts';
import { type PreparedProduction, prepareProduction } from '../support/production.ts';
import { ROLE } from '../support/roles.ts';
import { type RunningService, startService } from '../support/service.ts';
import { startLoad } from '../support/steady-load.ts';
import { until } from '../support/until.ts';

/**
 * Three replicas that share an HSM, restarted one after the other as a rolling upgrade does: out of the balancer's turn, a
 * moment for those who are still on their way, SIGTERM, a new start. Half of the clients have the replicas' addresses and try
 * again as Azure's libraries do; the other half come through the balancer, and never try again.
 */
const run = promisify(execFile);
const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const CLIENTS = 4;
const ROUNDS = 2;
const DRAIN_MS = 2_000;

let production: PreparedProduction;
let ports: readonly number[];
let replicas: RunningService[];
let balancer: Balancer;
let token: string;

const start = (port: number) =>
  startService(
    production.place,
    {
      ...production.settings,
      STRONGROOM_REPLICA: `replica-${port}`,
      STRONGROOM_LISTEN: `127.0.0.1:${port}`,
      STRONGROOM_WORKERS: '1',
    },
    { caFile: production.caFile, isMeasured: true },
  );
const isReady = async (service: RunningService) => {
  const call = createCaller(service);
  try {
    return (await call('GET', '/readyz')).status === 200;
  } finally {
    call.close();
  }
};

beforeAll(async () => {
  production = await prepareProduction();
  ports = [await freePort(), await freePort(), await freePort()];
  replicas = [];
  for (const port of ports) replicas.push(await start(port));
  const [first] = replicas;
  if (first === undefined) throw new TypeError('there is one');
  token = await fetchToken(first, production.credentials, 'https://hsm.example');
  const admin = createCaller(first, token);
  for (const role of [ROLE.officer, ROLE.user])
    await admin('PUT', `/providers/Microsoft.Authorization/roleAssignments/${role}`, {
      properties: { roleDefinitionId: role, principalId: production.credentials.principalId },
    });
  await admin('POST', '/keys/wrapping/create', { kty: 'oct-HSM' });
  await admin('POST', '/keys/signing/create', { kty: 'EC-HSM', crv: 'P-256' });
  admin.close();
  balancer = await openBalancer(ports, first);
  for (const one of replicas) await until(() => isReady(one));
  // A revocation is known everywhere within a second, and so is a role.
  await delay(1_000);
}, 180_000);
afterAll(async () => {
  await balancer.close();
  for (const one of replicas) await one.stop();
  await production.remove();
});

/** What `each` does to every replica, under load. @returns requests that were lost, and what was said of them */
async function roll(
  what: string,
  each: (index: number) => Promise<void>,
): Promise<readonly string[]> {
  const allLost: string[] = [];
  const { ca } = replicas[0] ?? { ca: '' };
  const direct = Array.from({ length: CLIENTS }, () =>
    ports.map((port) => createCaller({ port, ca }, token)),
  );
  const through = Array.from({ length: CLIENTS }, () =>
    createCaller({ port: balancer.port, ca }, token),
  );
  const keys = { wrap: 'wrapping', sign: 'signing' };
  const loads = [
    [
      'that try again',
      startLoad(
        direct.map((callers) => ({ callers, retries: true })),
        keys,
      ),
    ],
    [
      'that come through a balancer',
      startLoad(
        through.map((one) => ({ callers: [one], retries: false })),
        keys,
      ),
    ],
  ] as const;
  for (let index = 0; index < replicas.length; index += 1) await each(index);
  await delay(1_000);
  for (const [who, load] of loads) {
    const { requests, retries, lost, slowestMs } = await load.stop();
    console.log(
      `${what}, clients ${who}: ${requests} requests, ${retries} sent again, ${lost.length} lost, the slowest took ${slowestMs} ms`,
    );
    if (requests < 500) allLost.push(`only ${requests} requests`);
    allLost.push(...lost);
  }
  for (const call of [...direct.flat(), ...through]) call.close();
  return allLost;
}

describe('three replicas', () => {
  test('are restarted one after the other, and no request is lost', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const lost = await roll('restart', async (index) => {
        const port = ports[index] ?? 0;
        balancer.drain(port);
        await delay(DRAIN_MS);
        expect(await replicas[index]?.stop()).toBe(0);
        const anew = await start(port);
        replicas[index] = anew;
        await until(() => isReady(anew));
      });
      expect(lost).toEqual([]);
    }
  }, 600_000);

  test('get fresh worker processes by SIGHUP, one after the other, and no request is lost', async () => {
    const lost = await roll('SIGHUP', async (index) => {
      const replica = replicas[index];
      replica?.process.kill('SIGHUP');
      await until(() =>
        Promise.resolve(
          replica?.output().includes('the worker processes go by the files') === true,
        ),
      );
    });
    expect(lost).toEqual([]);
  }, 300_000);

  test('have an audit log that verifies', async () => {
    const { stdout } = await run(process.execPath, [MAIN, 'audit', 'verify'], {
      env: production.settings,
    });
    expect(stdout).toMatch(/is what was written/);
  }, 120_000);
});
