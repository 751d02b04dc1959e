import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { setTimeout as delay } from 'node:timers/promises';
import { buildModuleShim, hasCompiler, type ModuleShim } from '../../support/module-shim.ts';
import { until } from '../../support/until.ts';
import { useProduction } from '../../support/use-service.ts';

const VALUE = Buffer.alloc(32, 7).toString('base64url');
const CKR_DEVICE_ERROR = 0x30;
const CKR_DEVICE_REMOVED = 0x32;
const CKR_PIN_INCORRECT = 0xa0;
/** Shorter than callers wait. */
const AWAY_MS = 300;
const CALLERS = 10;
/** Longer than it is waited for until there is another login: had there been one, it would be seen. */
const NO_MORE_MS = 6_000;

const canBuild = await hasCompiler();
if (!canBuild) console.warn('skipped: no C compiler (cc)');

(canBuild ? describe : describe.skip)('a token that goes away', () => {
  let hsm: ModuleShim;
  const { production, admin } = useProduction(async () => {
    hsm = await buildModuleShim();
    return { ...hsm.environment, STRONGROOM_WORKERS: '1' };
  });
  afterAll(() => hsm.remove());

  beforeAll(async () => {
    for (const [name, kty] of [
      ['aes', 'oct-HSM'],
      ['ec', 'EC-HSM'],
      ['made', 'oct-HSM'],
    ] as const)
      expect((await admin('POST', `/keys/${name}/create`, { kty })).status).toBe(200);
  });

  const wrap = () => admin('POST', '/keys/aes/wrapkey', { alg: 'A256KW', value: VALUE });
  const sign = () => admin('POST', '/keys/ec/sign', { alg: 'ES256', value: VALUE });
  const make = () => admin('POST', '/keys/made/create', { kty: 'oct-HSM' });
  async function versions(): Promise<number> {
    let count = 0;
    for (let path: string | undefined = '/keys/made/versions'; path !== undefined;) {
      const page: { value: unknown[]; nextLink?: string } = (await admin('GET', path)).json();
      count += page.value.length;
      const next = page.nextLink && new URL(page.nextLink);
      path = next ? `${next.pathname}${next.search}` : undefined;
    }
    return count;
  }
  const losses = () => production.service.output().match(/the HSM is lost/g)?.length ?? 0;

  /** What callers get, each one call after the other, while the token is away for a while and until it has been back for a while. */
  async function callers(call: () => Promise<{ status: number }>): Promise<Map<number, number>> {
    const seen = new Map<number, number>();
    const state = { isOver: false };
    const calls = Array.from({ length: CALLERS }, async () => {
      while (!state.isOver) {
        const { status } = await call();
        seen.set(status, (seen.get(status) ?? 0) + 1);
      }
    });
    const before = losses();
    await delay(100);
    await hsm.setAnswers({ '*': CKR_DEVICE_ERROR });
    await delay(AWAY_MS);
    await hsm.setAnswers({});
    await until(async () => (await wrap()).status === 200);
    await delay(200);
    state.isOver = true;
    await Promise.all(calls);
    expect(losses()).toBe(before + 1);
    return seen;
  }

  test.each([
    ['wraps', wrap],
    ['signs', sign],
  ])('for a moment costs nobody who %s an answer', async (_, call) => {
    const seen = await callers(call);
    expect([...seen.keys()]).toEqual([200]);
    expect(seen.get(200)).toBeGreaterThan(CALLERS);
  });

  test('while keys are made has none made twice', async () => {
    const before = await versions();
    const seen = await callers(make);
    seen.delete(503);
    expect([...seen.keys()]).toEqual([200]);
    expect((await versions()) - before).toBe(seen.get(200));
  }, 60_000);

  test('for longer is waited for, and then the answer is a 503 that says when to come again', async () => {
    await hsm.setAnswers({ '*': CKR_DEVICE_ERROR });
    expect((await wrap()).status).toBe(503);
    const began = performance.now();
    const answer = await wrap();
    expect(performance.now() - began).toBeGreaterThan(1_900);
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '5']);
    expect(answer.json<{ error: { code: string } }>().error.code).toBe('HsmUnavailable');
    await hsm.setAnswers({});
    await until(async () => (await wrap()).status === 200);
  }, 60_000);

  test('and refuses the PIN when it is there again is asked for no further login', async () => {
    const refusals = () =>
      production.service.output().match(/the HSM refuses the PIN/g)?.length ?? 0;
    await hsm.setAnswers({ '*': CKR_DEVICE_REMOVED });
    await until(async () => (await make()).status === 503);
    await hsm.setLines([`answer Login ${String(CKR_PIN_INCORRECT)}`]);
    await hsm.setAnswers({});
    await until(() => refusals() > 0);
    await hsm.setLines([]);
    await delay(NO_MORE_MS);
    expect(refusals()).toBe(1);
    expect((await make()).status).toBe(503);
  }, 60_000);
});
