import { ServiceError } from '../../core/errors.ts';

/** One answer of a storage to a read. */
interface Download {
  readonly readableStreamBody?: NodeJS.ReadableStream | undefined;
  /** Of the rest, from where it was asked for. */
  readonly contentLength?: number | undefined;
  readonly etag?: string | undefined;
}

export interface ReadOptions {
  readonly place: string;
  readonly download: (offset: number, etag: string | undefined) => Promise<Download>;
  /** Whether an error is of the connection, and no answer of the storage's. */
  readonly isCut: (error: unknown) => boolean;
  readonly patience?: { readonly leastMs: number; readonly bytesPerSecond: number };
}

/** One after another without a byte in between. */
const TRIES = 4;
/** Of a storage, however often it begins anew; while its reader has something to do, it isn't waited for. */
const PATIENCE = { leastMs: 60_000, bytesPerSecond: 16 * 1024 };

/**
 * Reads an object to its end. Where a connection is cut it goes on from there, with the same object or not at all.
 * @throws ServiceError StorageUnavailable for a storage that gives it in drops
 */
export async function* readWhole(options: ReadOptions): AsyncGenerator<Uint8Array> {
  const { download, isCut } = options;
  const waiting = createPatience(options);
  let offset = 0;
  let end: number | undefined;
  let etag: string | undefined;
  for (let tries = 1; end === undefined || offset < end; tries += 1) {
    // The client has tried for itself.
    const from = offset;
    const answer = await waiting.on(from, () => download(from, etag));
    const { readableStreamBody: body, contentLength } = answer;
    if (body === undefined || contentLength === undefined)
      throw new Error('an answer without a body');
    end ??= offset + contentLength;
    etag ??= answer.etag;
    const pieces = (body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next: IteratorResult<Uint8Array, unknown> = await waiting.on(offset, () =>
          pieces.next(),
        );
        if (next.done === true) break;
        offset += next.value.length;
        tries = 0;
        yield next.value;
      }
      if (offset < end && tries >= TRIES) throw new Error('an answer that ended early');
    } catch (error) {
      if (error instanceof ServiceError || tries >= TRIES || !isCut(error)) throw error;
    } finally {
      await pieces.return?.();
    }
  }
}

function createPatience({ place, patience = PATIENCE }: ReadOptions) {
  let waitedMs = 0;
  return {
    /** @param bytes that have come so far */
    async on<T>(bytes: number, wait: () => Promise<T>): Promise<T> {
      const begin = performance.now();
      const [result] = await Promise.allSettled([wait()]);
      waitedMs += performance.now() - begin;
      if (waitedMs > patience.leastMs + (bytes / patience.bytesPerSecond) * 1000)
        throw new ServiceError(
          'StorageUnavailable',
          `${place} can't be used now: it gives what it holds too slowly.`,
        );
      if (result.status === 'rejected') throw result.reason;
      return result.value;
    },
  };
}
