import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { makePrincipal, signInAsAdministrator } from '../support/administrator.ts';
import { type Caller, createCaller } from '../support/client.ts';
import {
  makeDataFolder,
  removeDataFolder,
  type RunningService,
  startService,
} from '../support/service.ts';
import { ROLE } from '../support/roles.ts';

/** What a caller that floods does to the others: `npm run test:soak`. No time is asserted; the figures are for comparison. */

const LIMIT = 100;
const SAMPLES = 1_000;
const ROUNDS = 3;
const VALUE = Buffer.alloc(32, 7).toString('base64url');

let folder = '';
let service: RunningService;
let admin: Caller & { close(): void };
let flooder: Caller & { close(): void };
const stranger = () => createCaller(service, 'a.b.c');
beforeAll(async () => {
  folder = await makeDataFolder();
  service = await startService(folder, {
    STRONGROOM_WORKERS: '1',
    STRONGROOM_LIMIT_PER_PRINCIPAL: String(LIMIT),
  });
  admin = await signInAsAdministrator(service);
  await admin('POST', '/keys/one/create', { kty: 'oct-HSM' });
  const { id, call } = await makePrincipal(admin, service);
  flooder = call;
  await admin('PUT', `/providers/Microsoft.Authorization/roleAssignments/${randomUUID()}`, {
    properties: { roleDefinitionId: ROLE.user, principalId: id },
  });
}, 120_000);
afterAll(async () => {
  flooder.close();
  admin.close();
  await service.stop();
  await removeDataFolder(folder);
});

const wrap = (call: Caller) => call('POST', '/keys/one/wrapkey', { alg: 'A256KW', value: VALUE });

/** Somebody else's requests, some fifty a second: statuses, and the time that 99 of 100 take at most. */
async function measure(): Promise<{ readonly statuses: number[]; readonly p99: number }> {
  const statuses = new Set<number>();
  const times: number[] = [];
  for (let sent = 0; sent < SAMPLES / ROUNDS; sent += 1) {
    const began = performance.now();
    statuses.add((await wrap(admin)).status);
    times.push(performance.now() - began);
    await delay(15);
  }
  times.sort((a, b) => a - b);
  return { statuses: [...statuses], p99: times[Math.floor(times.length * 0.99)] ?? 0 };
}

/** As many requests a second from the flood as it can, from eight connections. */
async function beside<T>(flood: () => Promise<{ status: number }>, act: () => Promise<T>) {
  const seen = new Map<number, number>();
  let isOver = false;
  const flooding = Promise.all(
    Array.from({ length: 8 }, async () => {
      while (!isOver) {
        const { status } = await flood();
        seen.set(status, (seen.get(status) ?? 0) + 1);
      }
    }),
  );
  const result = await act();
  isOver = true;
  await flooding;
  return { result, seen };
}

test.each([
  ['its own principal', () => flooder],
  ['credentials that are none', stranger],
])(
  'a flood with %s leaves others their service',
  async (_, caller) => {
    const call = caller();
    const ratios: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const alone = await measure();
      const { result, seen } = await beside(() => wrap(call), measure);
      expect([alone.statuses, result.statuses]).toEqual([[200], [200]]);
      expect(seen.get(429)).toBeGreaterThan(0);
      ratios.push(result.p99 / alone.p99);
      console.info(
        `the flood got ${JSON.stringify([...seen])}; others' p99 ${result.p99.toFixed(1)} ms, alone ${alone.p99.toFixed(1)} ms`,
      );
    }
    ratios.sort((a, b) => a - b);
    console.info(`others' p99: ${(ratios[1] ?? 0).toFixed(2)} times what it is alone (median)`);
    if (call !== flooder) call.close();
  },
  180_000,
);
