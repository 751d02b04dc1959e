import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { ArchivedRow, ArchiveManifest } from '../../core/recovery/full-backup/archive.ts';
import { brokenArchive } from './broken-archive.ts';
import { ByteReader } from './byte-reader.ts';
import { openChunk } from './chunk-cipher.ts';
import { CHUNK_LIMIT_BYTES, DATA_BEGINNING, LENGTH_BYTES } from './data-writer.ts';

const decompress = promisify(gunzip);
/** Of a chunk with its tag; what can't be compressed grows by a little. */
const SEALED_LIMIT_BYTES = CHUNK_LIMIT_BYTES + (1 << 16);

export interface DataOptions {
  /** For sentences. */
  readonly folder: string;
  readonly key: Uint8Array;
  readonly id: Uint8Array;
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/**
 * The rows in what a DataWriter has written, each once its chunk is authenticated.
 * @throws ServiceError MalformedBackupBlob
 */
export async function* readData(
  source: AsyncIterable<Uint8Array>,
  expected: Pick<ArchiveManifest, 'rows' | 'data'>,
  { folder, key, id, onBytes }: DataOptions,
): AsyncGenerator<ArchivedRow> {
  const digest = createHash('sha256');
  const counts = new Map<string, number>();
  let bytes = 0;
  const counted = async function* () {
    for await (const piece of source) {
      digest.update(piece);
      bytes += piece.length;
      onBytes?.(bytes);
      yield piece;
    }
  };
  const reader = new ByteReader(counted());
  try {
    const beginning = await reader.read(DATA_BEGINNING.length);
    if (beginning?.equals(DATA_BEGINNING) !== true)
      throw brokenArchive(folder, 'its data do not begin as those of a backup do');
    let number = 0;
    for (let isLast = false; !isLast; number += 1) {
      const length = (await reader.read(LENGTH_BYTES))?.readUInt32BE() ?? 0;
      const sealed = length > SEALED_LIMIT_BYTES ? undefined : await reader.read(length);
      isLast = sealed === undefined || (await reader.isAtEnd());
      const plaintext = sealed && openChunk(key, { id, number, isLast }, sealed);
      if (plaintext === undefined)
        throw brokenArchive(folder, `its data were altered or cut off at chunk ${number + 1}`);
      for (const row of rowsOf(
        await decompress(plaintext, { maxOutputLength: CHUNK_LIMIT_BYTES }),
      )) {
        counts.set(row.table, (counts.get(row.table) ?? 0) + 1);
        yield row;
      }
    }
    const { data, rows } = expected;
    if (
      bytes !== data.bytes ||
      number !== data.chunks ||
      digest.digest('hex') !== data.sha256 ||
      !isSame(rows, counts)
    )
      throw brokenArchive(folder, 'its data are not those of which its manifest speaks');
  } finally {
    await reader.close();
  }
}

function* rowsOf(text: Buffer): Generator<ArchivedRow> {
  for (let at = 0; at < text.length;) {
    const tab = text.indexOf('\t', at);
    const end = text.indexOf('\n', tab);
    if (tab < 0 || end < 0) throw new TypeError('a chunk ends within a row');
    yield {
      table: text.toString('latin1', at, tab),
      json: text.toString('utf8', tab + 1, end),
    };
    at = end + 1;
  }
}

function isSame(rows: ArchiveManifest['rows'], counts: ReadonlyMap<string, number>): boolean {
  const expected = Object.entries(rows);
  return (
    expected.length === counts.size &&
    expected.every(([table, count]) => counts.get(table) === count)
  );
}
