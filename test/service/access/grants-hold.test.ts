import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Caller, createCaller, fetchToken } from '../../support/client.ts';
import {
  addSecret,
  assignRole,
  type Client,
  created,
  makeClient,
} from '../../support/directory.ts';
import { isFullExtent } from '../../support/extent.ts';
import { openPostgresProxy, type PostgresProxy } from '../../support/postgres-proxy.ts';
import { type ProductionService, startProduction } from '../../support/production.ts';
import { type RunningService, startService } from '../../support/service.ts';
import { ROLE } from '../../support/roles.ts';

/**
 * Two replicas on one database, of which the second hears of changes late, though not so late that it would mistrust what
 * it remembers. What the first has acknowledged holds at the second with the very next request.
 */

const LATE_MS = 300;
const READ = 'Microsoft.KeyVault/managedHsm/keys/read/action';
const ROLES = '/providers/Microsoft.Authorization';
const ROUNDS = isFullExtent ? 3 : 1;

let first: ProductionService;
let second: RunningService;
let proxy: PostgresProxy;
const callers: { close(): void }[] = [];

beforeAll(async () => {
  first = await startProduction({ STRONGROOM_WORKERS: '1' });
  proxy = await openPostgresProxy(first.database.serviceUrl);
  proxy.delayFeed(LATE_MS);
  second = await startService(
    'unused',
    { ...first.settings, DATABASE_URL: proxy.url, STRONGROOM_WORKERS: '1' },
    { caFile: first.settings['STRONGROOM_TLS_CERT_FILE'] ?? '' },
  );
  await created(first.admin('POST', '/keys/shared/create', { kty: 'EC-HSM' }));
}, 120_000);
afterAll(async () => {
  for (const caller of callers) caller.close();
  await second.stop();
  await first.stop();
  await proxy.close();
});

interface Newcomer extends Client {
  readonly secret: string;
  /** Its calls to the second replica. */
  readonly call: Caller;
}
const RESOURCE = 'https://hsm.example';
/** Of the second replica, by the authority that has signed the first one's certificate. */
const place = () => ({ port: second.port, ca: first.service.ca });

async function makeNewcomer(): Promise<Newcomer> {
  const client = await makeClient(first.admin, 'newcomer');
  const secret = await addSecret(first.admin, client);
  const token = await fetchToken(
    first.service,
    { clientId: client.appId, clientSecret: secret },
    RESOURCE,
  );
  const call = createCaller(place(), token);
  callers.push(call);
  return { ...client, secret, call };
}
const makeGroup = async () =>
  (await created<{ id: string }>(first.admin('POST', '/v1.0/groups', { displayName: 'g' }))).id;
const join = (group: string, member: string) =>
  created(
    first.admin('POST', `/v1.0/groups/${group}/members/$ref`, {
      '@odata.id': `https://any/v1.0/directoryObjects/${member}`,
    }),
  );
const define = async (id: string, dataActions: readonly string[]) =>
  created(
    first.admin('PUT', `${ROLES}/roleDefinitions/${id}`, {
      properties: { roleName: `role ${id}`, permissions: [{ dataActions }] },
    }),
  );
const enable = (client: Client, accountEnabled: boolean) =>
  created(
    first.admin('PATCH', `/v1.0/servicePrincipals/${client.principalId}`, { accountEnabled }),
  );

const read = async ({ call }: Newcomer) => (await call('GET', '/keys/shared')).status;

/** What stands before the grant, what is granted, and a call that is refused before it and not after it. */
type Grant = readonly [
  what: string,
  refusedWith: number,
  prepare: (who: Newcomer) => Promise<() => Promise<unknown>>,
  call?: (who: Newcomer) => Promise<number>,
];
const GRANTS: readonly Grant[] = [
  [
    'an assignment',
    403,
    (who) =>
      Promise.resolve(() => assignRole(first.admin, ROLE.user, who.principalId, '/keys/shared')),
  ],
  [
    'an assignment to its group',
    403,
    async (who) => {
      const group = await makeGroup();
      await join(group, who.principalId);
      return () => assignRole(first.admin, ROLE.user, group);
    },
  ],
  [
    'a place in a group that holds a role',
    403,
    async (who) => {
      const group = await makeGroup();
      await assignRole(first.admin, ROLE.user, group);
      return () => join(group, who.principalId);
    },
  ],
  [
    'a place for its group in such a group',
    403,
    async (who) => {
      const [inner, outer] = [await makeGroup(), await makeGroup()];
      await join(inner, who.principalId);
      await assignRole(first.admin, ROLE.user, outer);
      return () => join(outer, inner);
    },
  ],
  [
    'an action in its role',
    403,
    async (who) => {
      const id = randomUUID();
      await define(id, []);
      await assignRole(first.admin, id, who.principalId);
      return () => define(id, [READ]);
    },
  ],
  [
    'being enabled',
    401,
    async (who) => {
      await assignRole(first.admin, ROLE.user, who.principalId);
      await enable(who, false);
      return () => enable(who, true);
    },
  ],
  [
    'a key',
    404,
    async (who) => {
      await assignRole(first.admin, ROLE.user, who.principalId);
      return () => created(first.admin('POST', `/keys/k-${who.appId}/create`, { kty: 'EC-HSM' }));
    },
    async ({ call, appId }) => (await call('GET', `/keys/k-${appId}`)).status,
  ],
  [
    'Administrator by a group, to make another one',
    403,
    async (who) => {
      const group = await makeGroup();
      await assignRole(first.admin, ROLE.administrator, group);
      // It may make assignments, and none of this role.
      await assignRole(first.admin, ROLE.policyAdministrator, who.principalId);
      return () => join(group, who.principalId);
    },
    async ({ call }) => {
      const { status } = await call('PUT', `${ROLES}/roleAssignments/${randomUUID()}`, {
        properties: { roleDefinitionId: ROLE.administrator, principalId: randomUUID() },
      });
      return status === 201 ? 200 : status;
    },
  ],
];

test.each(GRANTS)(
  'a grant holds from its acknowledgement on, at a replica that has not heard of it: %s',
  async (_what, refusedWith, prepare, call = read) => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const who = await makeNewcomer();
      const grant = await prepare(who);
      // Until it has heard of what was prepared, and remembers that.
      for (let tries = 0; tries < 50 && (await call(who)) !== refusedWith; tries += 1);
      for (let tries = 0; tries < 3; tries += 1) expect(await call(who)).toBe(refusedWith);
      await grant();
      expect(await call(who)).toBe(200);
    }
  },
  60_000,
);

test('a secret holds from its acknowledgement on', async () => {
  const who = await makeNewcomer();
  const clientSecret = await addSecret(first.admin, who);
  await expect(
    fetchToken(place(), { clientId: who.appId, clientSecret }, RESOURCE),
  ).resolves.toContain('.');
});

test('many refused calls of one principal are refused all the same, and others are served meanwhile', async () => {
  const [stranger, user] = [await makeNewcomer(), await makeNewcomer()];
  await assignRole(first.admin, ROLE.user, user.principalId);
  const refusals = Array.from({ length: 200 }, () => read(stranger));
  const served = Array.from({ length: 20 }, () => read(user));
  expect(new Set(await Promise.all(served))).toEqual(new Set([200]));
  expect([...new Set(await Promise.all(refusals))].filter((status) => status !== 429)).toEqual([
    403,
  ]);
});
