import { afterEach, describe, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { AES_SIZES, CURVES } from '../../../src/core/operations/algorithms.ts';
import type { Capabilities } from '../../../src/hsm/capabilities/capabilities.ts';
import { fromGlobalSetup } from '../../support/environment.ts';
import { buildModuleShim, hasCompiler, type ModuleShim } from '../../support/module-shim.ts';
import { modulesFolder } from '../../support/modules.ts';
import { testToken } from '../../support/softhsm.ts';

const run = promisify(execFile);
const SCRIPT = fileURLToPath(new URL('probe.mjs', import.meta.url));
const canBuild = await hasCompiler();
if (!canBuild) console.warn('skipped: no C compiler (cc)');

interface Told {
  readonly capabilities?: Capabilities;
  /** Objects that are there since. */
  readonly left?: number;
  readonly refused?: string;
}

let shim: ModuleShim | undefined;
afterEach(async () => {
  await shim?.remove();
});

/** What this worker's token can do behind a profile of the shim, found out in a process of its own. */
async function told(
  profile: string,
  more: object = {},
  lines: readonly string[] = [],
): Promise<Told> {
  await modulesFolder();
  shim = await buildModuleShim({ profile, lines });
  const { tokenLabel, pin } = testToken();
  const { PKCS11_MODULE: module, ...environment } = shim.environment;
  const options = JSON.stringify({ module, tokenLabel, pin, ...more });
  const { stdout } = await run(process.execPath, [SCRIPT, options], {
    env: {
      PATH: process.env['PATH'],
      SOFTHSM2_CONF: fromGlobalSetup('SOFTHSM2_CONF'),
      ...environment,
    },
  });
  return JSON.parse(stdout) as Told;
}

/** In short: the number for RFC 5649, whether it keeps lengths, and what else differs between modules. */
function summary({ capabilities }: Told) {
  if (capabilities === undefined) return undefined;
  const { keyWrapPadded, sealing, dataKeyWrap, gcmIv, keepsMacKeys, saysPublic, wantsPoint } =
    capabilities;
  return {
    kwp: keyWrapPadded && [Number(keyWrapPadded.mechanism.name), keyWrapPadded.keepsLength],
    sealing: sealing?.kind,
    dataKeyWrap,
    gcmIv,
    keepsMacKeys,
    saysPublic,
    wantsPoint,
    // SoftHSM, which is behind all of them, makes keys of ML-DSA in its newer versions.
    keys: Object.keys(capabilities.keyLacks).filter((kind) => !kind.startsWith('AKP-HSM')),
    algorithms: Object.keys(capabilities.algorithmLacks),
    unreleased: Object.keys(capabilities.releaseLacks),
    untransferred: Object.keys(capabilities.transferLacks),
    // What is behind all of them has OAEP with SHA-1 alone.
    releaseWraps: Object.keys(capabilities.releaseWrapLacks),
  };
}

const ALL = {
  kwp: [0x210b, true],
  sealing: 'kwp',
  dataKeyWrap: 'objects',
  gcmIv: 'ours',
  keepsMacKeys: true,
  saysPublic: true,
  wantsPoint: false,
  keys: [],
  algorithms: [],
  unreleased: [],
  untransferred: [],
  releaseWraps: ['RSA_AES_KEY_WRAP_256', 'RSA_AES_KEY_WRAP_384'],
};
const PAIRS = [
  ...['RSA-HSM 2048', ...CURVES.map((curve) => `EC-HSM ${curve}`)],
  ...['RSA-HSM 3072', 'RSA-HSM 4096'],
];
const GCM = ['A128GCM', 'A192GCM', 'A256GCM'];
const AES = AES_SIZES.map((bits) => `oct-HSM ${bits}`);
/** In the order in which they are tried. */
const [TRIED_PAIRS, LARGE_RSA] = [PAIRS.slice(0, -2), PAIRS.slice(-2)];
const ALL_TYPES = ['RSA-HSM', 'EC-HSM', 'oct-HSM'];
/** A private key's length is lost in what is wrapped. */
const ROUNDS = { kwp: [0x210a, false], unreleased: PAIRS };
const NONE_LEAVE = {
  unreleased: [...TRIED_PAIRS, ...AES, ...LARGE_RSA],
  untransferred: ALL_TYPES,
};
/** Without RSA keys there is nobody to release a key to, or to open one for. */
const LUNA = { ...ALL, kwp: [0x8000_0171, true], keys: PAIRS, releaseWraps: [] };
const HMAC = ['HS256', 'HS384', 'HS512'];

(canBuild ? describe : describe.skip)('what a module can do', () => {
  test.each([
    ['kwp-only', ALL],
    ['pkcs7-pad', ALL],
    ['no-locking', { ...ALL, ...ROUNDS }],
    ['device-error', { ...ALL, ...ROUNDS }],
    ['no-kwp', { ...ALL, ...NONE_LEAVE, kwp: undefined, sealing: 'gcm', dataKeyWrap: 'blocks' }],
    ['read-only-unwrap', { ...ALL, ...NONE_LEAVE, dataKeyWrap: 'blocks' }],
    ['luna-fips', { ...LUNA, gcmIv: 'appended' }],
    ['luna-fips-16', { ...LUNA, gcmIv: undefined, algorithms: GCM }],
    [
      'cloudhsm',
      {
        ...ALL,
        kwp: [0x8000_216f, true],
        dataKeyWrap: 'blocks',
        gcmIv: 'written',
        keepsMacKeys: false,
        saysPublic: false,
        algorithms: HMAC,
      },
    ],
  ])(
    'is found out behind the profile %s, and nothing is left in the token',
    async (profile, expected) => {
      const found = await told(profile);
      expect(found.refused).toBeUndefined();
      expect(summary(found)).toEqual(expected);
      expect(found.left).toBe(0);
    },
  );

  test('is RFC 5649 under the number that the operator names, where it is that', async () => {
    const offered = ['offer mechanism 0x80001234 as rfc5649'];
    const found = await told('no-kwp', { keyWrapMechanism: 0x8000_1234 }, offered);
    expect(summary(found)).toMatchObject({ kwp: [0x8000_1234, true], sealing: 'kwp' });
    await shim?.remove();
    // PKCS #7 padding, and nothing else there wraps keys.
    const { refused } = await told('pkcs7-pad', { keyWrapMechanism: 0x210a });
    expect(refused).toMatch(/can't keep keys.*CKM_AES_KEY_WRAP_PAD \(the result is wrong\)/);
  });

  test('does not begin without the parameters that the library wants', async () => {
    const { refused } = await told('nss');
    expect(refused).toContain('PKCS11_LIBRARY_PARAMETERS');
  });

  test('begins with the parameters that the library wants, to the last character', async () => {
    const found = await told('nss', { libraryParameters: "configdir='' flags=noCertDB" });
    expect(summary(found)).toEqual({ ...ALL, wantsPoint: true });
  });

  test('is refused with all that is missing where no key can be kept', async () => {
    const { refused } = await told('yubihsm');
    for (const part of ['CKM_AES_KEY_WRAP_KWP', 'CKM_AES_CBC_PAD', 'CKR_FUNCTION_NOT_SUPPORTED'])
      expect(refused).toContain(part);
  });
});
