import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { beforeAll, expect, test } from '@jest/globals';
import { makePrincipal } from '../../support/administrator.ts';
import { type Caller, createCaller } from '../../support/client.ts';
import { ROLE } from '../../support/roles.ts';
import { useService } from '../../support/use-service.ts';
import { within } from '../../support/within.ts';

const LIMIT = 40;
const VALUE = Buffer.alloc(32, 7).toString('base64url');

const { service, admin } = useService({
  STRONGROOM_WORKERS: '1',
  STRONGROOM_LIMIT_PER_PRINCIPAL: String(LIMIT),
  STRONGROOM_LIMIT_REFUSED_CREDENTIALS: '10',
});
beforeAll(async () => {
  await admin('POST', '/keys/one/create', { kty: 'oct-HSM' });
}, 120_000);

interface Event {
  readonly requestId: string;
  readonly status: number;
  readonly operation: string;
  readonly reason?: string;
}

test('who floods is slowed, each refusal recorded, and others are not refused', async () => {
  const { id, call } = await makePrincipal(admin, service);
  await admin('PUT', `/providers/Microsoft.Authorization/roleAssignments/${randomUUID()}`, {
    properties: { roleDefinitionId: ROLE.user, principalId: id },
  });
  const statuses = new Map<number, number>();
  const refused: string[] = [];
  let isOver = false;
  const alone = await measure();
  const flood = Promise.all(
    Array.from({ length: 16 }, async () => {
      while (!isOver) {
        const answer = await call('POST', '/keys/one/wrapkey', { alg: 'A256KW', value: VALUE });
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
        if (answer.status !== 429) continue;
        refused.push(String(answer.headers['x-ms-request-id']));
        expect(answer.headers['retry-after']).toBe('1');
        expect(answer.json()).toMatchObject({ error: { code: 'Throttled' } });
        // Sixteen of them ask for twenty times as much as they get all the same.
        await delay(20);
      }
    }),
  );
  const beside = await measure();
  isOver = true;
  await flood;
  call.close();
  expect([...statuses.keys()].sort()).toEqual([200, 429]);
  expect(alone.statuses).toEqual([200]);
  expect(beside.statuses).toEqual([200]);
  console.info(
    `the flood got ${JSON.stringify([...statuses])}; others' p99 was ${(beside.p99 / alone.p99).toFixed(2)} times what it is alone`,
  );
  await within(1_100, async () => {
    const recorded = await recordedRefusals();
    return refused.every((requestId) => recorded.has(requestId));
  });
});

async function recordedRefusals(): Promise<ReadonlySet<string>> {
  const recorded = new Set<string>();
  let path: string | undefined = '/audit/events?outcome=failure&maxresults=1000';
  while (path !== undefined) {
    const page: { value: Event[]; nextLink?: string } = (await admin('GET', path)).json();
    for (const { requestId, status } of page.value) if (status === 429) recorded.add(requestId);
    path = page.nextLink?.replace(/^https:\/\/[^/]+/, '');
  }
  return recorded;
}

/** Twenty requests a second for three seconds, of somebody else. */
async function measure(): Promise<{ readonly statuses: number[]; readonly p99: number }> {
  const statuses = new Set<number>();
  const times: number[] = [];
  for (let sent = 0; sent < 60; sent += 1) {
    const began = performance.now();
    const { status } = await admin('POST', '/keys/one/wrapkey', { alg: 'A256KW', value: VALUE });
    statuses.add(status);
    times.push(performance.now() - began);
    await delay(50);
  }
  return { statuses: [...statuses], p99: times.sort((a, b) => a - b)[58] ?? 0 };
}

test('garbage credentials cost little: a few are looked at, a record a second tells of the others', async () => {
  // Limits are those of a second: the one of the flood is over.
  await delay(1_100);
  const call = createCaller(service, 'a.b.c');
  const statuses: number[] = [];
  for (let sent = 0; sent < 100; sent += 1) statuses.push((await call('GET', '/keys')).status);
  expect(statuses.slice(0, 10)).toEqual(Array.from({ length: 10 }, () => 401));
  expect(statuses).toContain(429);
  // Whoever is known already is served beside them, though it comes from the same address, as behind a proxy.
  expect((await admin('GET', '/keys')).status).toBe(200);
  expect((await call('GET', '/keys')).status).toBe(429);
  call.close();
  // The second in which there is a record of them is over too.
  await delay(1_100);
  const flooder = createAnother();
  while ((await flooder('GET', '/keys')).status !== 429);
  flooder.close();
  const { value } = (await admin('GET', '/audit/events?operation=Throttled')).json<{
    value: Event[];
  }>();
  const refused = statuses.filter((status) => status === 429).length;
  expect(value.length).toBeGreaterThan(1);
  expect(value.length).toBeLessThan(refused);
  // The record of the next flood tells how many of this one have none.
  const untold = value.map(({ reason = '' }) =>
    Number(/^(\d+) more of this address/.exec(reason)?.[1] ?? 0),
  );
  expect(untold.reduce((sum, count) => sum + count, value.length)).toBeGreaterThan(refused);
});

function createAnother(): Caller & { close(): void } {
  return createCaller(service, 'd.e.f');
}
