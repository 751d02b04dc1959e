import { afterEach, describe, expect, test } from '@jest/globals';
import { createDecipheriv, randomBytes } from 'node:crypto';
import {
  buildModuleShim,
  hasCompiler,
  type ModuleShim,
  type ShimOptions,
  shimProfiles,
} from '../../support/module-shim.ts';
import { PARAMETERS, RawHsm } from '../../support/raw-hsm.ts';

const canBuild = await hasCompiler();
if (!canBuild) console.warn('skipped: no C compiler (cc)');

const RSA_X_509 = 0x3;
const ECB = 0x1081;
const CBC_PAD = 0x1085;
const GCM = 0x1087;
const KEY_WRAP_PAD = 0x210a;
const KEY_WRAP_KWP = 0x210b;
/** CKF_WRAP and CKF_UNWRAP. */
const MAY_WRAP = 0x60000;
const LUNA_KWP = 0x80000171;
const CLOUDHSM_KWP = 0x8000216f;

/** RFC 5649 §6: the key, and for 20 bytes and for 7 what they are wrapped. */
const KNOWN = {
  wrappingKey: Buffer.from('5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8', 'hex'),
  answers: [
    [
      'c37b7e6492584340bed12207808941155068f738',
      '138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a',
    ],
    ['466f7250617369', 'afbeb0f07dfbf5419200f2ccb50bb24f'],
  ],
} as const;

(canBuild ? describe : describe.skip)('the shim', () => {
  const open: { end(): Promise<void> }[] = [];
  let shim: ModuleShim;

  afterEach(async () => {
    for (const hsm of open.splice(0)) await hsm.end();
    await shim.remove();
  });

  /** The token behind a shim of these options, logged in to. */
  async function behind(options: ShimOptions): Promise<RawHsm> {
    shim = await buildModuleShim(options);
    const hsm = await RawHsm.start(shim.environment);
    open.push(hsm);
    await hsm.logIn();
    return hsm;
  }

  /** What RFC 5649 §6 is answered with under a mechanism: what is wrapped, and what comes out of that again. */
  async function known(hsm: RawHsm, mechanism: number): Promise<readonly string[]> {
    const wrapping = await hsm.aesKey(KNOWN.wrappingKey);
    const found: string[] = [];
    for (const [plain, wrapped] of KNOWN.answers) {
      const secret = await hsm.secret(Buffer.from(plain, 'hex'));
      found.push(await hsm.told(hsm.wrap(mechanism, wrapping, secret)));
      const unwrap = hsm.unwrapSecret(mechanism, wrapping, Buffer.from(wrapped, 'hex'));
      found.push(await hsm.told(unwrap.then((key) => hsm.valueOf(key))));
    }
    return found;
  }
  const RIGHT = KNOWN.answers.flatMap(([plain, wrapped]) => [wrapped, plain]);
  const refusedAs = (name: string) => RIGHT.map(() => name);

  test('says which profile it has, and behaves as the module behind it without one', async () => {
    const plain = await behind({});
    expect(await plain.description()).toBe('Shim: no profile');
    expect(await plain.mechanisms()).toContain(KEY_WRAP_PAD);
    const named = await behind({ profile: 'kwp-only' });
    expect(await named.description()).toBe('Shim: kwp-only');
  });

  test.each([
    ['kwp-only', KEY_WRAP_KWP],
    ['pkcs7-pad', KEY_WRAP_KWP],
    ['luna-fips', LUNA_KWP],
  ])('%s: RFC 5649 as its own examples have it, under one number', async (profile, number) => {
    const hsm = await behind({ profile });
    expect(await known(hsm, number)).toEqual(RIGHT);
    expect(await hsm.mechanisms()).toContain(number);
    const others = [KEY_WRAP_KWP, LUNA_KWP, CLOUDHSM_KWP].filter((other) => other !== number);
    for (const other of others)
      expect(await known(hsm, other)).toEqual(refusedAs('CKR_MECHANISM_INVALID'));
  });

  test.each(['kwp-only', 'luna-fips', 'cloudhsm', 'no-kwp'])(
    '%s: CKM_AES_KEY_WRAP_PAD is neither listed nor done',
    async (profile) => {
      const hsm = await behind({ profile });
      expect(await hsm.mechanisms()).not.toContain(KEY_WRAP_PAD);
      expect(await hsm.told(hsm.mechanismInfo(KEY_WRAP_PAD))).toBe('CKR_MECHANISM_INVALID');
      const wrapping = await hsm.aesKey(randomBytes(32));
      const wrapped = await hsm.aesKey(randomBytes(32));
      expect(await hsm.told(hsm.wrap(KEY_WRAP_PAD, wrapping, wrapped))).toBe(
        'CKR_MECHANISM_INVALID',
      );
    },
  );

  test.each(['rsa', 'ec'] as const)(
    'kwp-only: a private %s key comes back as it was',
    async (kind) => {
      const hsm = await behind({ profile: 'kwp-only' });
      const wrapping = await hsm.aesKey(randomBytes(32));
      const pair = await hsm.keyPair(kind);
      const wrapped = await hsm.wrap(KEY_WRAP_KWP, wrapping, pair.privateKey);
      const again = await hsm.unwrapPrivate(KEY_WRAP_KWP, wrapping, wrapped, kind);
      const digest = randomBytes(32);
      const signature = await hsm.sign(kind, again, digest);
      expect(await hsm.verify(kind, pair.publicKey, digest, signature)).toBe(true);
      wrapped.writeUInt8(wrapped.readUInt8(9) ^ 1, 9);
      expect(await hsm.told(hsm.unwrapPrivate(KEY_WRAP_KWP, wrapping, wrapped, kind))).toMatch(
        /^CKR_/,
      );
    },
  );

  test('pkcs7-pad: CKM_AES_KEY_WRAP_PAD is RFC 3394 over a padded key, and opens nothing else', async () => {
    const hsm = await behind({ profile: 'pkcs7-pad' });
    const value = randomBytes(32);
    const wrapping = await hsm.aesKey(value);
    const secret = randomBytes(21);
    const wrapped = await hsm.wrap(KEY_WRAP_PAD, wrapping, await hsm.secret(secret));
    const opened = unwrap3394(value, wrapped);
    expect(opened).toEqual(Buffer.concat([secret, Buffer.alloc(3, 3)]));
    const again = await hsm.unwrapSecret(KEY_WRAP_PAD, wrapping, wrapped);
    expect(await hsm.valueOf(again)).toBe(secret.toString('hex'));
    const padded = await hsm.wrap(KEY_WRAP_KWP, wrapping, await hsm.secret(secret));
    expect(await hsm.told(hsm.unwrapSecret(KEY_WRAP_PAD, wrapping, padded))).toBe(
      'CKR_WRAPPED_KEY_INVALID',
    );
    const pair = await hsm.keyPair('rsa');
    const blob = await hsm.wrap(KEY_WRAP_PAD, wrapping, pair.privateKey);
    expect(await hsm.unwrapPrivate(KEY_WRAP_PAD, wrapping, blob, 'rsa')).toBeDefined();
  });

  test.each([
    ['cbc-pad', CBC_PAD, () => ({ mechanism: CBC_PAD, parameter: Buffer.alloc(16, 9) })],
    ['gcm', GCM, () => ({ mechanism: GCM, parameter: gcm(Buffer.alloc(12, 9)) })],
  ])('no-kwp: keys are wrapped by %s, as that encrypts', async (_, number, make) => {
    const hsm = await behind({ profile: 'no-kwp' });
    const { flags } = await hsm.mechanismInfo(number);
    expect(flags & MAY_WRAP).toBe(MAY_WRAP);
    const value = randomBytes(32);
    const wrapping = await hsm.aesKey(value);
    const secret = randomBytes(21);
    const wrapped = await hsm.wrap(make(), wrapping, await hsm.secret(secret));
    expect(decipher(number, value, wrapped)).toEqual(secret);
    const again = await hsm.unwrapSecret(make(), wrapping, wrapped);
    expect(await hsm.valueOf(again)).toBe(secret.toString('hex'));
    const pair = await hsm.keyPair('ec');
    const blob = await hsm.wrap(make(), wrapping, pair.privateKey);
    expect(await hsm.unwrapPrivate(make(), wrapping, blob, 'ec')).toBeDefined();
    blob.writeUInt8(blob.readUInt8(1) ^ 1, 1);
    blob.writeUInt8(blob.readUInt8(blob.length - 17) ^ 1, blob.length - 17);
    expect(await hsm.told(hsm.unwrapPrivate(make(), wrapping, blob, 'ec'))).toMatch(/^CKR_/);
    expect(await known(hsm, KEY_WRAP_KWP)).toEqual(refusedAs('CKR_MECHANISM_INVALID'));
  });

  test.each([
    ['luna-fips', 12],
    ['luna-fips-16', 16],
  ])('%s: the IV of AES-GCM is the HSM’s own, behind the tag', async (profile, bytes) => {
    const hsm = await behind({ profile });
    const value = randomBytes(32);
    const key = await hsm.aesKey(value);
    const plaintext = randomBytes(40);
    const theirs = Buffer.alloc(12, 7);
    const answers = [];
    for (let turn = 0; turn < 2; turn += 1)
      answers.push(
        (await hsm.encrypt({ mechanism: GCM, parameter: gcm(theirs) }, key, plaintext)).output,
      );
    for (const output of answers) {
      expect(output).toHaveLength(40 + 16 + bytes);
      const iv = output.subarray(56);
      const decrypt = createDecipheriv('aes-256-gcm', value, iv);
      decrypt.setAuthTag(output.subarray(40, 56));
      expect(Buffer.concat([decrypt.update(output.subarray(0, 40)), decrypt.final()])).toEqual(
        plaintext,
      );
      const again = await hsm.decrypt(
        { mechanism: GCM, parameter: gcm(iv) },
        key,
        output.subarray(0, 56),
      );
      expect(again).toEqual(plaintext);
    }
    expect(answers[0]).not.toEqual(answers[1]);
    // The next operation of the session has none of it.
    expect((await hsm.encrypt({ mechanism: ECB }, key, Buffer.alloc(16))).output).toHaveLength(16);
  });

  test('luna-fips: private keys aren’t wrapped, secret keys are', async () => {
    const hsm = await behind({ profile: 'luna-fips' });
    const wrapping = await hsm.aesKey(randomBytes(32));
    for (const kind of ['rsa', 'ec'] as const) {
      const { privateKey } = await hsm.keyPair(kind);
      expect(await hsm.told(hsm.wrap(LUNA_KWP, wrapping, privateKey))).toBe(
        'CKR_KEY_NOT_WRAPPABLE',
      );
    }
    const aes = await hsm.aesKey(randomBytes(32));
    expect(await hsm.wrap(LUNA_KWP, wrapping, aes)).toHaveLength(40);
  });

  test('cloudhsm: RFC 5649 under its number, of AES keys alone', async () => {
    const hsm = await behind({ profile: 'cloudhsm' });
    const wrapping = await hsm.aesKey(KNOWN.wrappingKey);
    const aes = await hsm.aesKey(randomBytes(32));
    const wrapped = await hsm.wrap(CLOUDHSM_KWP, wrapping, aes);
    expect(wrapped).toHaveLength(40);
    expect(await hsm.mechanisms()).toContain(CLOUDHSM_KWP);
    const secret = await hsm.secret(randomBytes(32), { private: true });
    expect(await hsm.told(hsm.wrap(CLOUDHSM_KWP, wrapping, secret))).toBe('CKR_KEY_NOT_WRAPPABLE');
    expect(await hsm.told(hsm.wrap(CLOUDHSM_KWP, secret, aes))).toBe(
      'CKR_WRAPPING_KEY_TYPE_INCONSISTENT',
    );
    expect(
      await hsm.told(hsm.unwrapSecret(CLOUDHSM_KWP, wrapping, wrapped, { private: true })),
    ).toBe('CKR_TEMPLATE_INCONSISTENT');
    expect(await hsm.told(hsm.encrypt({ mechanism: ECB }, secret, Buffer.alloc(16)))).toBe(
      'CKR_KEY_TYPE_INCONSISTENT',
    );
    expect(await hsm.hmac(secret, Buffer.from('x'))).toHaveLength(32);
    const pair = await hsm.keyPair('ec', { private: true });
    const blob = await hsm.wrap(CLOUDHSM_KWP, wrapping, pair.privateKey);
    expect(await hsm.unwrapPrivate(CLOUDHSM_KWP, wrapping, blob, 'ec')).toBeDefined();
  });

  test('cloudhsm: no key is public to those who aren’t logged in', async () => {
    const hsm = await behind({ profile: 'cloudhsm' });
    expect(await hsm.told(hsm.secret(randomBytes(32), { private: false }))).toBe(
      'CKR_TEMPLATE_INCONSISTENT',
    );
    expect(await hsm.told(hsm.keyPair('ec', { private: false }))).toBe('CKR_TEMPLATE_INCONSISTENT');
    expect(await hsm.keyPair('ec', { private: true })).toBeDefined();
  });

  test('cloudhsm: the IV of AES-GCM is written to where zeros were given', async () => {
    const hsm = await behind({ profile: 'cloudhsm' });
    const value = randomBytes(32);
    const key = await hsm.aesKey(value);
    const plaintext = randomBytes(40);
    const zeros = { mechanism: GCM, parameter: gcm(Buffer.alloc(12)) };
    const { output, iv } = await hsm.encrypt(zeros, key, plaintext);
    expect(iv).not.toEqual(Buffer.alloc(12));
    const decrypt = createDecipheriv('aes-256-gcm', value, iv);
    decrypt.setAuthTag(output.subarray(40));
    expect(Buffer.concat([decrypt.update(output.subarray(0, 40)), decrypt.final()])).toEqual(
      plaintext,
    );
    const own = { mechanism: GCM, parameter: gcm(Buffer.alloc(12, 7)) };
    expect(await hsm.told(hsm.encrypt(own, key, plaintext))).toBe('CKR_MECHANISM_PARAM_INVALID');
    expect(await hsm.decrypt({ mechanism: GCM, parameter: gcm(iv) }, key, output)).toEqual(
      plaintext,
    );
  });

  test('read-only-unwrap: an unwrapped key is sensitive and stays, and key pairs are named in full', async () => {
    const hsm = await behind({ profile: 'read-only-unwrap' });
    const wrapping = await hsm.aesKey(randomBytes(32));
    const wrapped = await hsm.wrap(KEY_WRAP_KWP, wrapping, await hsm.aesKey(randomBytes(32)));
    for (const [template, answer] of [
      [{ sensitive: false }, 'CKR_ATTRIBUTE_READ_ONLY'],
      [{ extractable: true }, 'CKR_ATTRIBUTE_READ_ONLY'],
      [{ sensitive: true, extractable: false }, 'done'],
      [{}, 'done'],
    ] as const)
      expect([
        template,
        await hsm.told(hsm.unwrapAes(KEY_WRAP_KWP, wrapping, wrapped, template).then(() => 'done')),
      ]).toEqual([template, answer]);
    expect(await hsm.told(hsm.keyPair('ec', {}, { isNamed: false }))).toBe(
      'CKR_TEMPLATE_INCONSISTENT',
    );
    expect(await hsm.keyPair('ec')).toBeDefined();
  });

  test('nss: it starts with its parameters alone, and empty messages were never begun', async () => {
    shim = await buildModuleShim({ profile: 'nss' });
    const hsm = await RawHsm.start(shim.environment);
    open.push(hsm);
    expect(await hsm.told(hsm.initialise({ flags: 2 }))).toBe('CKR_ARGUMENTS_BAD');
    await hsm.initialise({ flags: 2, libraryParameters: PARAMETERS });
    await hsm.open();
    const key = await hsm.aesKey(randomBytes(32));
    const cbc = { mechanism: CBC_PAD, parameter: Buffer.alloc(16) };
    expect(await hsm.told(hsm.encrypt(cbc, key, Buffer.alloc(0)))).toBe(
      'CKR_OPERATION_NOT_INITIALIZED',
    );
    // The refused operation is over.
    expect((await hsm.encrypt(cbc, key, Buffer.alloc(1))).output).toHaveLength(16);
  });

  test('device-error: what is refused is the device’s fault, and what is right is done', async () => {
    const hsm = await behind({ profile: 'device-error' });
    const value = randomBytes(32);
    const key = await hsm.aesKey(value);
    const cbc = { mechanism: CBC_PAD, parameter: Buffer.alloc(16) };
    expect(await hsm.told(hsm.decrypt(cbc, key, randomBytes(31)))).toBe('CKR_DEVICE_ERROR');
    expect(await hsm.told(hsm.unwrapSecret(KEY_WRAP_PAD, key, randomBytes(24)))).toBe(
      'CKR_DEVICE_ERROR',
    );
    const { output } = await hsm.encrypt(cbc, key, Buffer.from('right'));
    expect((await hsm.decrypt(cbc, key, output)).toString()).toBe('right');
  });

  test('no-locking: it is called by one thread', async () => {
    shim = await buildModuleShim({ profile: 'no-locking' });
    const hsm = await RawHsm.start(shim.environment);
    open.push(hsm);
    expect(await hsm.told(hsm.initialise({ flags: 2 }))).toBe('CKR_CANT_LOCK');
    await hsm.initialise({ flags: 0 });
    expect(await hsm.description()).toBe('Shim: no-locking');
  });

  test('yubihsm: 16 sessions, and nothing is wrapped, unwrapped or derived', async () => {
    const hsm = await behind({ profile: 'yubihsm' });
    // One is open already.
    for (let more = 0; more < 15; more += 1) await hsm.openAnother();
    expect(await hsm.told(hsm.openAnother())).toBe('CKR_SESSION_COUNT');
    expect(await hsm.sessionLimit()).toBe(16);
    const key = await hsm.aesKey(randomBytes(32));
    expect(await hsm.told(hsm.wrap(0x1082, key, key))).toBe('CKR_FUNCTION_NOT_SUPPORTED');
    expect(await hsm.told(hsm.unwrapSecret(KEY_WRAP_PAD, key, Buffer.alloc(24)))).toBe(
      'CKR_FUNCTION_NOT_SUPPORTED',
    );
  });

  test('objects of the token end at their limit, and those of a session don’t', async () => {
    const hsm = await behind({});
    const before = await hsm.countTokenObjects();
    await shim.setLines([`limit objects ${String(before + 1)}`]);
    const kept = await hsm.secret(randomBytes(8), { token: true });
    expect(await hsm.told(hsm.secret(randomBytes(8), { token: true }))).toBe('CKR_DEVICE_MEMORY');
    await hsm.secret(randomBytes(8));
    await hsm.destroy(kept);
    await hsm.destroy(await hsm.secret(randomBytes(8), { token: true }));
  });

  test('flaky: the same calls fail in each process, and few of them', async () => {
    const outcomes = [];
    for (let turn = 0; turn < 2; turn += 1) {
      const hsm = await behind({ profile: 'flaky' });
      const key = await hsm.aesKey(randomBytes(32));
      const seen = [];
      for (let call = 0; call < 600; call += 1)
        seen.push(
          await hsm.told(hsm.encrypt({ mechanism: ECB }, key, Buffer.alloc(16)).then(() => 'done')),
        );
      outcomes.push(seen);
    }
    expect(outcomes[0]).toEqual(outcomes[1]);
    expect(new Set(outcomes[0])).toEqual(
      new Set(['done', 'CKR_DEVICE_ERROR', 'CKR_SESSION_HANDLE_INVALID']),
    );
    expect(outcomes[0]?.filter((outcome) => outcome === 'done').length).toBeGreaterThan(560);
  });

  describe('a plan', () => {
    const encrypt = (hsm: RawHsm, key: Buffer) =>
      hsm.told(hsm.encrypt({ mechanism: ECB }, key, Buffer.alloc(16)).then(() => 'done'));

    test('counts calls: so many pass, so many are answered, and the rest pass again', async () => {
      const hsm = await behind({});
      const key = await hsm.aesKey(randomBytes(32));
      await shim.setLines(['answer Encrypt 0x32 after 2 for 3']);
      const seen = [];
      for (let call = 0; call < 7; call += 1) seen.push(await encrypt(hsm, key));
      expect(seen).toEqual([
        'done',
        'done',
        ...Array<string>(3).fill('CKR_DEVICE_REMOVED'),
        'done',
        'done',
      ]);
    });

    test('ends an operation that it answers itself, whatever its mechanism', async () => {
      const hsm = await behind({});
      const rsa = await hsm.keyPair('rsa', {}, { isNamed: true });
      const aes = await hsm.aesKey(randomBytes(32));
      const operations = [
        () => hsm.encrypt({ mechanism: RSA_X_509 }, rsa.publicKey, Buffer.alloc(256)),
        () => hsm.encrypt({ mechanism: ECB }, aes, Buffer.alloc(16)),
        () => hsm.sign('rsa', rsa.privateKey, Buffer.alloc(32)),
      ];
      for (const operation of operations) {
        await shim.setLines(['answer Encrypt,Sign CKR_DEVICE_ERROR for 1']);
        const seen = [];
        for (let call = 0; call < 2; call += 1)
          seen.push(await hsm.told(operation().then(() => 'done')));
        expect(seen).toEqual(['CKR_DEVICE_ERROR', 'done']);
      }
    });

    test('is read again when it changes, and its last line that fits is the one that counts', async () => {
      const hsm = await behind({ lines: ['answer Encrypt CKR_DEVICE_ERROR if mechanism 0x1081'] });
      const key = await hsm.aesKey(randomBytes(32));
      expect(await encrypt(hsm, key)).toBe('CKR_DEVICE_ERROR');
      await shim.setLines([
        'answer * CKR_DEVICE_ERROR',
        'answer EncryptInit CKR_TOKEN_NOT_PRESENT',
      ]);
      expect(await encrypt(hsm, key)).toBe('CKR_TOKEN_NOT_PRESENT');
      await shim.setLines([]);
      expect(await encrypt(hsm, key)).toBe('done');
    });

    test('that can’t be read is answered with CKR_GENERAL_ERROR', async () => {
      const hsm = await behind({});
      const key = await hsm.aesKey(randomBytes(32));
      for (const line of [
        'answer Sing 0x30',
        'answer Sign CKR_NONSENSE',
        'refuse',
        'profile ../plan',
        'offer mechanism 1 as 2',
      ]) {
        await shim.setLines([line]);
        expect([line, await encrypt(hsm, key)]).toEqual([line, 'CKR_GENERAL_ERROR']);
      }
    });

    test('lets a call hang until it says otherwise', async () => {
      const hsm = await behind({ lines: ['hang Encrypt'] });
      const key = await hsm.aesKey(randomBytes(32));
      const state = { isDone: false };
      const waiting = encrypt(hsm, key).finally(() => (state.isDone = true));
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(state.isDone).toBe(false);
      await shim.setLines([]);
      expect(await waiting).toBe('done');
    });

    test('ends the process in the call that it names', async () => {
      const hsm = await behind({ lines: ['crash Encrypt after 1'] });
      const key = await hsm.aesKey(randomBytes(32));
      expect(await encrypt(hsm, key)).toBe('done');
      expect(await encrypt(hsm, key)).toMatch(/^ended/);
    });

    test('makes calls take their time', async () => {
      const hsm = await behind({ lines: ['latency 100000 0 Encrypt'] });
      const key = await hsm.aesKey(randomBytes(32));
      const began = performance.now();
      expect(await encrypt(hsm, key)).toBe('done');
      expect(performance.now() - began).toBeGreaterThan(99);
    });
  });

  test('has a profile for each that is named here', async () => {
    shim = await buildModuleShim();
    expect(await shimProfiles()).toEqual([
      'cloudhsm',
      'device-error',
      'flaky',
      'kwp-only',
      'luna-fips',
      'luna-fips-16',
      'no-kwp',
      'no-locking',
      'nss',
      'pkcs7-pad',
      'read-only-unwrap',
      'slow',
      'yubihsm',
    ]);
  });
});

/** CK_GCM_PARAMS as the binding takes it; 7 is CK_PARAMS_AES_GCM_v240. */
function gcm(iv: Buffer) {
  return { type: 7, iv, ivBits: 8 * iv.length, tagBits: 128 };
}

function unwrap3394(key: Buffer, wrapped: Buffer): Buffer {
  const decrypt = createDecipheriv('id-aes256-wrap', key, Buffer.alloc(8, 0xa6));
  return Buffer.concat([decrypt.update(wrapped), decrypt.final()]);
}

function decipher(mechanism: number, key: Buffer, wrapped: Buffer): Buffer {
  if (mechanism === CBC_PAD) {
    const decrypt = createDecipheriv('aes-256-cbc', key, Buffer.alloc(16, 9));
    return Buffer.concat([decrypt.update(wrapped), decrypt.final()]);
  }
  const decrypt = createDecipheriv('aes-256-gcm', key, Buffer.alloc(12, 9));
  decrypt.setAuthTag(wrapped.subarray(-16));
  return Buffer.concat([decrypt.update(wrapped.subarray(0, -16)), decrypt.final()]);
}
