import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  AES_SIZES,
  ALGORITHMS,
  CURVES,
  PARAMETER_SETS,
  RSA_SIZES,
} from '../../../src/core/operations/algorithms.ts';
import { RELEASE_WRAPS } from '../../../src/core/release/key-release.ts';
import { makePrincipal } from '../../support/administrator.ts';
import { isSealed } from '../../support/keeping.ts';
import { buildModuleShim, hasCompiler, type ModuleShim } from '../../support/module-shim.ts';
import { useProduction, useSharedService } from '../../support/use-service.ts';

interface Offered {
  readonly available: boolean;
  readonly reason?: string;
}

interface Capabilities {
  readonly module: string;
  readonly keys: readonly (Offered & {
    kty: string;
    key_size?: number;
    crv?: string;
    alg?: string;
  })[];
  readonly algorithms: readonly (Offered & { name: string })[];
  readonly mlDsa: Offered;
  readonly backup: Offered;
  readonly release: Offered & {
    readonly keys?: Capabilities['keys'];
    readonly enc?: Capabilities['algorithms'];
  };
  readonly transfer: readonly (Offered & { kty: string })[];
}

const KINDS = [
  ...RSA_SIZES.map((bits) => `RSA-HSM ${bits}`),
  ...CURVES.map((curve) => `EC-HSM ${curve}`),
  ...AES_SIZES.map((bits) => `oct-HSM ${bits}`),
];
const VALUE = Buffer.alloc(32, 7).toString('base64url');

const nameOf = ({ kty, key_size, crv, alg }: Capabilities['keys'][number]) =>
  `${kty} ${String(key_size ?? crv ?? alg)}`;
/** By name, why not. */
const lacking = <Thing extends Offered>(things: readonly Thing[], name: (thing: Thing) => string) =>
  Object.fromEntries(
    things.filter(({ available }) => !available).map((thing) => [name(thing), thing.reason]),
  );

const canBuild = await hasCompiler();
if (!canBuild) console.warn('skipped: no C compiler (cc)');

describe('what a pool offers', () => {
  const { service, admin, atEnd } = useSharedService();

  test('on SoftHSM2 is every kind of key and every algorithm, and ML-DSA with the reason why not', async () => {
    const answer = await admin('GET', '/capabilities');
    expect(answer.status).toBe(200);
    const { module, keys, algorithms, mlDsa } = answer.json<Capabilities>();
    expect(module).toContain('SoftHSM');
    // SoftHSM 2.6.1 makes none.
    const akp = PARAMETER_SETS.map((alg) => `AKP-HSM ${alg}`);
    expect(keys.map(nameOf)).toEqual([...KINDS, ...akp]);
    expect(algorithms.map(({ name }) => name)).toEqual(Object.keys(ALGORITHMS));
    const lacks = { ...lacking(keys, nameOf), ...lacking(algorithms, ({ name }) => name) };
    expect(Object.keys(lacks)).toEqual([...akp, ...PARAMETER_SETS]);
    for (const reason of Object.values(lacks)) expect(reason).toContain('CKM_ML_DSA_KEY_PAIR_GEN');
    expect(mlDsa).toEqual({
      available: false,
      reason: expect.stringContaining('which the HSM of this pool does not have'),
    });
  });

  test('is the way in for keys that come wrapped', async () => {
    const { transfer } = (await admin('GET', '/capabilities')).json<Capabilities>();
    expect(transfer).toEqual(
      ['RSA-HSM', 'EC-HSM', 'oct-HSM'].map((kty) => ({ kty, available: true })),
    );
  });

  test('is the ways out, and in a pool whose keys stay in the HSM why there are none', async () => {
    const { backup, release } = (await admin('GET', '/capabilities')).json<Capabilities>();
    const stays = { available: false, reason: expect.stringContaining('objects of the HSM') };
    const leaves = {
      available: true,
      keys: expect.arrayContaining([{ kty: 'oct-HSM', key_size: 256, available: true }]),
      enc: Object.keys(RELEASE_WRAPS).map((name) => ({ name, available: true })),
    };
    expect([backup, release]).toEqual(isSealed ? [{ available: true }, leaves] : [stays, stays]);
    const released = (release.keys ?? []).filter(({ available }) => available).map(nameOf);
    expect(released).toEqual(isSealed ? KINDS : []);
  });

  test('is told to those who may read keys, and to nobody else', async () => {
    const { call } = await makePrincipal(admin, service);
    atEnd(call);
    expect((await call('GET', '/capabilities')).status).toBe(403);
  });
});

// What a module doesn't wrap is no lack where keys stay in it.
(canBuild && isSealed ? describe.each : describe.skip.each)([
  {
    profile: 'cloudhsm',
    keys: [],
    algorithms: ['HS256', 'HS384', 'HS512'],
    key: { kty: 'oct-HSM' },
    refused: ['sign', { alg: 'HS256', value: VALUE }] as const,
    because: ['CKM_SHA256_HMAC'],
  },
  {
    profile: 'luna-fips',
    keys: KINDS.filter((name) => !name.startsWith('oct')),
    algorithms: Object.entries(ALGORITHMS)
      .filter(([, { keyType }]) => keyType === 'RSA-HSM' || keyType === 'EC-HSM')
      .map(([name]) => name),
    key: { kty: 'oct-HSM' },
    refused: ['create', { kty: 'EC-HSM', crv: 'P-256' }] as const,
    because: ['CKM_EC_KEY_PAIR_GEN', 'CKR_KEY_NOT_WRAPPABLE'],
  },
])('behind the profile $profile', ({ profile, keys, algorithms, key, refused, because }) => {
  let shim: ModuleShim;
  const { admin } = useProduction(async () => {
    shim = await buildModuleShim({ profile });
    return { ...shim.environment, STRONGROOM_WORKERS: '1' };
  });
  afterAll(() => shim.remove());

  let offer: Capabilities;
  beforeAll(async () => {
    offer = (await admin('GET', '/capabilities')).json<Capabilities>();
    const made = await admin('POST', '/keys/there/create', key);
    expect([made.status, made.text]).toEqual([200, expect.any(String)]);
  });

  test('what is missing is named, with the mechanism at which the module fails', () => {
    const reasons = {
      ...lacking(offer.keys, nameOf),
      ...lacking(offer.algorithms, ({ name }) => name),
    };
    const isOurs = (name: string) => !name.includes('ML-DSA');
    expect(Object.keys(reasons).filter(isOurs)).toEqual([...keys, ...algorithms]);
    for (const reason of Object.values(reasons)) expect(reason).toMatch(/ fails at .*CKM_\w+/);
  });

  test('asking for it all the same is a 400 that names the module and the mechanism', async () => {
    const [operation, body] = refused;
    const name = operation === 'create' ? 'other' : 'there';
    const answer = await admin('POST', `/keys/${name}/${operation}`, body);
    const { code, message } = answer.json<{ error: { code: string; message: string } }>().error;
    expect([answer.status, code]).toEqual([400, 'BadParameter']);
    expect(message).toContain(offer.module);
    for (const part of because) expect(message).toContain(part);
  });
});
