import { randomBytes } from 'node:crypto';
import { expect } from '@jest/globals';
import type { ServiceError } from '../../src/core/errors.ts';
import type { BackupStorage } from '../../src/core/recovery/full-backup/ports.ts';

const MIB = 1024 ** 2;

const NO_PATHS = [
  '../out/file',
  '/etc/passwd',
  'folder/../../out',
  'folder//file',
  'folder/.hidden',
  'folder/a b',
  'folder/\u0000',
  'folder\\file',
  'a/'.repeat(11),
  `${'a'.repeat(200)}/file`,
  '',
];

/** What every storage promises, whatever it is: each is tried with a storage that others may have written to. */
export const STORAGE_PROMISES: readonly (readonly [
  string,
  (storage: BackupStorage) => Promise<void>,
])[] = [
  ...[0, 1, 300_000, 9 * MIB].map(
    (length) =>
      [
        `gives back the ${length} bytes that it took`,
        async (storage: BackupStorage) => {
          const bytes = randomBytes(length);
          const middle = Math.floor(length / 3);
          const path = `sizes/${length}.bin`;
          await write(storage, path, bytes.subarray(0, middle), bytes.subarray(middle));
          expect((await readAll(storage, path)).equals(bytes)).toBe(true);
        },
      ] as const,
  ),
  [
    'keeps nothing of a file whose content breaks off, and says what its content said',
    async (storage) => {
      const fault = Object.assign(new Error('broken off'), { code: 'ENOENT' });
      async function* broken() {
        yield randomBytes(6 * MIB);
        yield await Promise.reject<Uint8Array>(fault);
      }
      await expect(storage.write('broken/off', broken())).rejects.toBe(fault);
      await expect(readAll(storage, 'broken/off')).rejects.toMatchObject({
        code: 'BackupNotFound',
      });
    },
  ],
  [
    'puts a file in the place of another as a whole',
    async (storage) => {
      await write(storage, 'twice/file', 'one', 'two');
      await write(storage, 'twice/file', '3');
      expect((await readAll(storage, 'twice/file')).toString()).toBe('3');
    },
  ],
  [
    'lists the folders at its top, each once, by how they begin',
    async (storage) => {
      await write(storage, 'mhsm-b/manifest.json', '{}');
      await write(storage, 'mhsm-a/manifest.json', '{}');
      await write(storage, 'mhsm-a/parts/1', 'x');
      await write(storage, 'other-a/manifest.json', '{}');
      expect(await storage.listFolders('mhsm-')).toEqual(['mhsm-a', 'mhsm-b']);
      expect(await storage.listFolders('mhsm-b')).toEqual(['mhsm-b']);
      expect(await storage.listFolders('none')).toEqual([]);
    },
  ],
  [
    'removes a folder with all that is in it, and nothing else; one that is gone is none',
    async (storage) => {
      await write(storage, 'gone/manifest.json', '{}');
      await write(storage, 'gone/parts/1', 'x');
      await write(storage, 'gone-not/manifest.json', '{}');
      await storage.removeFolder('gone');
      expect(await storage.listFolders('gone')).toEqual(['gone-not']);
      await expect(readAll(storage, 'gone/parts/1')).rejects.toMatchObject({
        code: 'BackupNotFound',
      });
      await storage.removeFolder('gone');
    },
  ],
  [
    'lets one of many claim a folder, and no later one until it is removed',
    async (storage) => {
      const claim = storage.claimFolder.bind(storage, 'mhsm-claimed');
      const ends = await Promise.allSettled([claim(), claim(), claim(), claim()]);
      const codes: unknown[] = [];
      for (const end of ends)
        if (end.status === 'rejected') codes.push((end.reason as ServiceError).code);
      expect(codes).toEqual(['Conflict', 'Conflict', 'Conflict']);
      await write(storage, 'mhsm-claimed/manifest.json', '{}');
      await expect(storage.claimFolder('mhsm-claimed')).rejects.toMatchObject({ code: 'Conflict' });
      expect((await readAll(storage, 'mhsm-claimed/manifest.json')).toString()).toBe('{}');
      await storage.removeFolder('mhsm-claimed');
      await storage.claimFolder('mhsm-claimed');
      await storage.removeFolder('mhsm-claimed');
    },
  ],
  [
    'is checked without a trace',
    async (storage) => {
      const before = await storage.listFolders('');
      await storage.check();
      expect(await storage.listFolders('')).toEqual(before);
    },
  ],
  ...NO_PATHS.map(
    (path) =>
      [
        `takes ${JSON.stringify(path)} for no path`,
        async (storage: BackupStorage) => {
          const refused = { code: 'BadParameter' };
          await expect(write(storage, path, 'x')).rejects.toMatchObject(refused);
          await expect(readAll(storage, path)).rejects.toMatchObject(refused);
          await expect(storage.removeFolder(path)).rejects.toMatchObject(refused);
          await expect(storage.claimFolder(path)).rejects.toMatchObject(refused);
        },
      ] as const,
  ),
];

async function write(
  storage: BackupStorage,
  path: string,
  ...pieces: readonly (string | Uint8Array)[]
): Promise<void> {
  await storage.write(path, contentOf(...pieces));
}

/** What a storage takes. */
export async function* contentOf(...pieces: readonly (string | Uint8Array)[]) {
  for (const piece of pieces)
    yield await Promise.resolve(typeof piece === 'string' ? Buffer.from(piece) : piece);
}

export async function readAll(storage: BackupStorage, path: string): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of storage.read(path)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** All that an error says, as the log would have it. */
export function failureTextOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const members = JSON.stringify(error, Object.getOwnPropertyNames(error));
  return `${error.message} ${error.stack ?? ''} ${members} ${failureTextOf(error.cause)}`;
}
