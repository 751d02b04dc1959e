import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createArchiveFormat } from '../../../src/backup/full-backup/archive-format.ts';
import type { KeyVersionId } from '../../../src/core/keys/key.ts';
import type { ArchivedRow, ArchiveHeader } from '../../../src/core/recovery/full-backup/archive.ts';
import { MemoryStorage } from '../../support/fakes/memory-storage.ts';

const SECRET = randomBytes(64);
const HEADER: ArchiveHeader = {
  pool: { id: '00000000-0000-4000-8000-000000000001', name: 'main' },
  madeAt: new Date('2026-11-28T07:00:00.123Z'),
  pair: 'a'.repeat(32) as KeyVersionId,
  schema: { newest: '0081_full_restore.sql', digest: 'b'.repeat(64) },
  withAuditRecords: false,
  madeBy: { askedBy: 'schedule', job: 'c'.repeat(32) },
};
/** Of some 400 KB each, which can't be compressed: three or four of them are a chunk. */
const ROWS: readonly ArchivedRow[] = Array.from({ length: 7 }, (_, index) => ({
  table: index < 2 ? 'key' : 'key_version',
  json: JSON.stringify({ index, text: randomBytes(300_000).toString('base64'), letters: 'ä\n\t' }),
}));

const storage = new MemoryStorage();
const format = createArchiveFormat();

// eslint-disable-next-line @typescript-eslint/require-await -- as a store gives them
async function* given(rows: readonly ArchivedRow[]) {
  yield* rows;
}

const write = (folder: string, rows = ROWS, secret: Uint8Array = SECRET) =>
  format.write({ storage, folder }, secret, HEADER, given(rows));

async function read(folder: string, secret: Uint8Array = SECRET): Promise<readonly ArchivedRow[]> {
  const place = { storage, folder };
  const manifest = (await format.readManifest(place)).verify(secret);
  const rows: ArchivedRow[] = [];
  for await (const row of format.readRows(place, secret, manifest)) rows.push(row);
  return rows;
}

const refused = { code: 'MalformedBackupBlob' };
/** The same backup with one of its files changed. */
function changed(file: string, change: (bytes: Buffer) => Buffer): string {
  const folder = `changed-${randomBytes(4).toString('hex')}`;
  for (const name of ['data', 'manifest.json']) {
    const bytes = storage.files.get(`one/${name}`) ?? Buffer.alloc(0);
    storage.files.set(`${folder}/${name}`, name === file ? change(Buffer.from(bytes)) : bytes);
  }
  return folder;
}

const sizeOf = (file: string) => storage.files.get(`one/${file}`)?.length ?? 0;
const flipped = (bytes: Buffer, at: number, mask: number) => {
  bytes.writeUInt8(bytes.readUInt8(at) ^ mask, at);
  return bytes;
};

beforeAll(async () => {
  await write('one');
  await write('two');
});
afterAll(() => {
  storage.files.clear();
});

test('what was written is read, in its order and with what it says of itself', async () => {
  expect(await read('one')).toEqual(ROWS);
  const { claimed } = await format.readManifest({ storage, folder: 'one' });
  expect(claimed).toMatchObject({ ...HEADER, rows: { key: 2, key_version: 5 } });
  expect(claimed.data.chunks).toBeGreaterThan(2);
});

test('a backup of a version that did not say who made it is read, and says so no more', async () => {
  const { madeBy, ...header } = HEADER;
  expect(madeBy).toBeDefined();
  await format.write({ storage, folder: 'earlier' }, SECRET, header, given(ROWS));
  expect(storage.files.get('earlier/manifest.json')?.includes('madeBy')).toBe(false);
  expect(await read('earlier')).toEqual(ROWS);
  const { claimed } = await format.readManifest({ storage, folder: 'earlier' });
  expect(claimed).not.toHaveProperty('madeBy');
});

test('a backup of nothing is one', async () => {
  await write('empty', []);
  expect(await read('empty')).toEqual([]);
});

test('two backups of the same have nothing in common', () => {
  const [one, two] = ['one', 'two'].map((folder) => storage.files.get(`${folder}/data`));
  expect(one?.subarray(30, 1_000)).not.toEqual(two?.subarray(30, 1_000));
});

test('no plaintext is in it', () => {
  expect(storage.files.get('one/data')?.includes('letters')).toBe(false);
});

describe('nothing is read of a backup', () => {
  test('under other keys', async () => {
    await expect(read('one', randomBytes(64))).rejects.toMatchObject(refused);
  });

  test.each(Array.from({ length: 40 }, (_, index) => index))(
    'of whose data a bit was changed (%i)',
    async (index) => {
      // The first bytes have lengths and marks; the rest is sampled.
      const size = sizeOf('data');
      const at = index < 30 ? index : Math.floor((size * (index - 30)) / 10) + 1;
      const folder = changed('data', (bytes) => flipped(bytes, at, 1 << (index % 8)));
      await expect(read(folder)).rejects.toMatchObject(refused);
    },
  );

  test('of whose manifest any byte was changed', async () => {
    for (let at = 0; at < sizeOf('manifest.json'); at += 1) {
      const folder = changed('manifest.json', (bytes) => flipped(bytes, at, 1 << (at % 7)));
      await expect(read(folder)).rejects.toMatchObject(refused);
    }
  });

  test('which says that another one has made it', async () => {
    const folder = changed('manifest.json', (bytes) =>
      Buffer.from(bytes.toString().replace('"schedule"', '"operator"')),
    );
    await expect(read(folder)).rejects.toMatchObject(refused);
    const less = changed('manifest.json', (bytes) =>
      Buffer.from(bytes.toString().replace(/ {2}"madeBy": \{[^}]*\},\n/, '')),
    );
    expect(storage.files.get(`${less}/manifest.json`)?.includes('madeBy')).toBe(false);
    await expect(read(less)).rejects.toMatchObject(refused);
  });

  // Whoever asks for a restore is told the name, and so is the log, before it is known who has written it.
  test.each(['a\\u0000b', 'x'.repeat(101), '\\u001b[31m', 'two words'])(
    'whose pool is called %j',
    async (name) => {
      const folder = changed('manifest.json', (bytes) =>
        Buffer.from(bytes.toString().replace(/("name": ")[^"]*/, `$1${name}`)),
      );
      await expect(format.readManifest({ storage, folder })).rejects.toMatchObject(refused);
    },
  );

  test.each(['data', 'manifest.json'])('whose %s was cut or has grown', async (file) => {
    for (const share of [0, 0.3, 0.7, 0.999]) {
      const folder = changed(file, (bytes) => bytes.subarray(0, bytes.length * share));
      await expect(read(folder)).rejects.toMatchObject(refused);
    }
    const longer = changed(file, (bytes) => Buffer.concat([bytes, Buffer.from('\n')]));
    await expect(read(longer)).rejects.toMatchObject(refused);
  });

  test('that ends with a whole chunk, or whose chunks were exchanged', async () => {
    const chunks = (bytes: Buffer) => {
      const found: Buffer[] = [];
      for (let at = 25; at < bytes.length;) {
        const end = at + 4 + bytes.readUInt32BE(at);
        found.push(bytes.subarray(at, end));
        at = end;
      }
      return [bytes.subarray(0, 25), found] as const;
    };
    const rearranged = (order: (found: Buffer[]) => Buffer[]) =>
      changed('data', (bytes) => {
        const [beginning, found] = chunks(bytes);
        return Buffer.concat([beginning, ...order(found)]);
      });
    const changes = [
      (found: Buffer[]) => found.slice(0, -1),
      (found: Buffer[]) => found.slice(1),
      ([first, second, ...rest]: Buffer[]) => [second ?? first, first, ...rest] as Buffer[],
      (found: Buffer[]) => [...found, ...found.slice(-1)],
    ];
    for (const order of changes)
      await expect(read(rearranged(order))).rejects.toMatchObject(refused);
  });

  test('whose data are those of another one', async () => {
    const folder = changed('data', () => Buffer.from(storage.files.get('two/data') ?? []));
    await expect(read(folder)).rejects.toMatchObject(refused);
    const other = changed('manifest.json', () =>
      Buffer.from(storage.files.get('two/manifest.json') ?? []),
    );
    await expect(read(other)).rejects.toMatchObject(refused);
  });
});
