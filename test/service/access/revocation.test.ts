import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { makePrincipal } from '../../support/administrator.ts';
import type { Caller } from '../../support/client.ts';
import { serviceUrl } from '../../support/cluster.ts';
import { isFullExtent } from '../../support/extent.ts';
import { ROLE } from '../../support/roles.ts';
import { useService } from '../../support/use-service.ts';

/**
 * Many callers at work in both processes while their assignments come and go, and the connections by which the processes
 * hear of changes are cut: each request that begins more than a second after a revocation was acknowledged is refused.
 */

const CALLERS = 6;
const ROUNDS = isFullExtent ? 40 : 3;
/** Between two calls of a caller, of which there are twice six: the full extent asks without a pause. */
const PAUSE_MS = isFullExtent ? 0 : 10;
const KNOWN_AFTER_MS = 1_000;

const { service, admin, atEnd } = useService({ STRONGROOM_WORKERS: '2' });
let database: pg.Client;
beforeAll(async () => {
  database = new pg.Client({ connectionString: await serviceUrl(service.dataFolder) });
  await database.connect();
  atEnd(() => database.end());
  expect((await admin('POST', '/keys/raced/create', { kty: 'EC-HSM' })).status).toBe(200);
}, 90_000);

/** A caller whose one assignment comes and goes; the count of what it was answered, and of answers that came too late. */
interface Worker {
  readonly id: string;
  readonly call: Caller & { close(): void };
  readonly scope: string;
  /** When the revocation that holds now was acknowledged; undefined while it is granted, or that is under way. */
  revokedAt: number | undefined;
  allowed: number;
  refused: number;
  readonly tooLate: number[];
}

async function hammer(worker: Worker, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    const { revokedAt } = worker;
    const began = performance.now();
    const { status } = await worker.call('GET', '/keys/raced');
    if (status === 403) worker.refused += 1;
    else if (status === 200) worker.allowed += 1;
    else throw new Error(`answered with ${status}`);
    const isStillRevoked = revokedAt !== undefined && worker.revokedAt === revokedAt;
    if (status === 200 && isStillRevoked && began - revokedAt > KNOWN_AFTER_MS)
      worker.tooLate.push(began - revokedAt);
    await delay(PAUSE_MS);
  }
}

async function comeAndGo(worker: Worker): Promise<void> {
  for (let round = 0; round < ROUNDS; round += 1) {
    const path = `${worker.scope}/providers/Microsoft.Authorization/roleAssignments/${randomUUID()}`;
    worker.revokedAt = undefined;
    const put = await admin('PUT', path, {
      properties: { principalId: worker.id, roleDefinitionId: ROLE.user },
    });
    expect(put.status).toBe(201);
    await delay(300 * Math.random());
    expect((await admin('DELETE', path)).status).toBe(200);
    worker.revokedAt = performance.now();
    // Long enough for what comes too late to be seen.
    await delay(KNOWN_AFTER_MS + 200 * Math.random());
  }
}

test('no request is allowed that begins a second after its revocation was acknowledged', async () => {
  const workers = await Promise.all(
    Array.from({ length: CALLERS }, async (_, index): Promise<Worker> => {
      const { id, call } = await makePrincipal(admin, service);
      const scope = ['', '/keys', '/keys/raced'][index % 3] ?? '';
      return { id, call, scope, revokedAt: undefined, allowed: 0, refused: 0, tooLate: [] };
    }),
  );
  const run = { isOver: false };
  const cuts = { made: 0 };
  const cutting = (async () => {
    while (!run.isOver) {
      await delay(2_500);
      // A second time soon after, while they are still finding their way back.
      for (let cut = 0; cut < 2; cut += 1) {
        const { rowCount } = await database.query(
          `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'strongroom change feed'`,
        );
        cuts.made += rowCount ?? 0;
        await delay(150);
      }
    }
  })();
  const hammering = workers.flatMap((worker) => [
    hammer(worker, () => run.isOver),
    hammer(worker, () => run.isOver),
  ]);
  await Promise.all(workers.map(comeAndGo));
  run.isOver = true;
  await Promise.all([...hammering, cutting]);
  for (const { call } of workers) call.close();

  const sum = (of: (worker: Worker) => number) => workers.reduce((all, one) => all + of(one), 0);
  const counts = { allowed: sum((one) => one.allowed), refused: sum((one) => one.refused) };
  console.info(
    `${CALLERS} callers, ${CALLERS * ROUNDS} revocations, ${cuts.made} feeds cut: ${counts.allowed} allowed, ${counts.refused} refused, ${sum((one) => one.tooLate.length)} allowed too late`,
  );
  expect(workers.flatMap(({ tooLate }) => tooLate)).toEqual([]);
  expect(cuts.made).toBeGreaterThan(2);
  for (const { allowed, refused } of workers) {
    expect(allowed).toBeGreaterThan(0);
    expect(refused).toBeGreaterThan(0);
  }
}, 120_000);
