import { expect, test } from '@jest/globals';
import type { KnownProcess } from '../../../../src/core/pool/replicas.ts';
import {
  requireHeldByAll,
  type RootKeyOffer,
} from '../../../../src/core/recovery/root-keys/root-key-offer.ts';

const OFFER: RootKeyOffer = { generation: 7, rootCheck: new Uint8Array(32) };

function serving(name: string, rootGenerations: readonly number[], silentMs = 0): KnownProcess {
  return {
    id: name,
    replica: { id: name, name },
    version: '1.0.0',
    schema: '0001_first.sql',
    startedAt: new Date(0),
    seenAt: new Date(0),
    silentMs,
    isReady: true,
    reason: undefined,
    rootGenerations,
    feedLagMs: 1,
    clockDifferenceMs: 0,
  };
}

/** @param looks what is known of the processes, look by look; the last one from then on */
async function ask(limitMs: number, ...looks: readonly (readonly KnownProcess[])[]) {
  const offered: (RootKeyOffer | undefined)[] = [];
  let look = 0;
  const asked = requireHeldByAll(OFFER, {
    limitMs,
    offers: {
      find: () => Promise.resolve(offered.at(-1)),
      put: (offer) => {
        offered.push(offer);
        return Promise.resolve();
      },
      remove: () => {
        offered.push(undefined);
        return Promise.resolve();
      },
    },
    replicas: { list: () => Promise.resolve(looks[Math.min(look++, looks.length - 1)] ?? []) },
  });
  const outcome = await asked.then(
    () => 'held',
    (error: unknown) => (error as Error).message,
  );
  expect(offered).toEqual([OFFER, undefined]);
  return outcome;
}

test('new root keys are waited for until every process that serves has said that it holds them', async () => {
  const before = [serving('east', [6, 7]), serving('west', [6])];
  expect(await ask(60_000, before, [serving('east', [6, 7]), serving('west', [6, 7])])).toBe(
    'held',
  );
});

test('nobody is asked where nobody serves, and who is silent is not waited for', async () => {
  expect(await ask(60_000, [])).toBe('held');
  expect(await ask(60_000, [serving('gone', [6], 60_000)])).toBe('held');
});

test('who does not hold them is named, once a replica', async () => {
  const one = serving('west', [6]);
  const known = [one, { ...one, id: 'another process' }, serving('east', [6, 7])];
  expect(await ask(0, known)).toMatch(/which does not hold them: west\. Download/);
});
