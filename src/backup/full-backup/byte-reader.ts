/** Bytes that come in pieces of any size, read in pieces of the reader's choice. */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #held: Uint8Array[] = [];
  #size = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** So many, or undefined where the end comes before. */
  async read(count: number): Promise<Buffer | undefined> {
    if (!(await this.#holds(count))) return undefined;
    const [only, ...more] = this.#held;
    const all =
      only !== undefined && more.length === 0
        ? Buffer.from(only.buffer, only.byteOffset, only.length)
        : Buffer.concat(this.#held);
    this.#held = [all.subarray(count)];
    this.#size -= count;
    return all.subarray(0, count);
  }

  /** Whether there is nothing more. */
  async isAtEnd(): Promise<boolean> {
    return !(await this.#holds(1));
  }

  /** Whoever reads no further says so. */
  async close(): Promise<void> {
    await this.#source.return?.();
  }

  async #holds(count: number): Promise<boolean> {
    while (this.#size < count) {
      const next: IteratorResult<Uint8Array, unknown> = await this.#source.next();
      if (next.done === true) return false;
      this.#held.push(next.value);
      this.#size += next.value.length;
    }
    return true;
  }
}
