import { describe, expect, test } from '@jest/globals';
import { AuditDraft } from '../../../../src/core/audit/draft.ts';
import type { KnownProcess } from '../../../../src/core/pool/replicas.ts';
import {
  createPromoter,
  type PendingGeneration,
} from '../../../../src/core/recovery/root-keys/pending-generation.ts';

const PROOF = Buffer.alloc(32, 1);
const FORGED = Buffer.alloc(32, 2);
const NOW = new Date('2026-11-28T00:00:00Z');
const OWN = { id: 'own', name: 'own' };

/** Generation 2 waits beside 1, which is current. */
const PENDING: PendingGeneration = {
  after: 1,
  generation: 2,
  rootCheck: PROOF,
  endorsement: {
    vouchers: [{ by: 1, generation: 2, proof: PROOF }],
    retirement: { retires: [1], proof: PROOF },
  },
  madeAt: NOW,
};

function serving(name: string, rootGenerations: readonly number[], silentMs = 0): KnownProcess {
  return {
    id: name,
    replica: { id: name, name },
    version: '1.0.0',
    schema: '0001_first.sql',
    startedAt: NOW,
    seenAt: NOW,
    silentMs,
    isReady: true,
    reason: undefined,
    rootGenerations,
    feedLagMs: 1,
    clockDifferenceMs: 0,
  };
}

function poolOf({
  pending = PENDING,
  live = [serving('own', [1])],
  isCommand = false,
  isHeld = true,
  isBusy = false,
} = {}) {
  const state = { current: 1, live, uses: 1, isHeld, isBusy, change: undefined as unknown };
  const awaited = new Map<string, boolean>();
  const promoter = createPromoter({
    hsm: {
      rootGeneration: () => state.uses,
      holdsRootKeys: () => Promise.resolve(state.isHeld),
      useRootKeys: (number) => {
        state.uses = number;
        return Promise.resolve(true);
      },
      listWholeGenerations: () => Promise.resolve([1, 2]),
      voucher: () => Promise.resolve(PROOF),
      retirementList: () => Promise.resolve(PROOF),
    },
    store: {
      find: () => Promise.resolve(state.current === pending.after ? pending : undefined),
      findNumber: () => Promise.resolve(pending.generation),
      makeCurrent({ generation }, change) {
        state.current = generation;
        state.change = change.toRecord().change;
        return Promise.resolve(true);
      },
      noteReplicas({ lacking, holding }) {
        for (const name of lacking) awaited.set(name, awaited.get(name) ?? false);
        for (const name of holding) awaited.delete(name);
        return Promise.resolve();
      },
      listAwaited: () =>
        Promise.resolve([...awaited].map(([name, isGivenUp]) => ({ name, isGivenUp }))),
      giveUp(names) {
        for (const name of names) awaited.set(name, true);
        return Promise.resolve();
      },
    },
    listVouchers: () => Promise.resolve([]),
    replicas: { list: () => Promise.resolve(state.live) },
    own: isCommand ? undefined : OWN,
    alone: (work) => (state.isBusy ? Promise.resolve(undefined) : work()),
    draft: (operation) => new AuditDraft(() => NOW, { requestId: 'r', operation }),
  });
  return { promoter, state };
}

const CURRENT = { kind: 'current', generation: 2 };
const waiting = (...awaited: readonly string[]) => ({ kind: 'waiting', generation: 2, awaited });

describe('root keys of a download', () => {
  test('become the current ones at once where no other replica lives, be this a process of it or a command', async () => {
    const { promoter, state } = poolOf();
    expect(await promoter.attempt()).toEqual(CURRENT);
    expect(state).toMatchObject({ current: 2, uses: 2 });
    expect(state.change).toEqual({
      before: { rootGeneration: 1 },
      after: { rootGeneration: 2 },
    });
    expect(await promoter.attempt()).toEqual({ kind: 'none' });
    expect(await poolOf({ live: [], isCommand: true }).promoter.attempt()).toEqual(CURRENT);
  });

  test('do so once replicas that share an HSM have said that they hold them', async () => {
    const { promoter, state } = poolOf({ live: [serving('own', [1]), serving('east', [1])] });
    const attempt = promoter.attempt(60_000);
    setTimeout(() => {
      state.live = [serving('own', [1]), serving('east', [1, 2])];
    }, 20);
    expect(await attempt).toEqual(CURRENT);
  });

  test('wait for each replica whose HSM lacks them, also while it is on its way through a restart', async () => {
    const east = serving('east', [1]);
    const { promoter, state } = poolOf({ live: [serving('own', [1]), east, { ...east, id: '2' }] });
    expect(await promoter.attempt()).toEqual(waiting('east'));
    state.live = [serving('own', [1]), serving('east', [1], 60_000)];
    expect(await promoter.attempt()).toEqual(waiting('east'));
    state.live = [serving('own', [1])];
    expect(await promoter.attempt()).toEqual(waiting('east'));
    // Of its two processes one has not looked yet.
    const anew = serving('another start', [1, 2]);
    const restarted = { ...anew, replica: { id: 'another start', name: 'east' } };
    state.live = [restarted, { ...restarted, rootGenerations: [1] }];
    expect(await promoter.attempt()).toEqual(waiting('east'));
    expect(state).toMatchObject({ current: 1, uses: 1 });
    state.live = [restarted];
    expect(await promoter.attempt()).toEqual(CURRENT);
  });

  test('go on without a replica that an operator gives up, which is on record', async () => {
    const { promoter, state } = poolOf({ live: [serving('east', [1]), serving('west', [1])] });
    expect(await promoter.attempt()).toEqual(waiting('east', 'west'));
    await promoter.giveUp(['east']);
    expect(await promoter.attempt()).toEqual(waiting('west'));
    await promoter.giveUp(['west']);
    expect(await promoter.attempt()).toEqual(CURRENT);
    expect(state.change).toMatchObject({ along: { without: ['east', 'west'] } });
  });

  test('wait for this process too where its HSM lacks them, and for another process to go on', async () => {
    const lacking = poolOf({ isHeld: false });
    expect(await lacking.promoter.attempt()).toEqual(waiting('own'));
    const command = poolOf({ isHeld: false, isCommand: true, live: [] });
    expect(await command.promoter.attempt()).toEqual(waiting());
    const behind = poolOf({ pending: { ...PENDING, after: 1 } });
    behind.state.uses = 3;
    expect(await behind.promoter.attempt()).toEqual(waiting('own'));
    const busy = poolOf({ isBusy: true });
    expect(await busy.promoter.attempt()).toEqual(waiting());
    expect([lacking, command, behind, busy].map(({ state }) => state.current)).toEqual([
      1, 1, 1, 1,
    ]);
  });

  test.each([
    [
      'the older ones do not say that they come after them',
      { vouchers: [{ by: 1, generation: 2, proof: FORGED }] },
    ],
    ['nothing is said at all', { vouchers: [] }],
    ['they do not say that the older ones go', { retirement: { retires: [1], proof: FORGED } }],
  ])('stay what they are where %s', async (_, forged) => {
    const pending = { ...PENDING, endorsement: { ...PENDING.endorsement, ...forged } };
    const { promoter, state } = poolOf({ pending });
    expect(await promoter.heldPending()).toBeUndefined();
    expect(await promoter.attempt()).toEqual(waiting('own'));
    expect(state.current).toBe(1);
  });
});
