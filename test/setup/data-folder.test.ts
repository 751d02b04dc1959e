import { chmod, mkdir, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { openDataFolder } from '../../src/setup/data-folder.ts';
import { killAndWait, startScript } from '../support/child-script.ts';

let parent: string;
let path: string;

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
  path = join(parent, 'deep', 'data');
});

afterEach(async () => {
  await rm(parent, { recursive: true, force: true });
});

const modeOf = async (folder: string): Promise<number> => (await stat(folder)).mode & 0o777;

function holdElsewhere() {
  return startScript(`
    const { openDataFolder } = await import(MODULES + 'setup/data-folder.js');
    globalThis.folder = await openDataFolder(${JSON.stringify(path)});
  `);
}

describe('a data folder', () => {
  test('is made for its owner only', async () => {
    const folder = await openDataFolder(path);
    expect(await modeOf(folder.path)).toBe(0o700);
    await folder.release();
  });

  test('is closed to others where it was open to them', async () => {
    await mkdir(path, { recursive: true });
    await chmod(path, 0o755);
    const folder = await openDataFolder(path);
    expect(await modeOf(path)).toBe(0o700);
    await folder.release();
  });

  test('is refused to a second holder in the same process', async () => {
    const folder = await openDataFolder(path);
    await expect(openDataFolder(path)).rejects.toMatchObject({
      name: 'SetupError',
      message: expect.stringMatching(/another strongroom is running on the data folder/i),
    });
    await folder.release();
    await (await openDataFolder(path)).release();
  });

  test('is refused to a second process, under another name of the folder too', async () => {
    const holder = await holdElsewhere();
    try {
      const alias = join(parent, 'alias');
      await symlink(path, alias);
      await expect(openDataFolder(path)).rejects.toThrow('Another Strongroom is running');
      await expect(openDataFolder(alias)).rejects.toThrow('Another Strongroom is running');
    } finally {
      await killAndWait(holder);
    }
  });

  test('is free as soon as its holder is killed with SIGKILL', async () => {
    await killAndWait(await holdElsewhere());
    const folder = await openDataFolder(path);
    expect(folder.path).toBe(path);
    await folder.release();
  });

  test('goes to one of several processes that ask for it at once', async () => {
    const holders = await Promise.allSettled(Array.from({ length: 4 }, holdElsewhere));
    const winners = holders.filter(({ status }) => status === 'fulfilled');
    for (const holder of holders)
      if (holder.status === 'fulfilled') await killAndWait(holder.value);
    expect(winners).toHaveLength(1);
  });

  test('is refused with a sentence where it can’t be made', async () => {
    const file = join(parent, 'file');
    await writeFile(file, '');
    await expect(openDataFolder(join(file, 'data'))).rejects.toMatchObject({ name: 'SetupError' });
  });
});
