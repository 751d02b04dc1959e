import { describe, expect, test } from '@jest/globals';
import { makePrincipal } from '../../support/administrator.ts';
import { until } from '../../support/until.ts';
import { useSharedService } from '../../support/use-service.ts';

interface ListedReplica {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly processes: number;
  readonly rootGenerations: readonly number[];
  readonly feedLagMs?: number;
  readonly clockDifferenceMs?: number;
  readonly startedAt: string;
  readonly seenAt: string;
}

describe('GET /replicas', () => {
  const { service, admin, atEnd } = useSharedService();
  const list = async () => {
    const answer = await admin('GET', '/replicas');
    expect(answer.status).toBe(200);
    return answer.json<{ replicas: readonly ListedReplica[] }>().replicas;
  };

  test('says of each start of the service how its processes are, and goes on to hear of them', async () => {
    const settled = async () =>
      (await list()).find(
        ({ status, processes, clockDifferenceMs }) =>
          status === 'ready' && processes === 2 && clockDifferenceMs !== undefined,
      );
    await until(async () => (await settled()) !== undefined);
    const [replica, ...others] = await list();
    expect(others).toEqual([]);
    expect(replica).toMatchObject({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      schema: expect.stringMatching(/^\d{4}_\w+\.sql$/),
      rootGenerations: [1],
      feedLagMs: expect.any(Number),
    });
    const seenAt = replica?.seenAt;
    await until(async () => (await list())[0]?.seenAt !== seenAt);
  });

  test('is for those who may read the settings', async () => {
    const { call } = await makePrincipal(admin, service);
    atEnd(call);
    expect((await call('GET', '/replicas')).status).toBe(403);
  });
});
