import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { ArchivedRow, ArchiveManifest } from '../../core/recovery/full-backup/archive.ts';
import { sealChunk } from './chunk-cipher.ts';

/** The first line of a data file. */
export const DATA_BEGINNING = Buffer.from('strongroom-full-backup/1\n');
/** Before each chunk stands how many bytes it has, big-endian. */
export const LENGTH_BYTES = 4;
/** Of plaintext: a chunk ends with the row by which it comes to that. */
const CHUNK_BYTES = 1 << 20;
/** Of plaintext. No row of the pool's tables comes near it. */
export const CHUNK_LIMIT_BYTES = 64 << 20;
/** Most of it is hexadecimal digits of what can't be compressed: more effort gains nothing. */
const LEVEL = 3;

const compress = promisify(gzip);

type Written = Pick<ArchiveManifest, 'rows' | 'data'>;

/** Rows as lines, lines as chunks, each compressed and encrypted. */
export class DataWriter {
  readonly #key: Uint8Array;
  readonly #id: Uint8Array;
  readonly #rows: Record<string, number> = {};
  readonly #digest = createHash('sha256');
  #bytes = 0;
  #chunks = 0;

  constructor(key: Uint8Array, id: Uint8Array) {
    this.#key = key;
    this.#id = id;
  }

  /** What stands in the file, in pieces. To be asked for once. */
  async *write(
    rows: AsyncIterable<ArchivedRow>,
    onBytes?: (bytes: number) => void,
  ): AsyncGenerator<Buffer> {
    const counted = (piece: Buffer) => {
      this.#digest.update(piece);
      this.#bytes += piece.length;
      onBytes?.(this.#bytes);
      return piece;
    };
    yield counted(DATA_BEGINNING);
    let lines: Buffer[] = [];
    let size = 0;
    for await (const { table, json } of rows) {
      // What comes after a full chunk makes it sure that this one isn't the last.
      if (size >= CHUNK_BYTES) {
        yield counted(await this.#chunk(lines, false));
        lines = [];
        size = 0;
      }
      const line = Buffer.from(`${table}\t${json}\n`);
      lines.push(line);
      size += line.length;
      this.#rows[table] = (this.#rows[table] ?? 0) + 1;
    }
    yield counted(await this.#chunk(lines, true));
  }

  /** Of all that was written. */
  end(): Written {
    return {
      rows: this.#rows,
      data: {
        bytes: this.#bytes,
        chunks: this.#chunks,
        sha256: this.#digest.digest('hex'),
      },
    };
  }

  async #chunk(lines: readonly Buffer[], isLast: boolean): Promise<Buffer> {
    const plaintext = Buffer.concat(lines);
    if (plaintext.length > CHUNK_LIMIT_BYTES) throw new RangeError('a row is too large');
    const place = { id: this.#id, number: this.#chunks, isLast };
    const sealed = sealChunk(this.#key, place, await compress(plaintext, { level: LEVEL }));
    this.#chunks += 1;
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt32BE(sealed.length);
    return Buffer.concat([length, sealed]);
  }
}
