/** The text without that character, however often it stands at the end. Linear, where /x+$/ tries each run anew. */
export function trimEnd(text: string, character: string): string {
  let end = text.length;
  while (end > 0 && text[end - 1] === character) end -= 1;
  return text.slice(0, end);
}
