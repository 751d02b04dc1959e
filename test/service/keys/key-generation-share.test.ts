import { beforeAll, describe, expect, test } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { registerCertificate, signInByCertificate } from '../../support/certificate-sign-in.ts';
import { type Answer, type Caller, createCaller } from '../../support/client.ts';
import { assignRole, makeClient } from '../../support/directory.ts';
import { freePort } from '../../support/free-port.ts';
import { ROLE } from '../../support/roles.ts';
import { useService } from '../../support/use-service.ts';

/** On one worker process, which makes keys in a thread beside the one that serves. */
let metrics: string;
const { service, admin, atEnd } = useService(async () => {
  const port = await freePort();
  metrics = `http://127.0.0.1:${String(port)}/metrics`;
  return { STRONGROOM_WORKERS: '1', STRONGROOM_METRICS_LISTEN: `127.0.0.1:${String(port)}` };
});
let victim: Caller & { close(): void };
let greedy: Caller & { close(): void };

beforeAll(async () => {
  const made = async (name: string, body: object) => {
    expect((await admin('POST', `/keys/${name}/create`, body)).status).toBe(200);
  };
  await made('victims', { kty: 'oct-HSM' });
  await made('signing', { kty: 'RSA-HSM', key_size: 4096 });
  await made('theirs', { kty: 'EC-HSM' });
  victim = await userOf('victims');
  greedy = await userOf('theirs');
  atEnd(victim);
  atEnd(greedy);
}, 120_000);

/** A Crypto User at one key, and nowhere else. */
async function userOf(key: string) {
  const client = await makeClient(admin, `user of ${key}`);
  await registerCertificate(admin, client);
  await assignRole(admin, ROLE.user, client.principalId, `/keys/${key}`);
  return createCaller(service, await signInByCertificate(service, client.appId));
}

const wrap = () =>
  victim('POST', '/keys/victims/wrapkey', {
    alg: 'A256KW',
    value: Buffer.alloc(32, 7).toString('base64url'),
  });
const create = (call: Caller, key: string, bits: number) =>
  call('POST', `/keys/${key}/create`, { kty: 'RSA-HSM', key_size: bits });

/** How often each status was answered, by one call after the other while `isOn`. */
async function countWhile(isOn: () => boolean, call: () => Promise<Answer>) {
  const counts: Record<number, number> = {};
  do {
    const { status } = await call();
    counts[status] = (counts[status] ?? 0) + 1;
  } while (isOn());
  return counts;
}

/** As many callers as that do the same again and again while the work is done. */
async function during(
  callers: number,
  call: () => Promise<Answer>,
  work: () => Promise<void>,
): Promise<readonly Record<number, number>[]> {
  let isOn = true;
  const load = Promise.all(Array.from({ length: callers }, () => countWhile(() => isOn, call)));
  try {
    await work();
  } finally {
    isOn = false;
  }
  return load;
}

async function newestCheckpoint(): Promise<number> {
  const text = (await admin('GET', '/audit/checkpoints?maxresults=1000')).json<{
    value: { number: number }[];
  }>();
  return Math.max(0, ...text.value.map(({ number }) => number));
}

describe('beside one who makes RSA-4096 keys, two at a time', () => {
  test('others are served, all of them, and the audit log goes on being signed', async () => {
    const alone = await countFor(300);
    const before = await newestCheckpoint();
    const beside: Record<number, number>[] = [];
    const made = await during(
      2,
      () => create(greedy, 'theirs', 4096),
      async () => {
        // For as long as it takes until the log has been signed again.
        for (let second = 0; second < 40; second += 1) {
          beside.push(await countFor(1_000));
          if (second >= 2 && (await newestCheckpoint()) > before) return;
        }
      },
    );
    const keys = sum(made.map((counts) => counts[200] ?? 0));
    const wraps = sum(beside.map((counts) => counts[200] ?? 0));
    console.info(
      `alone ${String(alone[200])} wraps in 0.3 s; beside ${String(keys)} keys made ${String(wraps)} in ${String(beside.length)} s`,
    );
    expect(new Set(beside.flatMap((counts) => Object.keys(counts)))).toEqual(new Set(['200']));
    expect(keys).toBeGreaterThan(0);
    // One call at a time would be a wrap or two for each key.
    expect(wraps).toBeGreaterThan(10 * keys);
    expect(await newestCheckpoint()).toBeGreaterThan(before);
    expect(service.output()).not.toContain('could not be signed');
  }, 120_000);

  test('whoever wants many at once gets some and is told to come again, and nobody else is', async () => {
    const wanted = Array.from({ length: 20 }, () => create(greedy, 'theirs', 2048));
    const other = create(admin, 'administrators', 2048);
    const answers = await Promise.all(wanted);
    expect((await other).status).toBe(200);
    const refused = answers.filter(({ status }) => status !== 200);
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.length).toBeLessThan(20);
    for (const { status, headers, text } of refused)
      expect([status, headers['retry-after'], text]).toEqual([
        429,
        expect.stringMatching(/^\d+$/),
        expect.stringContaining('Too many keys are being made for this principal'),
      ]);
  }, 120_000);

  test('another’s key is made before the last of theirs', async () => {
    const order: string[] = [];
    const theirs = Array.from({ length: 6 }, () =>
      create(greedy, 'theirs', 2048).then(() => order.push('theirs')),
    );
    const others = create(admin, 'administrators', 2048).then(() => order.push('other'));
    await Promise.all([...theirs, others]);
    expect(order.indexOf('other')).toBeLessThan(3);
  }, 120_000);
});

test('beside a crowd of RSA-4096 signatures others have their turns', async () => {
  const digest = randomBytes(32).toString('base64url');
  const sign = () => admin('POST', '/keys/signing/sign', { alg: 'RS256', value: digest });
  expect((await wrap()).status).toBe(200);
  const before = [await hsmTime('encrypt'), await hsmTime('sign')] as const;
  let wraps: Record<number, number> = {};
  const signed = await during(16, sign, async () => {
    wraps = await countFor(1_500);
  });
  const [wrapMs, signMs] = [
    meanMs(before[0], await hsmTime('encrypt')),
    meanMs(before[1], await hsmTime('sign')),
  ];
  console.info(
    `${String(sum(signed.map((counts) => counts[200] ?? 0)))} signatures, each ${signMs.toFixed(0)} ms with its wait for the HSM; ${String(wraps[200])} wraps, each ${wrapMs.toFixed(0)} ms`,
  );
  expect(Object.keys(wraps)).toEqual(['200']);
  // In one line a wrap would wait for sixteen signatures, as they do for each other; in lines of their own for one.
  expect(wrapMs).toBeLessThan(signMs / 3);
}, 60_000);

interface HsmTime {
  readonly seconds: number;
  readonly count: number;
}

/** What the HSM has been asked of a kind, and how long callers waited for it. */
async function hsmTime(operation: string): Promise<HsmTime> {
  const text = await (await fetch(metrics)).text();
  const of = (what: string) =>
    [
      ...text.matchAll(
        new RegExp(`^\\S+duration_seconds_${what}{operation="${operation}"\\S* (\\S+)$`, 'gm'),
      ),
    ].map(([, value]) => Number(value));
  return { seconds: sum(of('sum')), count: sum(of('count')) };
}

function meanMs(before: HsmTime, after: HsmTime): number {
  return (1000 * (after.seconds - before.seconds)) / (after.count - before.count);
}

/** The victim's wraps, one after the other, for so long. */
function countFor(ms: number) {
  const end = performance.now() + ms;
  return countWhile(() => performance.now() < end, wrap);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
