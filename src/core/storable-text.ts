/** What JSON can say and Postgres can't hold: U+0000, and halves of surrogate pairs (they are no Unicode: RFC 7493 §2.1). */
const UNSTORABLE = /\0|\p{Cs}/u;
const EVERY_UNSTORABLE = new RegExp(UNSTORABLE, 'gu');

export const NOT_STORABLE = 'must be well-formed Unicode without U+0000';

export function isStorable(text: string): boolean {
  return !UNSTORABLE.test(text);
}

/** With U+FFFD in the place of what can't be held. */
export function storableTextOf(text: string): string {
  return text.replace(EVERY_UNSTORABLE, '\uFFFD');
}

/** Whether all texts in a value that JSON has given can be held, names of members too, however deep they are. */
export function isAllStorable(value: unknown): boolean {
  const waiting = [value];
  while (waiting.length > 0) {
    const next = waiting.pop();
    if (typeof next === 'string') {
      if (!isStorable(next)) return false;
    } else if (Array.isArray(next)) for (const item of next) waiting.push(item);
    else if (typeof next === 'object' && next !== null)
      for (const [name, member] of Object.entries(next)) waiting.push(name, member);
  }
  return true;
}
