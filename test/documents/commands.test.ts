import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import type { Command } from 'commander';
import { createCliContext } from '../../src/cli/cli-context.ts';
import { createProgram } from '../../src/cli/program.ts';
import { type Document, documentAt, perDocument, ROOT, sourcesBelow } from './documents.ts';

const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  scripts: Readonly<Record<string, string>>;
};
const program = createProgram(createCliContext({}), (command) => command());
const benchOptions = new Set(
  namesIn(sourcesBelow('test/bench', '.ts').join('\n'), /'--([a-z-]+)/g),
);

/** A call of the program, with what stands behind its name. */
const CALL = /(?:^|npx |\s)strongroom ([a-z][a-z-]+\b[^`]*)$/;

/** Where commands stand: code spans, and lines of code blocks. */
const codeOf = ({ spans, lines }: Document) => [...spans, ...lines];

test.each(
  perDocument((document) =>
    codeOf(document).flatMap((code) => namesIn(code, /npm run ([a-z:]+)/g)),
  ),
)('each script that %s names is in package.json', (_document, names) => {
  expect(names.filter((name) => !Object.hasOwn(scripts, name))).toEqual([]);
});

test.each(perDocument((document) => codeOf(document).filter((code) => CALL.test(code))))(
  'the program has each command that %s names, and the command its options',
  (_document, calls) => {
    expect(calls.filter((call) => !isKnown(CALL.exec(call)?.[1] ?? ''))).toEqual([]);
  },
);

test.each(
  perDocument((document) => codeOf(document).filter((code) => code.includes('npm run bench -- '))),
)('the bench knows each option that %s names', (_document, calls) => {
  const named = calls.flatMap((call) => namesIn(call.split('bench -- ')[1] ?? '', /--([a-z-]+)/g));
  expect(named.filter((name) => !benchOptions.has(name))).toEqual([]);
});

test('the table of commands has each command of the program', () => {
  const named = documentAt('src/cli/README.md').rows.flatMap(([first = '']) =>
    namesIn(first, /`([^`]+)`/g),
  );
  const leaves = (command: Command, path: string): string[] =>
    command.commands.length === 0
      ? [path]
      : command.commands.flatMap((inner) => leaves(inner, `${path} ${inner.name()}`));
  const commands = leaves(program, program.name());
  expect(commands).toContain('strongroom audit verify');
  expect(commands.filter((command) => !named.includes(command))).toEqual([]);
});

/** Whether the words name a command of the program; options after `--` are another program's, and `#` begins a comment. */
function isKnown(words: string): boolean {
  const [ours = ''] = words.split(/ -- | #/);
  let command: Command = program;
  for (const word of ours.trim().split(/\s+/)) {
    const inner = command.commands.find((one) => one.name() === word);
    if (inner === undefined) break;
    command = inner;
  }
  const options = new Set(['--help', ...command.options.map(({ long }) => long)]);
  return (
    command !== program &&
    namesIn(words.split(' -- ')[0] ?? '', /(--[a-z][a-z-]*)/g).every((option) =>
      options.has(option),
    )
  );
}

function namesIn(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([, name = '']) => name);
}
