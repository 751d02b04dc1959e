import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { join } from 'node:path';
import { AES_SIZES, CURVE, CURVES } from '../../../src/core/operations/algorithms.ts';
import { type Caller, createCaller, fetchToken } from '../../support/client.ts';
import { buildModuleShim, hasCompiler, type ModuleShim } from '../../support/module-shim.ts';
import { bootstrap, type PreparedProduction, prepareProduction } from '../../support/production.ts';
import { ROLE } from '../../support/roles.ts';
import { type RunningService, startService } from '../../support/service.ts';

const VALUE = Buffer.alloc(32, 7).toString('base64url');

/** A key of each type, size and curve, and what shows that its private part was opened. */
const KEYS = [
  ['rsa-2048', { kty: 'RSA-HSM', key_size: 2048 }, 'RS256'],
  ...CURVES.map((crv) => [`ec-${crv}`, { kty: 'EC-HSM', crv }, CURVE[crv].algorithm] as const),
  ...AES_SIZES.map(
    (bits) => [`oct-${bits}`, { kty: 'oct-HSM', key_size: bits }, `A${bits}KW`] as const,
  ),
] as const;

const canBuild = await hasCompiler();
if (!canBuild) console.warn('skipped: no C compiler (cc)');

(canBuild ? describe.each : describe.skip.each)([
  [
    'from RFC 5649 as 0x210A to 0x210B, and then to one with PKCS #7 as 0x210A',
    [],
    [['profile kwp-only'], ['profile pkcs7-pad']],
  ],
  [
    'from no RFC 5649 at all, where keys are wrapped by AES-GCM',
    ['profile no-kwp'],
    [['offer mechanism 0x1087 as gcm-wrap']],
  ],
  [
    'from one in which AES-CBC with padding alone wraps keys, to one that wraps by AES-GCM as well',
    ['hide mechanism 0x2109 0x210a 0x210b', 'offer mechanism 0x1085 as cbc-pad-wrap'],
    [['profile no-kwp']],
  ],
])('an update of the module %s', (_, before, updates) => {
  let hsm: ModuleShim;
  let prepared: PreparedProduction;
  let service: RunningService | undefined;
  let caller: (Caller & { close(): void }) | undefined;

  async function start(): Promise<Caller> {
    const { place, settings, caFile, credentials } = prepared;
    service = await startService(join(place, 'unused'), settings, { caFile });
    caller = createCaller(
      service,
      await fetchToken(service, credentials, `https://${settings['STRONGROOM_DOMAIN'] ?? ''}`),
    );
    return caller;
  }

  async function stop(): Promise<void> {
    caller?.close();
    await service?.stop();
    service = undefined;
  }

  beforeAll(async () => {
    hsm = await buildModuleShim({ lines: before });
    const settings = { ...hsm.environment, STRONGROOM_WORKERS: '1' };
    // The run's pool was made with a module as it is without any line.
    prepared = await (before.length === 0 ? prepareProduction(settings) : bootstrap(settings));
  }, 120_000);
  afterAll(async () => {
    await stop();
    await prepared.remove();
    await hsm.remove();
  });

  test('opens all keys that were made before it, and those that are made after it', async () => {
    const evidence = new Map<string, { wrapped?: string | boolean; mac?: string | boolean }>();
    let admin = await start();
    const post = async (path: string, body: object) => {
      const answer = await admin('POST', `/keys/${path}`, body);
      expect([path, answer.status, answer.text]).toEqual([path, 200, answer.text]);
      return answer.json<{ value: string | boolean }>().value;
    };
    for (const role of [ROLE.officer, ROLE.user])
      await admin('PUT', `/providers/Microsoft.Authorization/roleAssignments/${role}`, {
        properties: { roleDefinitionId: role, principalId: prepared.credentials.principalId },
      });

    /** What was opened, and what it should be: a value wrapped once, and an HMAC that is the same each time. */
    const useSecret = async (key: string, alg: string) => {
      const known = evidence.get(key);
      const wrapped = known?.wrapped ?? (await post(`${key}/wrapkey`, { alg, value: VALUE }));
      const mac = await post(`${key}/sign`, { alg: 'HS256', value: VALUE });
      evidence.set(key, { wrapped, mac });
      const opened = await post(`${key}/unwrapkey`, { alg, value: wrapped });
      return { is: [opened, mac], shouldBe: [VALUE, known?.mac ?? mac] };
    };
    const useSigner = async (key: string, alg: string) => {
      const bytes = alg === 'ES384' ? 48 : alg === 'ES512' ? 64 : 32;
      const digest = Buffer.alloc(bytes, 5).toString('base64url');
      const value = await post(`${key}/sign`, { alg, value: digest });
      evidence.set(key, {});
      return { is: [await post(`${key}/verify`, { alg, digest, value })], shouldBe: [true] };
    };
    const uses = async (prefix: string) => {
      for (const [name, body, alg] of KEYS) {
        const key = `${prefix}-${name}`;
        if (!evidence.has(key)) await post(`${key}/create`, body);
        const use = body.kty === 'oct-HSM' ? useSecret : useSigner;
        const { is, shouldBe } = await use(key, alg);
        expect([key, ...is]).toEqual([key, ...shouldBe]);
      }
    };
    const prefixes = ['old'];
    await uses('old');
    for (const [at, lines] of updates.entries()) {
      await stop();
      await hsm.setLines(lines);
      admin = await start();
      prefixes.push(`new-${String(at)}`);
      for (const prefix of prefixes) await uses(prefix);
    }
    expect(evidence.size).toBe((1 + updates.length) * KEYS.length);
  }, 120_000);
});
