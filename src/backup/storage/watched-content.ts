/** What comes in to be written, and what it has thrown: that isn't the storage's fault, though its client may say so. */
export interface WatchedContent extends AsyncIterable<Uint8Array> {
  /** Undefined while it has thrown nothing. */
  readonly failure: { readonly error: unknown } | undefined;
}

export function watchContent(content: AsyncIterable<Uint8Array>): WatchedContent {
  let failure: WatchedContent['failure'];
  return {
    get failure() {
      return failure;
    },
    async *[Symbol.asyncIterator]() {
      try {
        yield* content;
      } catch (error) {
        failure = { error };
        throw error;
      }
    },
  };
}
