import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { perDocument, ROOT, sourcesBelow } from './documents.ts';

const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  scripts: Readonly<Record<string, string>>;
};
const program = sourcesBelow('src', '.ts').join('\n');
const commands = new Set(namesIn(program, /\.command\(\s*'([a-z-]+)/g));
const options = new Set(['help', ...namesIn(program, /'(?:-\w, )?--([a-z-]+)/g)]);
const benchOptions = new Set(
  namesIn(sourcesBelow('test/bench', '.ts').join('\n'), /'--([a-z-]+)/g),
);

/** A call of the program, with what stands behind its name. */
const ASKED = /(?:^|npx |\s)strongroom ([a-z][a-z-]+\b[^`]*)$/;

/** Lines and code spans that give a command. */
const codeOf = ({ spans, lines }: { spans: readonly string[]; lines: readonly string[] }) => [
  ...spans,
  ...lines,
];

test.each(
  perDocument((document) =>
    codeOf(document).flatMap((code) => namesIn(code, /npm run ([a-z:]+)/g)),
  ),
)('each script that %s names is in package.json', (_document, names) => {
  expect(names.filter((name) => !Object.hasOwn(scripts, name))).toEqual([]);
});

test.each(perDocument((document) => codeOf(document).filter((code) => ASKED.test(code))))(
  'the program knows each command and option of strongroom that %s names',
  (_document, lines) => {
    expect(commands).toContain('serve');
    const unknown = lines.filter((line) => {
      const [, words = ''] = ASKED.exec(line) ?? [];
      const [command = ''] = words.trim().split(/\s+/);
      const [ours = ''] = words.split(/ -- |#/);
      return !(
        commands.has(command) &&
        namesIn(ours, /--([a-z-]+)/g).every((option) => options.has(option))
      );
    });
    expect(unknown).toEqual([]);
  },
);

test.each(
  perDocument((document) => codeOf(document).filter((code) => code.includes('npm run bench -- '))),
)('the bench knows each option that %s names', (_document, lines) => {
  const named = lines.flatMap((line) => namesIn(line.split('bench -- ')[1] ?? '', /--([a-z-]+)/g));
  expect(named.filter((name) => !benchOptions.has(name))).toEqual([]);
});

function namesIn(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([, name = '']) => name);
}
