/** Between tokens. */
const BLANK = /\s*/y;
const WORD = /[A-Za-z_][A-Za-z0-9_]*/y;

/**
 * The tokens of a $filter, from left to right. Each expression is held against one place and takes one kind of characters,
 * so that the whole costs in proportion to its length, whatever a client writes.
 */
export class FilterTokens {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    this.#skip();
  }

  isAtEnd(): boolean {
    return this.#at === this.#text.length;
  }

  /** Goes past the sign where it comes next. */
  take(sign: '(' | ')' | ',' | ':' | '/'): boolean {
    if (this.#text[this.#at] !== sign) return false;
    this.#moveTo(this.#at + 1);
    return true;
  }

  /** A name or an operator. */
  word(): string | undefined {
    const read = this.#match(WORD);
    if (read !== undefined) this.#moveTo(this.#at + read.length);
    return read;
  }

  /** Goes past the word, in upper or lower case, where it comes next. */
  takeWord(word: string): boolean {
    const read = this.#match(WORD);
    if (read?.toLowerCase() !== word) return false;
    this.#moveTo(this.#at + read.length);
    return true;
  }

  /** What stands in single quotes, in which two of them are one. */
  text(): string | undefined {
    if (this.#text[this.#at] !== "'") return undefined;
    const parts: string[] = [];
    let from = this.#at + 1;
    for (;;) {
      const quote = this.#text.indexOf("'", from);
      if (quote < 0) return undefined;
      parts.push(this.#text.slice(from, quote));
      from = quote + 1;
      if (this.#text[from] !== "'") break;
      from += 1;
    }
    this.#moveTo(from);
    return parts.join("'");
  }

  #moveTo(place: number): void {
    this.#at = place;
    this.#skip();
  }

  #skip(): void {
    this.#at += this.#match(BLANK)?.length ?? 0;
  }

  #match(expression: RegExp): string | undefined {
    expression.lastIndex = this.#at;
    return expression.exec(this.#text)?.[0];
  }
}
