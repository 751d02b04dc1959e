import { beforeEach, describe, expect, test } from '@jest/globals';
import { AuditDraft } from '../../../src/core/audit/draft.ts';
import { ServiceError } from '../../../src/core/errors.ts';
import type { ManagedHsm } from '../../../src/core/resources/managed-hsm.ts';
import type {
  ManagedHsmOperation,
  OperationKind,
  Outcome,
} from '../../../src/core/resources/operation.ts';
import { createOperationRunner } from '../../../src/core/resources/operation-runner.ts';
import type { ManagedHsmStore } from '../../../src/core/resources/ports.ts';
import { FakePoolProvisioner } from '../../support/fakes/pool-provisioner.ts';

const HSM: ManagedHsm = {
  name: 'Payroll',
  subscriptionId: '8e3af657-a8ff-443c-a75c-2fe8c4bcb635',
  groupName: 'keys',
  location: 'local',
  sku: { family: 'B', name: 'Standard_B1' },
  tags: {},
  softDeleteDays: 7,
  purgeProtection: false,
  administrators: ['alice'],
  network: { publicAccess: true, defaultAction: 'Allow', bypass: 'None', ipRules: [] },
  state: 'Provisioning',
  statusMessage: '',
};

let provisioner: FakePoolProvisioner;
let waiting: OperationKind[];
let ended: (readonly [Outcome, ManagedHsm | undefined])[];
let expired: number;
let errors: unknown[];
beforeEach(() => {
  provisioner = new FakePoolProvisioner();
  waiting = [];
  ended = [];
  expired = 0;
  errors = [];
});

function run(clocks: 'agree' | 'disagree' = 'agree'): Promise<void> {
  const operationOf = (kind: OperationKind): ManagedHsmOperation => ({
    ...HSM,
    id: kind,
    kind,
    outcome: undefined,
  });
  const store: Partial<ManagedHsmStore> = {
    claimOperation: () => {
      const kind = waiting.shift();
      return Promise.resolve(kind && { operation: operationOf(kind), hsm: HSM });
    },
    keepClaim: () => Promise.resolve(),
    endOperation: (_operation, _present, outcome, hsm) => {
      ended.push([outcome, hsm]);
      return Promise.resolve();
    },
    purgeExpired: () => {
      if (expired === 0) return Promise.resolve(undefined);
      expired -= 1;
      waiting.push('purge');
      return Promise.resolve(HSM);
    },
  };
  return createOperationRunner({
    store: store as ManagedHsmStore,
    provisioner,
    tenantId: 'tenant',
    storeClock: {
      agreedTime: () => Promise.resolve(clocks === 'agree' ? new Date() : undefined),
    },
    newChange: (operation) => new AuditDraft(() => new Date(), { requestId: 'r', operation }),
    onError: (error) => errors.push(error),
  }).runAll();
}

test('operations are done in turn, until there are none', async () => {
  waiting = ['create', 'update', 'delete', 'recover', 'purge'];
  await run();
  expect(provisioner.calls).toEqual(
    ['create', 'update', 'close', 'open', 'purge'].map((c) => `${c} payroll`),
  );
  expect(ended.map(([outcome, hsm]) => [outcome, hsm?.state])).toEqual([
    ['succeeded', 'Succeeded'],
    ['succeeded', 'Succeeded'],
    ['succeeded', 'Succeeded'],
    ['succeeded', 'Succeeded'],
    ['succeeded', undefined],
  ]);
});

describe('an operation that fails', () => {
  test('tells its client what the provisioner says, and no more', async () => {
    waiting = ['create'];
    provisioner.refusal = new ServiceError('Conflict', 'No token is free.');
    await run();
    expect(ended).toEqual([
      [
        { code: 'Conflict', message: 'No token is free.' },
        expect.objectContaining({ state: 'Failed', statusMessage: 'No token is free.' }),
      ],
    ]);
    ended = [];
    waiting = ['create'];
    provisioner.refusal = new Error('CKR_PIN_INCORRECT for 1234');
    await run();
    expect(JSON.stringify(ended)).not.toContain('1234');
    expect(errors).toHaveLength(2);
  });

  test.each<[OperationKind, Error]>([
    ['create', new ServiceError('StoreUnavailable', 'The database is away.')],
    ['delete', new Error('whatever')],
  ])('as %s with %s stays, and is tried again', async (kind, refusal) => {
    await provisioner.create({ ...HSM, name: 'payroll', tenantId: 'tenant' });
    waiting = [kind];
    provisioner.refusal = refusal;
    await run();
    expect([ended, errors]).toEqual([[], [refusal]]);
  });
});

test('what was deleted long enough ago is purged, but not while the clocks disagree', async () => {
  expired = 2;
  await run('disagree');
  expect(provisioner.calls).toEqual([]);
  await run();
  expect(provisioner.calls).toEqual(['purge payroll', 'purge payroll']);
});
