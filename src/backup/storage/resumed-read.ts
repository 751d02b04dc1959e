/** One answer of a storage to a read. */
interface Download {
  readonly readableStreamBody?: NodeJS.ReadableStream | undefined;
  /** Of the rest, from where it was asked for. */
  readonly contentLength?: number | undefined;
  readonly etag?: string | undefined;
}

/** One after another without a byte in between. */
const TRIES = 4;

/**
 * Reads an object to its end. Where a connection is cut it goes on from there, with the same object or not at all.
 * @param isCut whether an error is of the connection, and no answer of the storage's
 */
export async function* readWhole(
  download: (offset: number, etag: string | undefined) => Promise<Download>,
  isCut: (error: unknown) => boolean,
): AsyncGenerator<Uint8Array> {
  let offset = 0;
  let end: number | undefined;
  let etag: string | undefined;
  for (let tries = 1; end === undefined || offset < end; tries += 1) {
    // The client has tried for itself.
    const answer = await download(offset, etag);
    const { readableStreamBody: body, contentLength } = answer;
    if (body === undefined || contentLength === undefined)
      throw new Error('an answer without a body');
    end ??= offset + contentLength;
    etag ??= answer.etag;
    try {
      for await (const piece of body as AsyncIterable<Uint8Array>) {
        offset += piece.length;
        tries = 0;
        yield piece;
      }
      if (offset < end && tries >= TRIES) throw new Error('an answer that ended early');
    } catch (error) {
      if (tries >= TRIES || !isCut(error)) throw error;
    }
  }
}
