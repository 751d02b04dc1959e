import { randomBytes } from 'node:crypto';
import type { ArchiveFormat, ArchivePlace } from '../../core/recovery/full-backup/archive.ts';
import { deriveArchiveKeys } from './archive-keys.ts';
import { brokenArchive } from './broken-archive.ts';
import { readData } from './data-reader.ts';
import { DataWriter } from './data-writer.ts';
import { parseManifest, writeManifest } from './manifest-file.ts';

const ID_BYTES = 32;
/** A manifest has some 2 KB. */
const MANIFEST_LIMIT_BYTES = 1 << 16;
const MANIFEST = 'manifest.json';
const DATA = 'data';

/** @param newId 32 random bytes: a second archive with the same ones would have the same keys */
export function createArchiveFormat(newId = () => randomBytes(ID_BYTES)): ArchiveFormat {
  return {
    async write({ storage, folder }, secret, header, rows, onBytes) {
      const id = newId();
      const keys = deriveArchiveKeys(secret, id);
      const writer = new DataWriter(keys.chunks, id);
      await storage.write(`${folder}/${DATA}`, writer.write(rows, onBytes));
      const manifest = { ...header, id: id.toString('base64url'), ...writer.end() };
      // The last file: a folder without one is no backup.
      await storage.write(`${folder}/${MANIFEST}`, once(writeManifest(manifest, keys.manifest)));
      return manifest;
    },

    async readManifest(place) {
      const parsed = parseManifest(await readText(place));
      if (parsed === undefined)
        throw brokenArchive(place.folder, `its ${MANIFEST} is not the manifest of a backup`);
      const { manifest } = parsed;
      return {
        claimed: manifest,
        verify(secret) {
          const keys = deriveArchiveKeys(secret, Buffer.from(manifest.id, 'base64url'));
          if (parsed.isBy(keys.manifest)) return manifest;
          throw brokenArchive(place.folder, `its ${MANIFEST} was altered`);
        },
      };
    },

    readRows({ storage, folder }, secret, manifest, onBytes) {
      const id = Buffer.from(manifest.id, 'base64url');
      const { chunks: key } = deriveArchiveKeys(secret, id);
      return readData(storage.read(`${folder}/${DATA}`), manifest, { folder, key, id, onBytes });
    },
  };
}

async function readText({ storage, folder }: ArchivePlace): Promise<string> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of storage.read(`${folder}/${MANIFEST}`)) {
    pieces.push(piece);
    size += piece.length;
    if (size > MANIFEST_LIMIT_BYTES) throw brokenArchive(folder, `its ${MANIFEST} is too large`);
  }
  return Buffer.concat(pieces).toString();
}

// eslint-disable-next-line @typescript-eslint/require-await -- a storage takes what comes bit by bit
async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}
