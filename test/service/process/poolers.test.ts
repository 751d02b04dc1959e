import { randomUUID } from 'node:crypto';
import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, describe, expect, test } from '@jest/globals';
import { openPoolFeed } from '../../support/change-feed.ts';
import { type Answer, createCaller, fetchToken } from '../../support/client.ts';
import {
  type PgBouncer,
  pgBouncerIsMissing,
  type PoolMode,
  startPgBouncer,
} from '../../support/pgbouncer.ts';
import { createTestDatabase } from '../../support/postgres.ts';
import { type ProductionService, startProduction } from '../../support/production.ts';
import { ROLE } from '../../support/roles.ts';
import { until } from '../../support/until.ts';

/** Poolers stand before PostgreSQL in many places: in transaction mode LISTEN's connection is lent to others at once. */

const KNOWN_AFTER_MS = 1_000;
const run = promisify(execFile);
const MAIN = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));

if (pgBouncerIsMissing !== undefined) console.info(`skipped: ${pgBouncerIsMissing}`);
const describeWithPooler = pgBouncerIsMissing === undefined ? describe : describe.skip;

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  const failed: unknown[] = [];
  for (const close of closing.splice(0).reverse())
    await close().catch((error: unknown) => failed.push(error));
  if (failed.length > 0) throw new AggregateError(failed);
});

interface Behind extends ProductionService {
  /** Another PgBouncer in the place of the one that there is. */
  becomes(mode: PoolMode): Promise<void>;
}

async function startBehind(mode: PoolMode, workers: number): Promise<Behind> {
  let pooler: PgBouncer | undefined;
  let straight = '';
  const production = await startProduction(
    { STRONGROOM_WORKERS: String(workers) },
    {
      wayTo: async (url) => {
        straight = url;
        pooler = await startPgBouncer(url, mode);
        return pooler.url;
      },
      closeWay: async () => pooler?.close(),
    },
  ).catch(async (error: unknown) => {
    await pooler?.close();
    throw error;
  });
  closing.push(() => production.stop());
  return Object.assign(production, {
    async becomes(other: PoolMode) {
      await pooler?.close();
      pooler = await startPgBouncer(straight, other, pooler?.port);
    },
  });
}

const readyz = async ({ admin }: ProductionService) => {
  const answer = await admin('GET', '/readyz');
  return [answer.status, answer.json<Record<string, unknown>>()] as const;
};

/** A caller who may read a key, and whose one assignment is taken away; what it was answered since then, and when. */
async function revokeAtWork(production: ProductionService) {
  const { admin, service } = production;
  const post = async <Shape>(path: string, body: object) =>
    (await admin('POST', path, body)).json<Shape>();
  await post('/keys/pooled/create', { kty: 'EC-HSM' });
  const application = await post<{ id: string; appId: string }>('/v1.0/applications', {
    displayName: 'revoked',
  });
  const { appId } = application;
  const { secretText } = await post<{ secretText: string }>(
    `/v1.0/applications/${application.id}/addPassword`,
    {},
  );
  const principal = await post<{ id: string }>('/v1.0/servicePrincipals', { appId });
  const assignment = `/keys/providers/Microsoft.Authorization/roleAssignments/${randomUUID()}`;
  const put = await admin('PUT', assignment, {
    properties: { principalId: principal.id, roleDefinitionId: ROLE.user },
  });
  expect(put.status).toBe(201);
  const token = await fetchToken(
    service,
    { clientId: appId, clientSecret: secretText },
    'https://hsm.example',
  );
  const call = createCaller(service, token);
  closing.push(() => {
    call.close();
    return Promise.resolve();
  });
  const ask = (): Promise<Answer[]> =>
    Promise.all([1, 2, 3, 4].map(() => call('GET', '/keys/pooled')));
  for (let round = 0; round < 5; round += 1)
    expect((await ask()).map(({ status }) => status)).toEqual([200, 200, 200, 200]);

  expect((await admin('DELETE', assignment)).status).toBe(200);
  const revokedAt = performance.now();
  const seen: { readonly sinceMs: number; readonly status: number }[] = [];
  while (performance.now() - revokedAt < 3 * KNOWN_AFTER_MS) {
    const sinceMs = performance.now() - revokedAt;
    for (const { status } of await ask()) seen.push({ sinceMs, status });
    await delay(20);
  }
  return seen;
}

describeWithPooler('behind PgBouncer that lends sessions to others', () => {
  const refused = /DATABASE_URL: .*pooler in transaction or statement mode: .*session mode\./;

  test.each(['transaction', 'statement'] as const)(
    'as in %s mode, the start is refused with a sentence',
    async (mode) => {
      await expect(startBehind(mode, 1)).rejects.toThrow(refused);
    },
    60_000,
  );

  test("a migration is refused, whose lock would be somebody else's", async () => {
    const database = await createTestDatabase();
    closing.push(() => database.drop());
    const pooler = await startPgBouncer(database.ownerUrl, 'transaction');
    closing.push(() => pooler.close());
    await expect(
      run(process.execPath, [MAIN, 'migrate'], { env: { DATABASE_URL: pooler.url } }),
    ).rejects.toMatchObject({ code: 1, stderr: expect.stringMatching(refused) });
  }, 60_000);

  test('from some time on, the service says that it is not ready and why, believes no cache, and serves nobody who was revoked', async () => {
    const production = await startBehind('session', 1);
    await production.becomes('transaction');
    await until(async () => (await readyz(production))[1]['reason'] !== undefined);
    const expected = [
      503,
      {
        status: 'not ready',
        parts: { hsm: true, store: true, audit: true, changeFeed: false },
        reason: expect.stringMatching(/^DATABASE_URL: .*transaction or statement mode.*\.$/),
      },
    ];
    expect(await readyz(production)).toEqual(expected);
    const seen = await revokeAtWork(production);
    expect(seen.length).toBeGreaterThan(20);
    expect(seen.filter(({ status }) => status !== 403)).toEqual([]);
    expect(await readyz(production)).toEqual(expected);
  }, 120_000);
});

describeWithPooler('behind PgBouncer in session mode', () => {
  test('the service is ready, and a revocation holds within a second', async () => {
    const production = await startBehind('session', 2);
    expect(production.service.output()).toContain('Strongroom is ready: ');
    expect(await readyz(production)).toEqual([
      200,
      { status: 'ready', parts: { hsm: true, store: true, audit: true, changeFeed: true } },
    ]);
    const seen = await revokeAtWork(production);
    expect(
      seen.filter(({ sinceMs, status }) => sinceMs > KNOWN_AFTER_MS && status !== 403),
    ).toEqual([]);
  }, 120_000);
});

describeWithPooler('a feed', () => {
  test.each([
    ['session', true],
    ['transaction', false],
    ['statement', false],
  ] as const)('behind PgBouncer in %s mode is believed: %s', async (mode, isBelieved) => {
    const database = await createTestDatabase();
    closing.push(() => database.drop());
    const pooler = await startPgBouncer(database.serviceUrl, mode);
    closing.push(() => pooler.close());
    const { url } = pooler;
    const feed = await openPoolFeed({ url, poolId: randomUUID(), onError: () => undefined });
    closing.push(() => feed.close());
    const deadline = performance.now() + 10_000;
    while (!feed.isCoherent() && feed.fault() === undefined && performance.now() < deadline)
      await delay(10);
    expect([feed.isCoherent(), feed.fault() === undefined]).toEqual([isBelieved, isBelieved]);
  });
});
