import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { isFullExtent, sample } from '../../support/extent.ts';
import { makeGarbage, REACHING, sendGarbage } from '../../support/garbage.ts';
import { buildModuleShim, hasCompiler, type ModuleShim } from '../../support/module-shim.ts';
import { useProduction } from '../../support/use-service.ts';

/** What modules have been seen to answer to a ciphertext, a wrapped key or a signature that isn't right. */
const ANSWERS = [
  ['CKR_GENERAL_ERROR', 0x5],
  ['CKR_FUNCTION_FAILED', 0x6],
  ['CKR_ARGUMENTS_BAD', 0x7],
  ['CKR_DATA_LEN_RANGE', 0x21],
  ['CKR_DEVICE_ERROR', 0x30],
  ['CKR_DEVICE_REMOVED', 0x32],
  ['CKR_KEY_HANDLE_INVALID', 0x60],
  ['CKR_OPERATION_NOT_INITIALIZED', 0x91],
  ['CKR_SESSION_HANDLE_INVALID', 0xb3],
  ['CKR_TOKEN_NOT_PRESENT', 0xe0],
  ['a number of the vendor’s own', 0x80000042],
] as const;
const FUNCTIONS = ['Decrypt', 'DecryptFinal', 'UnwrapKey', 'Verify', 'VerifyFinal'];
const VALUE = randomBytes(32).toString('base64url');
const text = (bytes: number) => randomBytes(bytes).toString('base64url');

const canBuild = await hasCompiler();
if (!canBuild) console.warn('skipped: no C compiler (cc)');

(canBuild ? describe.each : describe.skip.each)([
  ['on the event loop', 0],
  ['in threads', 2],
])('a module with answers of its own, that is worked on %s', (_, latencyMs) => {
  let hsm: ModuleShim;
  const { production, admin } = useProduction(async () => {
    hsm = await buildModuleShim({ parallel: 8 });
    await hsm.setLatency(latencyMs);
    return { ...hsm.environment, STRONGROOM_WORKERS: '1' };
  });
  afterAll(() => hsm.remove());

  beforeAll(async () => {
    for (const [name, body] of [
      ['victim', { kty: 'oct-HSM' }],
      ['aes', { kty: 'oct-HSM' }],
      ['rsa', { kty: 'RSA-HSM', key_size: 2048 }],
      ['ec', { kty: 'EC-HSM', crv: 'P-256' }],
      ['kek', { kty: 'RSA-HSM', key_size: 2048, key_ops: ['import'] }],
    ] as const)
      expect((await admin('POST', `/keys/${name}/create`, body)).status).toBe(200);
    await hsm.setLatency(0);
  }, 120_000);

  const post = (path: string, body: object) => admin('POST', path, body);
  /** Each of them is wrong, and how wrong it is only the module can say. */
  const GARBAGE: readonly (readonly [string, () => Promise<{ status: number; text: string }>])[] = [
    ['RSA-OAEP', () => post('/keys/rsa/decrypt', { alg: 'RSA-OAEP', value: text(256) })],
    ['RSA1_5', () => post('/keys/rsa/unwrapkey', { alg: 'RSA1_5', value: text(256) })],
    ['A256KW', () => post('/keys/aes/unwrapkey', { alg: 'A256KW', value: text(40) })],
    [
      'A256GCM',
      () =>
        post('/keys/aes/decrypt', { alg: 'A256GCM', value: text(32), iv: text(12), tag: text(16) }),
    ],
    [
      'A256CBCPAD',
      () => post('/keys/aes/decrypt', { alg: 'A256CBCPAD', value: text(32), iv: text(16) }),
    ],
  ];

  /** One caller after the other until the work beside it is done; statuses, and how many. */
  async function victimOf(work: Promise<unknown>): Promise<Record<number, number>> {
    const seen: Record<number, number> = {};
    const state = { isDone: false };
    void work.finally(() => (state.isDone = true)).catch(() => undefined);
    do {
      const { status } = await post('/keys/victim/wrapkey', { alg: 'A256KW', value: VALUE });
      seen[status] = (seen[status] ?? 0) + 1;
      await delay(5);
    } while (!state.isDone);
    await work;
    return seen;
  }

  test.each(ANSWERS)(
    '%s to garbage is a 400 for its caller, and nothing for others',
    async (_name, code) => {
      await hsm.setAnswers(Object.fromEntries(FUNCTIONS.map((name) => [name, code])));
      const refused = new Map<string, Set<number>>();
      const garbage = Promise.all(
        GARBAGE.map(async ([name, send]) => {
          const statuses = new Set<number>();
          for (let turn = 0; turn < (isFullExtent ? 5 : 2); turn += 1)
            statuses.add((await send()).status);
          refused.set(name, statuses);
        }),
      );
      const seen = await victimOf(garbage);
      expect(Object.keys(seen)).toEqual(['200']);
      // Of random bytes one in 256 ends as a padding does.
      refused.get('A256CBCPAD')?.delete(200);
      for (const [name] of GARBAGE)
        expect([name, ...(refused.get(name) ?? [])]).toEqual([name, 400]);
      const digest = text(32);
      for (const [name, alg, bytes] of [
        ['rsa', 'RS256', 256],
        ['ec', 'ES256', 64],
      ] as const) {
        const answer = await post(`/keys/${name}/verify`, { alg, digest, value: text(bytes) });
        expect([answer.status, answer.json<{ value: boolean }>().value]).toEqual([200, false]);
      }
      expect(production.service.output()).not.toContain('the HSM is lost');
    },
    60_000,
  );

  test('garbage for any operation is an answer of its own to its caller, and nothing for others', async () => {
    await hsm.setAnswers(Object.fromEntries(FUNCTIONS.map((name) => [name, 0x30])));
    const all = await makeGarbage(admin, 'garbage');
    expect([...new Set(all.map(({ operation }) => operation))].sort()).toEqual(
      [...REACHING].sort(),
    );
    const sending = sendGarbage(
      admin,
      sample(all, ({ operation }) => operation, 5),
      4,
    );
    const seen = await victimOf(sending);
    expect(Object.keys(seen)).toEqual(['200']);
    expect((await sending).faults).toEqual([]);
    expect(production.service.output()).not.toContain('the HSM is lost');
  }, 120_000);

  test.each([
    ['CKR_DEVICE_ERROR', 0x30],
    ['CKR_GENERAL_ERROR', 0x5],
  ])('%s that passes refuses nothing that is right', async (_name, code) => {
    await hsm.setAnswers({});
    const wrapped = await post('/keys/aes/wrapkey', { alg: 'A256KW', value: VALUE });
    const { value } = wrapped.json<{ value: string }>();
    await hsm.setLines([`answer UnwrapKey 0x${code.toString(16)} for 1`]);
    try {
      const opened = await post('/keys/aes/unwrapkey', { alg: 'A256KW', value });
      expect([opened.status, opened.json<{ value: string }>().value]).toEqual([200, VALUE]);
    } finally {
      await hsm.setLines([]);
    }
  });

  test('a token that answers nothing else any more is lost, and comes back by itself', async () => {
    await hsm.setAnswers({ '*': 0x30 });
    const wrap = () => post('/keys/victim/wrapkey', { alg: 'A256KW', value: VALUE });
    expect((await wrap()).status).toBe(503);
    expect((await post('/keys/aes/unwrapkey', { alg: 'A256KW', value: text(40) })).status).toBe(
      503,
    );
    await hsm.setAnswers({});
    let status = 0;
    for (let turn = 0; turn < 600 && status !== 200; turn += 1) {
      ({ status } = await wrap());
      // Refusals are quick: asked without a pause, they would be over before the token is back.
      await delay(20);
    }
    expect(status).toBe(200);
    const lost = production.service.output().match(/the HSM is lost/g);
    expect(lost).toHaveLength(1);
  }, 60_000);
});
