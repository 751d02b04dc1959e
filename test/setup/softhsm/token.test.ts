import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtemp, mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { prepareSoftHsmToken, type SoftHsmToken } from '../../../src/setup/softhsm/token.ts';

const INIT_TOKEN = fileURLToPath(new URL('../../../softhsm/init-token.sh', import.meta.url));
/** Logs in to the token in a process that has its configuration from the start, and tells how that went. */
const LOGIN = `
  import graphene from 'graphene-pk11';
  const [path, label, pin] = process.argv.slice(1);
  const module = graphene.Module.load(path, 'test');
  module.initialize();
  const slots = module.getSlots(true);
  for (let index = 0; index < slots.length; index += 1)
    if (slots.items(index).getToken().label.trim() === label)
      try {
        slots.items(index).open().login(pin);
        console.log('in');
      } catch (error) {
        console.log(/CKR_[A-Z_]+/.exec(error.message)[0]);
      }
  module.finalize();
`;

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'strongroom test-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

function logIn(token: SoftHsmToken, pin = token.pin): string {
  return execFileSync(
    process.execPath,
    ['--input-type=module', '-e', LOGIN, token.module, token.tokenLabel, pin],
    { env: { SOFTHSM2_CONF: token.configFile }, encoding: 'utf8' },
  ).trim();
}

describe('the SoftHSM2 token of a data folder', () => {
  test('opens with its PIN, and with no other', async () => {
    const token = await prepareSoftHsmToken(folder);
    expect(token.pin.length).toBeGreaterThanOrEqual(16);
    expect(logIn(token)).toBe('in');
    expect(logIn(token, 'another PIN of some length')).toBe('CKR_PIN_INCORRECT');
  });

  test('is made once', async () => {
    const first = await prepareSoftHsmToken(folder);
    expect(await prepareSoftHsmToken(folder)).toEqual(first);
    expect(await readdir(join(folder, 'tokens'))).toHaveLength(1);
  });

  test.each([
    ['a sign for a comment', 'my #1 folder'],
    ['a sign that ends a value', 'a=b'],
    ['the end of a line', 'two\nlines'],
    ['quotes and what URLs escape', `it's "é" 100%20?`],
    [
      'more than SoftHSM2 reads of a line',
      Array.from({ length: 5 }, () => 'x'.repeat(200)).join('/'),
    ],
  ])('opens in a folder whose path has %s, at later starts too', async (_what, name) => {
    const odd = join(folder, name);
    await mkdir(odd, { recursive: true, mode: 0o700 });
    const token = await prepareSoftHsmToken(odd);
    expect(logIn(token)).toBe('in');
    expect((await readdir(odd)).sort()).toEqual(['pkcs11-pin', 'softhsm2.conf', 'tokens']);
    const configuration = await readFile(token.configFile, 'utf8');
    await prepareSoftHsmToken(odd);
    expect(await readFile(token.configFile, 'utf8')).toBe(configuration);
    const path = /tokendir = (?<path>.+)\/tokens$/m.exec(configuration)?.groups?.['path'] ?? '';
    if (path === odd) return;
    // A machine that starts anew has lost what was in its folder for temporary files.
    await rm(dirname(path), { recursive: true });
    expect(logIn(await prepareSoftHsmToken(odd))).toBe('in');
    const again = /tokendir = (?<path>.+)\/data\/tokens$/m.exec(
      await readFile(token.configFile, 'utf8'),
    )?.groups?.['path'];
    await rm(again ?? '', { recursive: true });
  });

  test('lets nobody else read its PIN or its files', async () => {
    const token = await prepareSoftHsmToken(folder);
    expect((await stat(join(folder, 'pkcs11-pin'))).mode & 0o777).toBe(0o600);
    expect((await stat(join(folder, 'tokens'))).mode & 0o777).toBe(0o700);
    expect(await readFile(token.configFile, 'utf8')).not.toContain(token.pin);
  });

  test('is made after a crash that left its PIN and half a token', async () => {
    const first = await prepareSoftHsmToken(folder);
    await rename(join(folder, 'tokens'), join(folder, 'tokens.new'));
    await mkdir(join(folder, 'tokens.new', 'half'));
    const second = await prepareSoftHsmToken(folder);
    expect(second.pin).toBe(first.pin);
    expect(logIn(second)).toBe('in');
    expect(await readdir(join(folder, 'tokens'))).toHaveLength(1);
    expect(await readdir(folder)).not.toContain('tokens.new');
  });

  test('is refused, not replaced, when its PIN is lost', async () => {
    await prepareSoftHsmToken(folder);
    await rm(join(folder, 'pkcs11-pin'));
    await expect(prepareSoftHsmToken(folder)).rejects.toMatchObject({ name: 'SetupError' });
    expect(await readdir(join(folder, 'tokens'))).toHaveLength(1);
  });

  test('works on after its data folder has moved', async () => {
    await prepareSoftHsmToken(folder);
    const moved = `${folder} moved & renamed`;
    await rename(folder, moved);
    try {
      expect(logIn(await prepareSoftHsmToken(moved))).toBe('in');
    } finally {
      await rm(moved, { recursive: true });
    }
  });
});

describe('softhsm/init-token.sh', () => {
  test('makes a token that the variables it prints open', async () => {
    const { module } = await prepareSoftHsmToken(folder);
    const toy = join(folder, 'a & toy');
    const printed = execFileSync(INIT_TOKEN, [toy, 'toy'], { encoding: 'utf8' });
    expect(printed).toContain(`SOFTHSM2_CONF='${toy}/softhsm2.conf'`);
    const pin = (await readFile(join(toy, 'pkcs11-pin'), 'utf8')).trim();
    const configFile = join(toy, 'softhsm2.conf');
    expect(logIn({ module, tokenLabel: 'toy', pin, configFile })).toBe('in');
  });

  test.each(['a # toy', 'a = toy'])('says that the configuration cannot hold “%s”', (name) => {
    const made = spawnSync(INIT_TOKEN, [join(folder, name)], { encoding: 'utf8' });
    expect([made.status, made.stderr]).toEqual([1, expect.stringContaining(`, not ${folder}`)]);
  });
});
