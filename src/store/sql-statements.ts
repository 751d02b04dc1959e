/** What a statement is made of, as far as it matters where it ends: comments, quoted texts, and the rest. */
const PARTS =
  /--[^\n]*|\/\*[\s\S]*?\*\/|\$(?<tag>\w*)\$[\s\S]*?\$\k<tag>\$|'(?:[^']|'')*'|"[^"]*"|;|[^;'"$/-]+|[$/-]/g;

/** The statements of a text in SQL: without comments, with single blanks, and with nothing in the place of quoted bodies. */
export function sqlStatements(text: string): readonly string[] {
  const statements = [''];
  for (const { 0: part } of text.matchAll(PARTS)) {
    if (part === ';') statements.push('');
    else if (part.startsWith('--') || part.startsWith('/*')) continue;
    else
      statements.push(
        `${statements.pop() ?? ''}${part.startsWith('$') && part.length > 1 ? '$$' : part}`,
      );
  }
  return statements.map((one) => one.replace(/\s+/g, ' ').trim()).filter((one) => one !== '');
}
