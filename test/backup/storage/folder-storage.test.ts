import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createFolderStorage } from '../../../src/backup/storage/folder-storage.ts';
import { contentOf, readAll, STORAGE_PROMISES } from '../../support/storage-contract.ts';

let base: string;
let root: string;
beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'strongroom-storage-'));
  root = join(base, 'backups');
  await mkdir(root);
});
afterAll(() => rm(base, { recursive: true }));

describe('a folder as a storage', () => {
  test.each(STORAGE_PROMISES)('%s', async (_promise, holds) => {
    await expect(holds(createFolderStorage(root))).resolves.toBeUndefined();
  });

  test('is for its owner alone, and has no files under other names afterwards', async () => {
    await createFolderStorage(root).write('private/file', contentOf('one'));
    expect((await stat(join(root, 'private'))).mode & 0o777).toBe(0o700);
    expect((await stat(join(root, 'private/file'))).mode & 0o777).toBe(0o600);
    expect(await readdir(join(root, 'private'))).toEqual(['file']);
  });

  test('follows no link out of it', async () => {
    const outside = join(base, 'outside');
    await mkdir(outside);
    await writeFile(join(outside, 'file'), 'secret');
    await symlink(outside, join(root, 'leading-out'));
    await mkdir(join(root, 'linked'));
    await symlink(join(outside, 'file'), join(root, 'linked/file'));
    const storage = createFolderStorage(root);
    const refused = { code: 'StorageRefused' };
    await expect(readAll(storage, 'leading-out/file')).rejects.toMatchObject(refused);
    await expect(storage.write('leading-out/other', contentOf('one'))).rejects.toMatchObject(
      refused,
    );
    await expect(storage.claimFolder('leading-out/mhsm')).rejects.toMatchObject(refused);
    await expect(storage.removeFolder('leading-out')).rejects.toMatchObject(refused);
    await expect(readAll(storage, 'linked/file')).rejects.toMatchObject(refused);
    expect(await readdir(outside)).toEqual(['file']);
  });

  test('takes nothing but a file for one, and waits for none', async () => {
    await mkdir(join(root, 'others/folder'), { recursive: true });
    execFileSync('mkfifo', [join(root, 'others/fifo')]);
    for (const name of ['fifo', 'folder'])
      await expect(readAll(createFolderStorage(root), `others/${name}`)).rejects.toMatchObject({
        code: 'BackupNotFound',
      });
  });

  test.each([
    ['is not there', () => join(base, 'absent')],
    // Where root asks, permissions refuse nothing: this file system does.
    ['takes no files', () => '/proc'],
  ])('that %s says so, as its check does', async (_what, folder) => {
    const storage = createFolderStorage(folder());
    const refused = { code: 'StorageRefused' };
    await expect(storage.write('mhsm/file', contentOf('one'))).rejects.toMatchObject(refused);
    await expect(storage.claimFolder('mhsm')).rejects.toMatchObject(refused);
    await expect(storage.check()).rejects.toMatchObject(refused);
  });
});
