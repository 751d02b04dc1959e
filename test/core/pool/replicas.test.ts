import { expect, test } from '@jest/globals';
import { type KnownProcess, toReplicas } from '../../../src/core/pool/replicas.ts';

const START = Date.parse('2026-11-28T10:00:00Z');

function known(id: string, replica: string, given: Partial<KnownProcess> = {}): KnownProcess {
  return {
    id,
    replica: { id: replica, name: `${replica}.example` },
    version: '1.0.0',
    schema: '0001_first.sql',
    startedAt: new Date(START),
    seenAt: new Date(START + 60_000),
    silentMs: 500,
    isReady: true,
    reason: undefined,
    rootGenerations: [1],
    feedLagMs: 2,
    clockDifferenceMs: 3,
    ...given,
  };
}

test('a replica is ready where each of its processes is, and says of them the worst', () => {
  const replicas = toReplicas([
    known('a', 'one', { feedLagMs: 2, clockDifferenceMs: -40, rootGenerations: [1, 2] }),
    known('b', 'one', {
      feedLagMs: 7,
      clockDifferenceMs: 30,
      rootGenerations: [2],
      startedAt: new Date(START - 5_000),
    }),
  ]);
  expect(replicas).toEqual([
    {
      id: 'one',
      name: 'one.example',
      status: 'ready',
      reason: undefined,
      version: '1.0.0',
      schema: '0001_first.sql',
      processes: 2,
      rootGenerations: [2],
      startedAt: new Date(START - 5_000),
      seenAt: new Date(START + 60_000),
      feedLagMs: 7,
      clockDifferenceMs: -40,
    },
  ]);
});

test('one process that does not serve makes its replica not ready, with its sentence', () => {
  const [replica] = toReplicas([
    known('a', 'one'),
    known('b', 'one', { isReady: false, reason: 'The HSM is away.' }),
  ]);
  expect(replica).toMatchObject({ status: 'not ready', reason: 'The HSM is away.' });
});

test('a process that was replaced without a word counts for nothing beside those that live', () => {
  const dead = known('a', 'one', { silentMs: 20_000, isReady: false, feedLagMs: undefined });
  expect(toReplicas([dead, known('b', 'one')])).toMatchObject([
    { status: 'ready', processes: 1, feedLagMs: 2 },
  ]);
});

test('a replica of which nothing is heard any more is silent, with what it said last', () => {
  const long = { silentMs: 20_000 };
  const [replica] = toReplicas([
    known('a', 'one', { ...long, seenAt: new Date(START), rootGenerations: [1] }),
    known('b', 'one', { ...long, seenAt: new Date(START + 1), rootGenerations: [1, 2] }),
  ]);
  expect(replica).toMatchObject({
    status: 'silent',
    processes: 0,
    rootGenerations: [1, 2],
    seenAt: new Date(START + 1),
  });
});

test('replicas come in the order of their starts', () => {
  const later = known('a', 'later', { startedAt: new Date(START + 1) });
  expect(toReplicas([later, known('b', 'first')]).map(({ id }) => id)).toEqual(['first', 'later']);
});
