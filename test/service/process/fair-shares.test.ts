import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { get } from 'node:https';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { makePrincipal } from '../../support/administrator.ts';
import { type Answer, type Caller, createCaller } from '../../support/client.ts';
import { isFullExtent } from '../../support/extent.ts';
import { ROLE } from '../../support/roles.ts';
import { useService } from '../../support/use-service.ts';

/**
 * The load that one caller makes is one caller's: each known way of taking more than one's share, with a victim beside it
 * whose requests must all be answered. How fast is printed, not asserted.
 */

/** The attacks are smaller in `npm test` than in the soak, and so is what the service may have open, which has one worker process then. */
const SCALE = isFullExtent ? 2 : 1;
const OPEN_FILES = isFullExtent ? 1_024 : 512;
const PAUSE_MS = 20;
/** Requests of the victim when the attack is over. */
const AFTERWARDS = 10;
const STREAMS = 30 * SCALE;
/** How long connections are held. */
const HELD_MS = 1_500 * SCALE;
/** Of the largest body that is read. */
const PART = isFullExtent ? 1 : 1 / 3;
const LARGE_BITS = isFullExtent ? 4096 : 3072;
const VALUE = Buffer.alloc(32, 7).toString('base64url');

const { service, admin, atEnd } = useService(
  { STRONGROOM_WORKERS: String(SCALE) },
  { openFiles: OPEN_FILES },
);
let victim: Caller & { close(): void };
const figures: string[] = [];
beforeAll(async () => {
  await admin('POST', '/keys/victims/create', { kty: 'oct-HSM' });
  victim = await callerWith(ROLE.encryptionUser, '/keys/victims');
}, 120_000);
afterAll(() => {
  process.stdout.write(
    `victim beside   requests  p50 ms  p99 ms  longest ms\n${figures.join('\n')}\n`,
  );
});
type Attacker = Caller & { readonly token: string; close(): void };

/** A principal of its own with one role. */
async function callerWith(role: string, scope = ''): Promise<Attacker> {
  const { id, token, call } = await makePrincipal(admin, service);
  atEnd(call);
  const assignment = `${scope}/providers/Microsoft.Authorization/roleAssignments/${randomUUID()}`;
  const answer = await admin('PUT', assignment, {
    properties: { roleDefinitionId: role, principalId: id },
  });
  expect(answer.status).toBe(201);
  return Object.assign(call, { token });
}

/** Wraps with the victim's key as long as `attack` goes on, and a while longer; every request must have been answered. */
async function expectVictimServed<T>(name: string, attack: () => Promise<T>): Promise<T> {
  let after = 0;
  const progress = { isOver: false };
  const under = attack().finally(() => {
    progress.isOver = true;
  });
  under.catch(() => undefined);
  const statuses: number[] = [];
  const times: number[] = [];
  while (!progress.isOver || after < AFTERWARDS) {
    const began = performance.now();
    const { status } = await victim('POST', '/keys/victims/wrapkey', {
      alg: 'A256KW',
      value: VALUE,
    });
    times.push(performance.now() - began);
    statuses.push(status);
    after = progress.isOver ? after + 1 : 0;
    await delay(PAUSE_MS);
  }
  const result = await under;
  times.sort((a, b) => a - b);
  const at = (part: number) =>
    (times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? 0).toFixed(0);
  figures.push(
    `${name.padEnd(44)} ${times.length}  ${at(0.5)}  ${at(0.99)}  ${(times.at(-1) ?? 0).toFixed(0)}`,
  );
  expect(statuses.filter((status) => status !== 200)).toEqual([]);
  // None of it may cost a process.
  expect(service.output()).not.toMatch(/worker process (?:ended|is silent)|driver call hangs/);
  return result;
}

const statusesOf = (answers: readonly Answer[]) => [
  ...new Set(answers.map(({ status }) => status)),
];
const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index));

/** Connections of one client; `then` is done with each once it is there. They are closed at the end. */
async function holding<T>(count: number, open: () => Socket, use: () => Promise<T>): Promise<T> {
  const sockets = times(count, () => open().on('error', () => undefined));
  try {
    return await use();
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

test('restores of blobs that are millions of dots', async () => {
  const restorer = await callerWith(ROLE.restore);
  const value = Buffer.from('.'.repeat(11_900_000 * PART)).toString('base64url');
  const answers = await expectVictimServed('four restores of dots', () =>
    Promise.all(times(4, () => restorer('POST', '/keys/restore', { value }))),
  );
  expect(statusesOf(answers)).toEqual([400]);
});

test('restores whose bodies are megabytes of JSON that is something else', async () => {
  const restorer = await callerWith(ROLE.restore);
  const half = 8_000_000 * PART;
  const body = `${'['.repeat(half)}${']'.repeat(half)}`;
  const answers = await expectVictimServed('four restores of arrays in arrays', () =>
    Promise.all(times(4, () => restorer('POST', '/keys/restore', body))),
  );
  expect(statusesOf(answers)).toEqual([400]);
});

test('restores of blobs that begin as ours do', async () => {
  const restorer = await callerWith(ROLE.restore);
  await admin('POST', '/keys/copied/create', { kty: 'EC-HSM' });
  const { value: ours } = (await admin('POST', '/keys/copied/backup')).json<{ value: string }>();
  const value = `${ours.slice(0, 160)}${'QUJD'.repeat(2_900_000 * PART)}`;
  const answers = await expectVictimServed('twelve restores of long altered blobs', () =>
    Promise.all(times(12, () => restorer('POST', '/keys/restore', { value }))),
  );
  // Those for whom there is no place are told to come again.
  expect(answers.map(({ status }) => status).every((status) => [400, 429].includes(status))).toBe(
    true,
  );
});

test('filters of spaces', async () => {
  const filter = encodeURIComponent(`x${' '.repeat(510)}'`);
  const answers = await expectVictimServed('filters of spaces', async () => {
    const all: Answer[] = [];
    for (let round = 0; round < 10 * SCALE; round += 1)
      all.push(
        ...(await Promise.all(
          times(10, () => admin('GET', `/v1.0/applications?$filter=${filter}`)),
        )),
      );
    return all;
  });
  expect(statusesOf(answers)).toEqual([400]);
});

test('connections that never say anything, three times as many as files may be open', async () => {
  await expectVictimServed('connections that say nothing', () =>
    holding(
      3 * OPEN_FILES,
      () => connect(service.port, '127.0.0.1'),
      () => delay(HELD_MS),
    ),
  );
});

test('connections that shake hands and ask nothing', async () => {
  await expectVictimServed('silent TLS connections', () =>
    holding(
      SCALE * OPEN_FILES,
      () => connectTls({ port: service.port, host: '127.0.0.1', rejectUnauthorized: false }),
      () => delay(HELD_MS),
    ),
  );
});

test('connections that ask once and stay', async () => {
  await expectVictimServed('idle connections', () =>
    holding(
      SCALE * OPEN_FILES,
      () => {
        const socket = connectTls({
          port: service.port,
          host: '127.0.0.1',
          rejectUnauthorized: false,
        });
        socket.once('secureConnect', () => {
          socket.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
        });
        return socket;
      },
      () => delay(HELD_MS),
    ),
  );
  // New clients find a place.
  const stranger = createCaller(service);
  expect((await stranger('GET', '/healthz')).status).toBe(200);
  stranger.close();
});

test('requests that say half of what they announce', async () => {
  const head = 'POST /keys/victims/wrapkey HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n';
  await expectVictimServed('halves of requests', () =>
    holding(
      125 * SCALE,
      () => {
        const socket = connectTls({
          port: service.port,
          host: '127.0.0.1',
          rejectUnauthorized: false,
        });
        socket.once('secureConnect', () => {
          socket.write(`${head}\r\n{"alg":`);
        });
        return socket;
      },
      () => delay(HELD_MS),
    ),
  );
});

/** The status of a stream, which stays open until the signal. */
function openStream(token: string, signal: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    get(
      {
        ...{ host: 'localhost', port: service.port, ca: service.ca, agent: false, signal },
        path: '/audit/stream',
        headers: { Authorization: `Bearer ${token}` },
      },
      (incoming) => {
        incoming.on('error', () => undefined).resume();
        resolve(incoming.statusCode ?? 0);
      },
    ).on('error', reject);
  });
}

test('streams of the audit log', async () => {
  const auditor = await callerWith(ROLE.auditor);
  const closing = new AbortController();
  setMaxListeners(STREAMS, closing.signal);
  const statuses = await expectVictimServed(`${String(STREAMS)} streams of the audit log`, () =>
    Promise.all(times(STREAMS, () => openStream(auditor.token, closing.signal))),
  );
  closing.abort();
  expect(new Set(statuses)).toEqual(new Set([200, 429]));
});

test('verifications of the audit log', async () => {
  const auditor = await callerWith(ROLE.auditor);
  const answers = await expectVictimServed('20 verifications at once', () =>
    Promise.all(times(20, () => auditor('POST', '/audit/verify', {}))),
  );
  for (const { status } of answers) expect([200, 429]).toContain(status);
});

test('long reads of the audit log', async () => {
  const auditor = await callerWith(ROLE.auditor);
  const answers = await expectVictimServed('40 reads of 1,000 records', () =>
    Promise.all(times(40, () => auditor('GET', '/audit/events?maxresults=1000&operation=KeyWrap'))),
  );
  for (const { status } of answers) expect([200, 429]).toContain(status);
});

test('the largest keys, two at a time', async () => {
  await admin('POST', '/keys/theirs/create', { kty: 'EC-HSM' });
  const user = await callerWith(ROLE.user, '/keys/theirs');
  const create = () =>
    user('POST', '/keys/theirs/create', { kty: 'RSA-HSM', key_size: LARGE_BITS });
  const answers = await expectVictimServed('large RSA keys, two at a time', async () => {
    const all: Answer[] = [];
    for (let round = 0; round < SCALE; round += 1)
      all.push(...(await Promise.all([create(), create()])));
    return all;
  });
  for (const { status } of answers) expect([200, 429, 503]).toContain(status);
  expect(answers.some(({ status }) => status === 200)).toBe(true);
}, 180_000);

test('changes of one key, twelve at once', async () => {
  await admin('POST', '/keys/changed/create', { kty: 'RSA-HSM' });
  const user = await callerWith(ROLE.user, '/keys/changed');
  const answers = await expectVictimServed('changes of key_ops, twelve at once', () =>
    Promise.all(
      times(12, (index) =>
        user('PATCH', '/keys/changed', {
          key_ops: index % 2 === 0 ? ['sign', 'verify'] : ['encrypt', 'decrypt'],
        }),
      ),
    ),
  );
  for (const { status } of answers) expect([200, 409, 429]).toContain(status);
});

test('signatures of a large key, as many as one can ask for', async () => {
  await admin('POST', '/keys/large/create', { kty: 'RSA-HSM', key_size: LARGE_BITS });
  const user = await callerWith(ROLE.user, '/keys/large');
  const sign = () => user('POST', '/keys/large/sign', { alg: 'RS256', value: VALUE });
  const answers = await expectVictimServed('large RSA signatures, 32 at a time', () =>
    Promise.all(times(100 * SCALE, sign)),
  );
  for (const { status } of answers) expect([200, 429]).toContain(status);
}, 180_000);

test('credentials that are refused', async () => {
  const stranger = createCaller(service, 'a.b.c', { localAddress: '127.0.0.9' });
  const answers = await expectVictimServed('bad tokens of one address', () =>
    Promise.all(times(2_000, () => stranger('GET', '/keys'))),
  );
  stranger.close();
  expect(new Set(statusesOf(answers))).toEqual(new Set([401, 429]));
});

test('secrets that are guessed', async () => {
  const stranger = createCaller(service, undefined, { localAddress: '127.0.0.8' });
  const body = `grant_type=client_credentials&client_id=${service.client['AZURE_CLIENT_ID'] ?? ''}&client_secret=wrong&resource=https://strongroom.localhost`;
  const answers = await expectVictimServed('guesses of a secret', () =>
    Promise.all(
      times(50 * SCALE, () =>
        stranger('POST', '/adfs/oauth2/token', body, {
          'Content-Type': 'application/x-www-form-urlencoded',
        }),
      ),
    ),
  );
  stranger.close();
  for (const { status } of answers) expect([400, 401, 429]).toContain(status);
}, 180_000);
