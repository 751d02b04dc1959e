import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  constants,
  createHash,
  createPublicKey,
  type JsonWebKey,
  randomBytes,
  verify,
} from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../../support/free-port.ts';
import { buildModuleShim, hasCompiler, type ModuleShim } from '../../support/module-shim.ts';
import { useProduction } from '../../support/use-service.ts';

/** Of each call of the module: an operation makes several, one after the other. Far above what a busy machine does to a timer. */
const LATENCY_MS = 100;
const SESSIONS = 8;
const VALUE = Buffer.alloc(32, 7).toString('base64url');

const canBuild = await hasCompiler();
if (!canBuild) console.warn('skipped: no C compiler (cc)');

(canBuild ? describe : describe.skip)('with an HSM that takes its time', () => {
  let slow: ModuleShim;
  let metrics: string;
  const { production, admin, atEnd } = useProduction(async () => {
    const port = await freePort();
    metrics = `http://127.0.0.1:${String(port)}`;
    slow = await buildModuleShim({ parallel: SESSIONS });
    // Slow enough to be found slow; opening a module takes some hundred calls.
    await slow.setLatency(2);
    return {
      ...slow.environment,
      STRONGROOM_WORKERS: '1',
      STRONGROOM_SESSIONS: String(SESSIONS),
      STRONGROOM_METRICS_LISTEN: `127.0.0.1:${String(port)}`,
    };
  });
  afterAll(() => slow.remove());

  beforeAll(async () => {
    await admin('POST', '/keys/aes/create', { kty: 'oct-HSM' });
    await admin('POST', '/keys/ec/create', { kty: 'EC-HSM', crv: 'P-256' });
    await admin('POST', '/keys/rsa/create', { kty: 'RSA-HSM', key_size: 2048 });
    await slow.setLatency(LATENCY_MS);
    atEnd(() => slow.setLatency(0));
  }, 120_000);

  const post = async <Shape>(path: string, body: object): Promise<Shape> => {
    const answer = await admin('POST', path, body);
    expect([answer.status, answer.text]).toEqual([200, expect.any(String)]);
    return answer.json<Shape>();
  };
  const wrap = () => post<{ value: string }>('/keys/aes/wrapkey', { alg: 'A256KW', value: VALUE });

  /** As many callers as that, each one call after the other; milliseconds for all of them. */
  async function timeCalls(callers: number, calls: number): Promise<number> {
    const began = performance.now();
    await Promise.all(
      Array.from({ length: callers }, async () => {
        for (let call = 0; call < calls; call += 1) await wrap();
      }),
    );
    return performance.now() - began;
  }

  async function metric(name: string): Promise<number> {
    const text = await (await fetch(`${metrics}/metrics`)).text();
    return Number(new RegExp(`^${name}(?:\\{pool="main"\\})? (\\S+)$`, 'm').exec(text)?.[1]);
  }

  test('it is found to be slow', () => {
    expect(production.service.output()).toContain('the HSM is slow');
  });

  test('every operation gives what it gives elsewhere', async () => {
    const { value: wrapped } = await wrap();
    expect(await post('/keys/aes/unwrapkey', { alg: 'A256KW', value: wrapped })).toMatchObject({
      value: VALUE,
    });

    const sealed = await post<{ value: string; iv: string; tag: string }>('/keys/aes/encrypt', {
      ...{ alg: 'A256GCM', value: VALUE, aad: 'AAAA' },
    });
    const { value, iv, tag } = sealed;
    const opening = { alg: 'A256GCM', value, iv, tag };
    expect(await post('/keys/aes/decrypt', { ...opening, aad: 'AAAA' })).toMatchObject({
      value: VALUE,
    });
    const refused = await admin('POST', '/keys/aes/decrypt', {
      ...opening,
      aad: 'BBBB',
    });
    expect(refused.status).toBe(400);

    const oaep = { alg: 'RSA-OAEP-256', value: VALUE };
    const { value: encrypted } = await post<{ value: string }>('/keys/rsa/encrypt', oaep);
    expect(await post('/keys/rsa/decrypt', { ...oaep, value: encrypted })).toMatchObject({
      value: VALUE,
    });
  }, 60_000);

  test.each([
    ['ec', 'ES256', { dsaEncoding: 'ieee-p1363' }],
    ['rsa', 'RS256', {}],
    ['rsa', 'PS256', { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }],
  ] as const)('the key %s signs by %s what others accept', async (name, alg, options) => {
    const message = randomBytes(50);
    const digest = createHash('sha256').update(message).digest('base64url');
    const { value } = await post<{ value: string }>(`/keys/${name}/sign`, { alg, value: digest });
    const { key } = (await admin('GET', `/keys/${name}`)).json<{ key: JsonWebKey }>();
    const jwk = { ...key, kty: name.toUpperCase() };
    const publicKey = createPublicKey({ key: jwk, format: 'jwk' });
    const signature = Buffer.from(value, 'base64url');
    expect(verify('sha256', message, { key: publicKey, ...options }, signature)).toBe(true);
    const path = `/keys/${name}/verify`;
    expect(await post(path, { alg, digest, value })).toMatchObject({ value: true });
    expect(await post(path, { alg, digest: VALUE, value })).toMatchObject({ value: false });
  });

  test('its sessions work side by side, and the event loop waits for none of them', async () => {
    await metric('nodejs_eventloop_lag_p99_seconds');
    const calls = 4;
    const alone = await timeCalls(1, calls);
    const together = await timeCalls(SESSIONS, calls);
    const gain = (SESSIONS * alone) / together;
    const p99 = await metric('nodejs_eventloop_lag_p99_seconds');
    console.info(
      `${String(SESSIONS)} callers get ${gain.toFixed(1)} times what one gets; event loop's delay at p99 ${(p99 * 1000).toFixed(0)} ms with ${String(LATENCY_MS)} ms a call`,
    );
    expect(gain).toBeGreaterThan(3);
    // A loop that was blocked would be so for a call at the very least, each time.
    expect(p99).toBeGreaterThan(0);
    expect(p99).toBeLessThan(LATENCY_MS / 1000);
  }, 60_000);

  test('reads and health answer while all its sessions are taken', async () => {
    let isSaturated = true;
    const load = timeCalls(2 * SESSIONS, 2).then(() => (isSaturated = false));
    while ((await metric('strongroom_hsm_sessions_waiting')) < SESSIONS / 2) await delay(5);
    for (let read = 0; read < 5; read += 1)
      for (const path of ['/keys/aes', '/healthz'])
        expect((await admin('GET', path)).status).toBe(200);
    expect((await fetch(`${metrics}/readyz`)).status).toBe(200);
    expect(await metric('strongroom_hsm_sessions_in_use')).toBe(SESSIONS);
    expect(isSaturated).toBe(true);
    await load;
  }, 60_000);

  test('keys that are generated hold up nobody who uses one', async () => {
    const order: string[] = [];
    const note = (what: string) => () => order.push(what);
    await Promise.all([
      ...['a', 'b', 'c'].map((name) =>
        post(`/keys/new-${name}/create`, { kty: 'EC-HSM', crv: 'P-256' }).then(note('made')),
      ),
      ...['a', 'b', 'c'].map(() => wrap().then(note('wrapped'))),
    ]);
    expect(order.slice(-2)).toEqual(['made', 'made']);
  }, 60_000);

  test('changes that are sealed anew hold up nobody who reads, nor each other', async () => {
    await slow.setLatency(2);
    const names = Array.from({ length: 12 }, (_, index) => `resealed-${String(index)}`);
    for (const name of names) await post(`/keys/${name}/create`, { kty: 'EC-HSM', crv: 'P-256' });
    await slow.setLatency(500);
    let changed = 0;
    let reads = 0;
    const changes = Promise.all(
      names.map(async (name) => {
        const body = { key_ops: ['verify'] };
        const answer = await admin('PATCH', `/keys/${name}`, body);
        changed += 1;
        return answer.status;
      }),
    );
    // Each a query of its own: nothing of it is remembered.
    for (; changed === 0; reads += 1) {
      expect((await admin('GET', '/keys?maxresults=5')).status).toBe(200);
      expect((await fetch(`${metrics}/readyz`)).status).toBe(200);
    }
    expect(new Set(await changes)).toEqual(new Set([200]));
    await slow.setLatency(LATENCY_MS);
    console.info(`${String(reads)} reads were answered before the first of 12 changes`);
    expect(reads).toBeGreaterThan(10);
    for (const name of names) {
      const { key } = (await admin('GET', `/keys/${name}`)).json<{
        key: { key_ops: string[] };
      }>();
      expect(key.key_ops).toEqual(['verify']);
    }
  }, 60_000);

  test('twelve changes of one key, at once, are all made', async () => {
    await slow.setLatency(2);
    await post('/keys/resealed/create', { kty: 'EC-HSM', crv: 'P-256' });
    await slow.setLatency(20);
    const operations = [['sign'], ['verify'], ['sign', 'verify']];
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        admin('PATCH', '/keys/resealed', {
          ...(index % 4 === 3 ? { tags: { index: String(index) } } : {}),
          key_ops: operations[index % 3],
        }),
      ),
    );
    await slow.setLatency(LATENCY_MS);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    const digest = createHash('sha256').update('x').digest('base64url');
    const answer = await admin('GET', '/keys/resealed');
    const { key_ops } = answer.json<{ key: { key_ops: string[] } }>().key;
    const signed = await admin('POST', '/keys/resealed/sign', {
      alg: 'ES256',
      value: digest,
    });
    expect(signed.status).toBe(key_ops.includes('sign') ? 200 : 403);
  }, 60_000);
});
