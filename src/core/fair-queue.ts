/**
 * What waits, in lines: one of each line goes in turn, so that who has much waiting keeps nobody else from his turn.
 */
export class FairQueue<T> {
  /** By whose they are, in the order of their turns, but for the line that has just had its own. No line is empty. */
  readonly #lines = new Map<string, T[]>();
  /** It stands behind all others, also those that come later. */
  #last: string | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  lengthOf(of: string): number {
    return this.#lines.get(of)?.length ?? 0;
  }

  push(of: string, item: T): void {
    const line = this.#lines.get(of);
    if (line === undefined) this.#lines.set(of, [item]);
    else line.push(item);
    this.#size += 1;
  }

  /** The next one; undefined where nothing waits. */
  shift(): T | undefined {
    for (const [of, line] of this.#lines) {
      if (of === this.#last && this.#lines.size > 1) {
        this.#lines.delete(of);
        this.#lines.set(of, line);
        this.#last = undefined;
        continue;
      }
      const item = line.shift();
      if (line.length === 0) this.#lines.delete(of);
      this.#last = of;
      this.#size -= 1;
      return item;
    }
    return undefined;
  }

  /** Makes room for one of that line: the last one of the longest line has to go, unless that line would be this one. */
  giveWay(of: string): T | undefined {
    let longest: string | undefined;
    for (const [name, { length }] of this.#lines)
      if (longest === undefined || length > this.lengthOf(longest)) longest = name;
    if (longest === undefined || this.lengthOf(longest) <= this.lengthOf(of) + 1) return undefined;
    const line = this.#lines.get(longest);
    const item = line?.pop();
    if (line?.length === 0) this.#lines.delete(longest);
    this.#size -= 1;
    return item;
  }

  remove(of: string, item: T): void {
    const line = this.#lines.get(of);
    const at = line?.indexOf(item) ?? -1;
    if (line === undefined || at < 0) return;
    line.splice(at, 1);
    if (line.length === 0) this.#lines.delete(of);
    this.#size -= 1;
  }

  /** Takes out those that stand first in their lines for as long as they are to go, and says who stands first then. */
  takeWhile(isToGo: (item: T) => boolean): {
    readonly gone: readonly T[];
    readonly first: readonly T[];
  } {
    const gone: T[] = [];
    const first: T[] = [];
    for (const [of, line] of this.#lines) {
      const staying = line.findIndex((item) => !isToGo(item));
      gone.push(...line.splice(0, staying < 0 ? line.length : staying));
      if (line[0] === undefined) this.#lines.delete(of);
      else first.push(line[0]);
    }
    this.#size -= gone.length;
    return { gone, first };
  }
}
