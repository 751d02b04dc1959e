import { randomUUID } from 'node:crypto';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { byOperator } from '../../../src/core/access/escalation-rules.ts';
import { AuditDraft } from '../../../src/core/audit/draft.ts';
import {
  createDirectoryService,
  type DirectoryService,
} from '../../../src/core/directory/directory-service.ts';
import type { ServiceError } from '../../../src/core/errors.ts';
import type { SecretHasher } from '../../../src/core/directory/ports.ts';
import { FakeClock } from '../../support/fakes/clock.ts';
import { FakeDirectoryStore } from '../../support/fakes/directory-store.ts';

const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const MISSING = '11111111-1111-4111-8111-111111111111';
const notFound = { code: 'DirectoryObjectNotFound' };

const hasher: SecretHasher = {
  hash: (secret) => Promise.resolve(`hash of ${secret.length} characters`),
  verify: () => Promise.resolve(false),
};

let store: FakeDirectoryStore;
let clock: FakeClock;
let directory: DirectoryService;
beforeEach(() => {
  let secrets = 0;
  store = new FakeDirectoryStore(() => undefined);
  clock = new FakeClock('2026-05-01T12:00:00Z');
  directory = createDirectoryService({
    store,
    hasher,
    newGuid: randomUUID,
    newSecret: () => `srm_secret-number-${(secrets += 1)}`,
    clock,
  });
});

const is = (property: 'appId' | 'displayName', value: string) =>
  [{ property, operator: 'eq', value }] as const;
const change = () =>
  byOperator(new AuditDraft(clock.now, { requestId: randomUUID(), operation: 'Change' }));
const lastChange = () => store.records.at(-1)?.change;

describe('an application', () => {
  test('gets two ids of its own, and its record is kept with it', async () => {
    const draft = change();
    const application = await directory.createApplication('client', draft);
    expect(application).toEqual({
      id: expect.stringMatching(GUID),
      appId: expect.stringMatching(GUID),
      displayName: 'client',
      createdAt: clock.now(),
    });
    expect(application.id).not.toBe(application.appId);
    expect([draft.isCommitted, lastChange()]).toEqual([true, { after: application }]);
    await expect(directory.getApplication(application.id)).resolves.toEqual(application);
  });

  test('is listed by its client id or its name', async () => {
    const [one, other] = [
      await directory.createApplication('one', change()),
      await directory.createApplication('other', change()),
    ];
    const page = { limit: 10 };
    await expect(directory.listApplications(is('appId', one.appId), page)).resolves.toEqual({
      items: [one],
    });
    await expect(directory.listApplications(is('displayName', 'other'), page)).resolves.toEqual({
      items: [other],
    });
    expect((await directory.listApplications([], page)).items).toHaveLength(2);
  });

  test('goes with its secrets and its service principal, and the record says what went', async () => {
    const application = await directory.createApplication('client', change());
    await directory.addPassword(application.id, {}, change());
    const principal = await directory.createServicePrincipal(application.appId, change());
    await directory.deleteApplication(application.id, change());
    expect(lastChange()).toEqual({ before: application });
    await expect(directory.getApplication(application.id)).rejects.toMatchObject(notFound);
    await expect(directory.getServicePrincipal(principal.id)).rejects.toMatchObject(notFound);
    await expect(directory.listPasswords(application.id)).resolves.toEqual([]);
  });
});

describe('a secret', () => {
  const add = async (requested = {}) => {
    const application = await directory.createApplication('client', change());
    return {
      application,
      ...(await directory.addPassword(application.id, requested, change())),
    };
  };

  test('is given once: neither the store nor the record has it', async () => {
    const { application, secret, password } = await add({ displayName: 'for the build' });
    expect(secret).toMatch(/^srm_/);
    expect(password).toEqual({
      keyId: expect.stringMatching(GUID),
      displayName: 'for the build',
      hint: secret.slice(4, 7),
      hash: `hash of ${secret.length} characters`,
      startsAt: new Date('2026-05-01T12:00:00Z'),
      endsAt: new Date('2028-05-01T12:00:00Z'),
    });
    const kept = JSON.stringify([await directory.listPasswords(application.id), store.records]);
    expect(kept).not.toContain(secret);
    expect(lastChange()).toEqual({
      after: {
        applicationId: application.id,
        keyId: password.keyId,
        displayName: 'for the build',
        startsAt: password.startsAt,
        endsAt: password.endsAt,
      },
    });
  });

  test('lasts two years from its start where no end is named', async () => {
    const startsAt = new Date('2028-02-29T00:00:00Z');
    const { password } = await add({ startsAt });
    expect(password.endsAt).toEqual(new Date('2030-03-01T00:00:00Z'));
  });

  test.each([
    ['a moment after its start', 1, 'taken'],
    ['at its start', 0, 'BadParameter'],
    ['before its start', -1, 'BadParameter'],
  ])('that ends %s is %s', async (_case, milliseconds, expected) => {
    const startsAt = clock.now();
    const endsAt = new Date(startsAt.getTime() + milliseconds);
    const outcome = await add({ startsAt, endsAt }).then(
      () => 'taken',
      (error: unknown) => (error as ServiceError).code,
    );
    expect(outcome).toBe(expected);
  });

  test('is one of at most twenty', async () => {
    const { application, password } = await add();
    for (let count = 1; count < 20; count += 1)
      await directory.addPassword(application.id, {}, change());
    const oneMore = () => directory.addPassword(application.id, {}, change());
    await expect(oneMore()).rejects.toMatchObject({ code: 'BadParameter', message: /20/ });
    await directory.removePassword(application.id, password.keyId, change());
    await expect(oneMore()).resolves.toMatchObject({ password: { keyId: expect.anything() } });
  });

  test('is removed alone', async () => {
    const { application, password } = await add();
    const { password: kept } = await directory.addPassword(application.id, {}, change());
    await directory.removePassword(application.id, password.keyId, change());
    expect(lastChange()).toEqual({
      before: { applicationId: application.id, keyId: password.keyId },
    });
    await expect(directory.listPasswords(application.id)).resolves.toEqual([kept]);
  });
});

describe('a service principal', () => {
  test('stands for its application under an id of its own, enabled', async () => {
    const application = await directory.createApplication('client', change());
    const principal = await directory.createServicePrincipal(application.appId, change());
    expect(principal).toEqual({
      id: expect.stringMatching(GUID),
      appId: application.appId,
      displayName: 'client',
      enabled: true,
    });
    expect([application.id, application.appId]).not.toContain(principal.id);
    expect(lastChange()).toEqual({ after: principal });
    await expect(directory.getServicePrincipal(principal.id)).resolves.toEqual(principal);
    await expect(
      directory.listServicePrincipals(is('appId', application.appId), { limit: 1 }),
    ).resolves.toEqual({ items: [principal] });
  });

  test('is the only one of its application', async () => {
    const { appId } = await directory.createApplication('client', change());
    await directory.createServicePrincipal(appId, change());
    await expect(directory.createServicePrincipal(appId, change())).rejects.toMatchObject({
      code: 'DirectoryObjectExists',
    });
  });

  test('can go and come again, as another', async () => {
    const { appId } = await directory.createApplication('client', change());
    const first = await directory.createServicePrincipal(appId, change());
    await directory.deleteServicePrincipal(first.id, change());
    expect(lastChange()).toEqual({ before: first });
    const second = await directory.createServicePrincipal(appId, change());
    expect(second.id).not.toBe(first.id);
  });
});

describe('what is not there', () => {
  test.each<[string, (directory: DirectoryService) => Promise<unknown>]>([
    ['an application to read', (it) => it.getApplication(MISSING)],
    ['an application to delete', (it) => it.deleteApplication(MISSING, change())],
    ['an application to give a secret', (it) => it.addPassword(MISSING, {}, change())],
    ['a secret to remove', (it) => it.removePassword(MISSING, MISSING, change())],
    ['an application to stand for', (it) => it.createServicePrincipal(MISSING, change())],
    ['a service principal to read', (it) => it.getServicePrincipal(MISSING)],
    ['a service principal to delete', (it) => it.deleteServicePrincipal(MISSING, change())],
  ])('is said so, and nothing is recorded as done: %s', async (_case, act) => {
    await expect(act(directory)).rejects.toMatchObject(notFound);
    expect(store.records).toEqual([]);
  });
});
