import { afterAll, describe, expect, test } from '@jest/globals';
import { randomBytes, randomUUID } from 'node:crypto';
import { makePrincipal } from '../support/administrator.ts';
import type { Caller } from '../support/client.ts';
import { makeGarbage, REACHING, type Sent, sendGarbage } from '../support/garbage.ts';
import { buildModuleShim, hasCompiler, shimProfiles } from '../support/module-shim.ts';
import { type ProductionService, startNewPool } from '../support/production.ts';
import { ROLE } from '../support/roles.ts';
import { makeToken } from '../support/softhsm.ts';
import { EXPECTED, type Expectation, type ModuleName } from './expectations.ts';
import { keep } from './record.ts';
import { settingsFor } from './shim-settings.ts';
import { LIMIT_MS } from './trial.ts';

/**
 * One caller sends what isn't right to every operation that takes it to the HSM, on each profile of the shim; another one
 * beside it makes ordinary requests, none of which may be refused.
 */
const DOMAIN = 'https://hsm.example';
const AT_ONCE = 4;
const AFTERWARDS = 5;
/** One call in 40 fails there, and what fails twice is refused: one request in 100 may be, of the victim's and the others. */
const MAY_REFUSE: Readonly<Record<string, number>> = { flaky: 0.01 };

const PROFILES = (await shimProfiles()) as readonly ModuleName[];
const canBuild = await hasCompiler();
if (!canBuild) console.warn('skipped: no C compiler (cc)');

const rows: string[] = [];
afterAll(() => {
  const heads = ['profile', 'garbage', '4xx', '2xx', '5xx', 'victim', 'refused', 'longest ms'];
  process.stdout.write(`${[heads.join('\t'), ...rows].join('\n')}\n`);
});

(canBuild ? describe : describe.skip)("one caller's garbage", () => {
  test.each(PROFILES)(
    'refuses nobody else anything: %s',
    async (profile) => {
      const pool = await poolOn(profile);
      try {
        const { garbage, victim } = await meet(pool, !isResident(profile));
        rows.push(rowOf(profile, garbage, victim));
        const counts = { victim: victim.requests, refused: victim.refused.length };
        await keep('victim', { name: profile, beside: { garbage: all(garbage), ...counts } });
        expect(Object.keys(garbage.statuses).sort()).toEqual([...REACHING].sort());
        const allowedOf = (count: number) => Math.ceil((MAY_REFUSE[profile] ?? 0) * count);
        expect(victim.refused.slice(allowedOf(victim.requests))).toEqual([]);
        expect(garbage.faults.slice(allowedOf(all(garbage)))).toEqual([]);
        expect(pool.service.output()).not.toContain('the HSM is lost');
      } finally {
        await pool.stop();
      }
    },
    5 * LIMIT_MS,
  );
});

/** Whether it can make pools whose keys are in the HSM alone. */
function isResident(profile: ModuleName): boolean {
  const expectation: Expectation = EXPECTED[profile];
  return 'refused' in expectation && expectation.resident !== undefined;
}

async function poolOn(profile: ModuleName): Promise<ProductionService> {
  const shim = await buildModuleShim({ profile });
  const common = { STRONGROOM_WORKERS: '1', ...shim.environment, ...settingsFor(profile) };
  const token = await makeToken();
  const keys = isResident(profile) ? { STRONGROOM_KEYS: 'resident' } : {};
  const pool = await startNewPool({ ...token.environment, ...common, ...keys });
  return {
    ...pool,
    async stop() {
      await pool.stop();
      await shim.remove();
      await token.remove();
    },
  };
}

/** All garbage by one caller, and the other's requests as long as that goes on and a while longer. */
async function meet(pool: ProductionService, hasBackups: boolean) {
  const callers: (Caller & { close(): void })[] = [];
  const callerWith = async (role: string) => {
    const { id, call } = await makePrincipal(pool.admin, pool.service, DOMAIN);
    callers.push(call);
    await pool.admin('PUT', `/providers/Microsoft.Authorization/roleAssignments/${randomUUID()}`, {
      properties: { roleDefinitionId: role, principalId: id },
    });
    return call;
  };
  try {
    const requests = await ordinary(pool.admin, await callerWith(ROLE.user));
    const garbage = await makeGarbage(pool.admin, 'garbage', hasBackups);
    const state = { isOver: false };
    const sending = sendGarbage(await callerWith(ROLE.user), garbage, AT_ONCE).finally(() => {
      state.isOver = true;
    });
    sending.catch(() => undefined);
    const victim = { requests: 0, refused: [] as string[], longestMs: 0 };
    for (let after = 0; !state.isOver || after < AFTERWARDS; after += state.isOver ? 1 : 0)
      for (const request of requests) {
        const began = performance.now();
        const refusal = await request();
        victim.longestMs = Math.max(victim.longestMs, performance.now() - began);
        victim.requests += 1;
        if (refusal !== undefined) victim.refused.push(refusal);
      }
    return { garbage: await sending, victim };
  } finally {
    for (const caller of callers) caller.close();
  }
}

/** The ordinary requests, with keys of the kinds that the HSM keeps; each says how it was refused, if it was. */
async function ordinary(
  admin: Caller,
  victim: Caller,
): Promise<readonly (() => Promise<string | undefined>)[]> {
  const VALUE = randomBytes(32).toString('base64url');
  const made = async (name: string, body: object) =>
    (await admin('POST', `/keys/victim-${name}/create`, body)).status === 200;
  const ask = async (path: string, body: object) => {
    const answer = await victim('POST', `/keys/victim-${path}`, body);
    return answer.status === 200
      ? answer.json<{ value: string | boolean }>().value
      : { refused: `${path}: ${String(answer.status)} ${answer.text}` };
  };
  const thereAndBack =
    (to: string, from: string, alg: string, member: 'value' | 'digest', good: unknown) =>
    async () => {
      const came = await ask(to, { alg, value: VALUE });
      if (typeof came === 'object') return came.refused;
      const more = member === 'digest' ? { digest: VALUE } : {};
      const back = await ask(from, { alg, value: came, ...more });
      if (typeof back === 'object') return back.refused;
      return back === good ? undefined : `${from}: another result`;
    };
  const requests = [];
  if (await made('oct', { kty: 'oct-HSM' }))
    requests.push(thereAndBack('oct/wrapkey', 'oct/unwrapkey', 'A256KW', 'value', VALUE));
  if (await made('ec', { kty: 'EC-HSM', crv: 'P-256' }))
    requests.push(thereAndBack('ec/sign', 'ec/verify', 'ES256', 'digest', true));
  if (await made('rsa', { kty: 'RSA-HSM', key_size: 2048 }))
    requests.push(
      thereAndBack('rsa/sign', 'rsa/verify', 'RS256', 'digest', true),
      thereAndBack('rsa/wrapkey', 'rsa/unwrapkey', 'RSA-OAEP-256', 'value', VALUE),
    );
  return requests;
}

/** How many were sent. */
function all({ statuses }: Sent): number {
  return Object.values(statuses)
    .flatMap((byStatus) => Object.values(byStatus))
    .reduce((sum, count) => sum + count, 0);
}

function rowOf(
  profile: string,
  garbage: Sent,
  victim: { requests: number; refused: readonly string[]; longestMs: number },
): string {
  const counts: Record<string, number> = {};
  for (const byStatus of Object.values(garbage.statuses))
    for (const [status, count] of Object.entries(byStatus))
      counts[status.slice(0, 1)] = (counts[status.slice(0, 1)] ?? 0) + count;
  const of = (kind: string) => String(counts[kind] ?? 0);
  return [
    ...[profile, String(all(garbage)), of('4'), of('2'), of('5')],
    ...[String(victim.requests), String(victim.refused.length), victim.longestMs.toFixed(0)],
  ].join('\t');
}
