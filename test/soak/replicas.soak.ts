import { randomBytes, randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import type { Caller } from '../support/client.ts';
import { canHaveMachines } from '../support/machines.ts';
import { startReplicas, type TestReplica, type TestReplicas } from '../support/replicas.ts';
import { ROLE } from '../support/roles.ts';
import { until } from '../support/until.ts';

/**
 * Three replicas with HSMs of their own, a primary and a synchronous standby, each on a machine of its own; callers who go
 * from one to the next as Azure's libraries retry. One replica is killed and comes back from an empty machine, one is cut off from
 * PostgreSQL, and the primary dies.
 */
const SEED = Number(process.env['STRONGROOM_TEST_SEED'] ?? Date.now() % 1_000_000);
const CALLERS = 6;
const MINUTES_MS = 60_000;
const CALM_MS = Number(process.env['STRONGROOM_TEST_CALM_MS'] ?? 8_000);
const WARM_MS = 20_000;
const MEASURED_MS = 10_000;
const ATTEMPT_LIMIT_MS = 12_000;
const CALL_LIMIT_MS = 90_000;
/** What is remembered of a key is at most as old; a revocation holds everywhere after as long. */
const REMEMBERED_MS = 1_000;

const isPossible = process.getuid?.() === 0 && canHaveMachines();
if (!isPossible) console.info('skipped: network namespaces are for root, on Linux with `ip`');

/** In [0, 1): the same ones for a seed (mulberry32). */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}
const random = createRandom(SEED);
const pick = <Thing>(things: readonly Thing[]): Thing => {
  const thing = things[Math.floor(random() * things.length)];
  if (thing === undefined) throw new TypeError('there is one');
  return thing;
};

(isPossible ? describe : describe.skip)(`three replicas (seed ${SEED})`, () => {
  let replicas: TestReplicas;
  let direct: ReadonlyMap<TestReplica, Caller & { close(): void }>;
  beforeAll(async () => {
    replicas = await startReplicas();
    direct = new Map(replicas.all.map((one) => [one, replicas.caller(one)]));
  }, 5 * MINUTES_MS);
  afterAll(async () => {
    for (const call of direct.values()) call.close();
    await replicas.remove();
  }, MINUTES_MS);

  /** What must be nothing at the end. */
  const wrong: string[] = [];
  const requestIds: string[] = [];
  const successes: number[] = [];
  let attempts = 0;
  let isOver = false;

  interface Done {
    readonly status: number;
    json<Shape>(): Shape;
    /** When the attempt that was answered had begun, and when its answer came. */
    readonly began: number;
    readonly ended: number;
  }

  async function attempt(
    call: Caller,
    given: readonly [string, string, unknown?],
  ): Promise<Done | undefined> {
    const began = performance.now();
    attempts += 1;
    const limit = new AbortController();
    const answer = await Promise.race([
      call(...given).catch(() => undefined),
      delay(ATTEMPT_LIMIT_MS, undefined, { signal: limit.signal }).catch(() => undefined),
    ]);
    limit.abort();
    if (answer === undefined) return undefined;
    if (answer.status < 300) {
      requestIds.push(String(answer.headers['x-ms-request-id']));
      successes.push(performance.now());
    } else if (answer.status >= 500 && answer.status !== 503)
      wrong.push(`${given[0]} ${given[1]}: ${answer.status} ${answer.text}`);
    else if (answer.status === 503 && answer.headers['retry-after'] === undefined)
      wrong.push(`${given[0]} ${given[1]}: 503 without Retry-After: ${answer.text}`);
    const ended = performance.now();
    return { status: answer.status, json: () => answer.json(), began, ended };
  }

  /** Goes on to the next replica while there is no answer, or one that asks for another try. */
  async function insist(
    callers: ReadonlyMap<TestReplica, Caller>,
    ...given: readonly [string, string, unknown?]
  ): Promise<Done> {
    const deadline = performance.now() + CALL_LIMIT_MS;
    let replica = pick([...callers.keys()]);
    for (let tries = 0; performance.now() < deadline; tries += 1) {
      const call = callers.get(replica);
      const done = call && (await attempt(call, given));
      if (done !== undefined && done.status !== 503 && done.status !== 429) return done;
      const others = [...callers.keys()];
      replica = others[(others.indexOf(replica) + 1) % others.length] ?? replica;
      await delay(Math.min(1_000, 50 * 2 ** tries) * (0.5 + random() / 2));
    }
    throw new Error(`no answer to ${given[0]} ${given[1]} within ${CALL_LIMIT_MS} ms`);
  }
  const admin = (...given: readonly [string, string, unknown?]) => insist(direct, ...given);
  const expectStatus = (done: Done, status: number, what: string) => {
    if (done.status !== status) wrong.push(`${what}: ${done.status}`);
  };

  const acknowledged: string[] = [];
  const numbers = new Map<string, number>();

  async function wrapAndUnwrap(): Promise<void> {
    const value = randomBytes(32).toString('base64url');
    const wrapped = await admin('POST', '/keys/shared/wrapkey', { alg: 'A256KW', value });
    expectStatus(wrapped, 200, 'wrap');
    const { value: blob } = wrapped.json<{ value: string }>();
    const unwrapped = await admin('POST', '/keys/shared/unwrapkey', { alg: 'A256KW', value: blob });
    if (unwrapped.json<{ value?: string }>().value !== value) wrong.push('another value unwrapped');
  }
  async function signAndVerify(): Promise<void> {
    const digest = randomBytes(32).toString('base64url');
    const signed = await admin('POST', '/keys/signing/sign', { alg: 'ES256', value: digest });
    expectStatus(signed, 200, 'sign');
    const { value } = signed.json<{ value: string }>();
    const verified = await admin('POST', '/keys/signing/verify', { alg: 'ES256', digest, value });
    if (verified.json<{ value?: boolean }>().value !== true) wrong.push('a signature not verified');
  }
  /** Its tags count up: no read may find a number that is smaller than one acknowledged a moment ago. */
  async function count(own: string): Promise<void> {
    const next = (numbers.get(own) ?? 0) + 1;
    const path = `/keys/${own}`;
    expectStatus(await admin('PATCH', path, { tags: { n: String(next) } }), 200, 'tag');
    const acknowledgedAt = performance.now();
    numbers.set(own, next);
    const read = await admin('GET', path);
    const found = Number(read.json<{ tags?: { n?: string } }>().tags?.n ?? 0);
    const least = read.began - acknowledgedAt > REMEMBERED_MS ? next : next - 1;
    if (found < least) wrong.push(`${own} is ${found}, and ${next} was acknowledged`);
  }
  async function create(): Promise<void> {
    const name = `made-${randomUUID()}`;
    const made = await admin('POST', `/keys/${name}/create`, { kty: 'EC-HSM', crv: 'P-256' });
    expectStatus(made, 200, 'create');
    acknowledged.push(name);
  }

  async function work(own: string): Promise<void> {
    while (!isOver) {
      const kind = random();
      if (kind < 0.5) await wrapAndUnwrap();
      else if (kind < 0.8) await signAndVerify();
      else if (kind < 0.95) await count(own);
      else await create();
    }
  }

  /** A guest gets a role and loses it: a second later nobody serves it any more. */
  let revocations = 0;
  async function inviteAndRevoke(): Promise<void> {
    const guestApp = (await admin('POST', '/v1.0/applications', { displayName: 'guest' })).json<{
      appId: string;
      id: string;
    }>();
    const guest = (await admin('POST', '/v1.0/servicePrincipals', { appId: guestApp.appId })).json<{
      id: string;
    }>();
    const password = await admin('POST', `/v1.0/applications/${guestApp.id}/addPassword`, {});
    const { secretText } = password.json<{ secretText: string }>();
    const token = await signIn(guestApp.appId, secretText);
    const callers = new Map(replicas.all.map((one) => [one, replicas.caller(one, token)]));
    const value = randomBytes(32).toString('base64url');
    const path = `/keys/shared/providers/Microsoft.Authorization/roleAssignments/${randomUUID()}`;
    const wrap = ['POST', '/keys/shared/wrapkey', { alg: 'A256KW', value }] as const;
    while (!isOver) {
      await admin('PUT', path, {
        properties: { roleDefinitionId: ROLE.encryptionUser, principalId: guest.id },
      });
      await delay(REMEMBERED_MS);
      expectStatus(await insist(callers, ...wrap), 200, 'a guest with a role');
      expectStatus(await admin('DELETE', path), 200, 'revocation');
      await delay(REMEMBERED_MS);
      for (const call of callers.values()) {
        const done = await attempt(call, wrap);
        if (done !== undefined && done.status < 300)
          wrong.push('a guest without a role was served');
      }
      revocations += 1;
      await delay(250);
    }
    for (const call of callers.values()) call.close();
  }
  async function signIn(clientId: string, clientSecret: string): Promise<string> {
    const form = new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: clientId,
      client_secret: clientSecret,
      scope: 'https://hsm.example/.default',
    });
    const [first] = replicas.all;
    const call = replicas.caller(first);
    const answer = await call('POST', '/adfs/oauth2/token', form.toString(), {
      'Content-Type': 'application/x-www-form-urlencoded',
    });
    call.close();
    return answer.json<{ access_token: string }>().access_token;
  }

  const report: string[] = [];
  /** The longest time without any success since then, in milliseconds. */
  function longestGap(since: number): number {
    const times = [since, ...successes.filter((time) => time > since).sort((a, b) => a - b)];
    return Math.round(Math.max(...times.slice(1).map((time, index) => time - (times[index] ?? 0))));
  }
  async function during(what: string, fault: () => Promise<void>): Promise<void> {
    const since = performance.now();
    const before = successes.length;
    await fault();
    await delay(CALM_MS);
    report.push(
      `${what}: ${successes.length - before} answers, longest gap ${longestGap(since)} ms`,
    );
  }

  test(
    'serve every key at once, and what a request costs with one, two and three of them is said',
    async () => {
      const [first, second, third] = replicas.all;
      await makeKeys(first);
      await replicas.join(second);
      await replicas.join(third);
      // What a process has not done a thousand times takes it longer.
      await load(replicas.all, WARM_MS);
      for (const on of [[first], [first, second], replicas.all])
        report.push(`${on.length} of 3 replicas: ${await measure(on)}`);
      await until(async () => {
        const now = (await admin('GET', '/replicas')).json<{
          replicas: readonly { status: string }[];
        }>().replicas;
        return now.filter(({ status }) => status === 'ready').length === 3;
      });
      // New root keys that one HSM makes would put the others out of service.
      await expect(replicas.strongroom(first, 'root-keys', 'rotate')).rejects.toMatchObject({
        stderr: expect.stringMatching(/another HSM, .*: replica-[23], replica-[23]\./),
      });
      expect(wrong).toEqual([]);
      console.log(report.join('\n'));
    },
    10 * MINUTES_MS,
  );

  async function makeKeys(first: TestReplica): Promise<void> {
    const call = direct.get(first);
    for (const [name, body] of [
      ['shared', { kty: 'oct-HSM', key_size: 256 }],
      ['signing', { kty: 'EC-HSM', crv: 'P-256' }],
    ] as const)
      expect((await call?.('POST', `/keys/${name}/create`, body))?.status).toBe(200);
  }

  /** Wraps by as many callers as ever. @returns how many */
  async function load(on: readonly TestReplica[], milliseconds: number): Promise<number> {
    const value = randomBytes(32).toString('base64url');
    const end = performance.now() + milliseconds;
    let requests = 0;
    const wrapOn = async () => {
      while (performance.now() < end) {
        const call = direct.get(pick(on));
        const answer = await call?.('POST', '/keys/shared/wrapkey', { alg: 'A256KW', value });
        if (answer?.status === 200) requests += 1;
      }
    };
    await Promise.all(Array.from({ length: 12 }, wrapOn));
    return requests;
  }

  /** What a wrap costs where these replicas share the load. */
  async function measure(on: readonly TestReplica[]): Promise<string> {
    const cpuOf = () => ({
      service: on.reduce((sum, one) => sum + cpuSeconds(one.service?.process.pid), 0),
      postgres: cpuSeconds(replicas.postgres.primaryPid) + cpuSeconds(replicas.postgres.standbyPid),
    });
    const before = cpuOf();
    const requests = await load(on, MEASURED_MS);
    const after = cpuOf();
    const each = (part: 'service' | 'postgres') =>
      Math.round(((after[part] - before[part]) / requests) * 1e6);
    return `${Math.round(requests / (MEASURED_MS / 1_000))} wraps a second, CPU of each: service ${each('service')} us, PostgreSQL (primary and standby) ${each('postgres')} us`;
  }

  test(
    'go on through the loss of a machine, of the way to the database, and of the primary',
    async () => {
      const callers = Array.from({ length: CALLERS }, (_, index) => `own-${index}`);
      for (const own of callers)
        expectStatus(await admin('POST', `/keys/${own}/create`, { kty: 'oct-HSM' }), 200, 'create');
      const all = Promise.all([...callers.map(work), inviteAndRevoke()]);
      await during('calm', () => Promise.resolve());
      const killed = pick(replicas.all);
      await during('a replica is killed', async () => {
        await replicas.replaceMachine(killed);
      });
      await during('it comes back from an empty machine', () => replicas.join(killed));
      const cut = pick(replicas.all.filter((one) => one !== killed));
      await during('a replica is cut off from PostgreSQL', async () => {
        cut.machine.cutOff();
        await delay(10_000);
      });
      await during('it gets its way back', () => {
        cut.machine.mend();
        return Promise.resolve();
      });
      await during('the primary dies, and its standby is promoted 2 s later', async () => {
        await replicas.postgres.killPrimary();
        await delay(2_000);
        await replicas.postgres.promoteStandby();
      });
      await during('calm again', () => Promise.resolve());
      isOver = true;
      await all;
      report.push(
        `${attempts} attempts, ${successes.length} answered, ${acknowledged.length} keys made, ${revocations} revocations`,
      );
      console.log(report.join('\n'));
      expect(wrong).toEqual([]);
      for (const one of replicas.all)
        await until(async () => (await direct.get(one)?.('GET', '/readyz'))?.status === 200);
      await requireAllThere();
    },
    20 * MINUTES_MS,
  );

  async function requireAllThere(): Promise<void> {
    const client = new pg.Client({ connectionString: replicas.postgres.urls[1] });
    await client.connect();
    const missing = async (given: readonly string[], query: string) => {
      const { rows } = await client.query<{ found: string }>(query, [given]);
      const found = new Set(rows.map((row) => row.found));
      return given.filter((one) => !found.has(one));
    };
    try {
      expect(
        await missing(acknowledged, 'select name as found from key where name = any($1)'),
      ).toEqual([]);
      expect(
        await missing(
          requestIds,
          'select request_id::text as found from audit_event where request_id = any($1::uuid[])',
        ),
      ).toEqual([]);
    } finally {
      await client.end();
    }
    for (const [own, number] of numbers) {
      const read = await admin('GET', `/keys/${own}`);
      expect(Number(read.json<{ tags: { n: string } }>().tags.n)).toBeGreaterThanOrEqual(number);
    }
    expect(await replicas.strongroom(replicas.all[1], 'audit', 'verify')).toMatch(
      /is what was written/,
    );
  }
});

/** Of a process and all below it. */
function cpuSeconds(pid: number | undefined): number {
  if (pid === undefined) return 0;
  const table = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        // After the name in brackets, from the third field on (proc(5)).
        const [, ...fields] = readFileSync(`/proc/${name}/stat`, 'utf8').split(/^.*\) /s);
        const [, parent = '', ...others] = (fields[0] ?? '').split(' ');
        const ticks = others.slice(9, 13).reduce((sum, text) => sum + Number(text), 0);
        return [{ pid: Number(name), parent: Number(parent), ticks }];
      } catch {
        return [];
      }
    });
  const below = new Set([pid]);
  for (let size = 0; size !== below.size;) {
    size = below.size;
    for (const one of table) if (below.has(one.parent)) below.add(one.pid);
  }
  return table.reduce((sum, one) => (below.has(one.pid) ? sum + one.ticks / 100 : sum), 0);
}
