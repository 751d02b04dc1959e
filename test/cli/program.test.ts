import { beforeAll, describe, expect, test } from '@jest/globals';
import type { Command } from 'commander';
import { createCliContext } from '../../src/cli/cli-context.ts';
import { createProgram } from '../../src/cli/program.ts';

const program = createProgram(createCliContext({}), (command) => command());
const all = (command: Command): Command[] => [command, ...command.commands.flatMap(all)];
const nameOf = (command: Command): string =>
  command.parent === null ? command.name() : `${nameOf(command.parent)} ${command.name()}`;
const COMMANDS = all(program).map((command) => [nameOf(command), command] as const);
const SENTENCE = /^[A-Z`].*\.$/s;

describe.each(COMMANDS)('the help of %s', (_name, command) => {
  let help = '';
  beforeAll(() => {
    command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
  });

  test('says what the command does in sentences', () => {
    expect(command.description()).toMatch(SENTENCE);
  });

  test('says of each option and argument in a sentence what it is', () => {
    const parts = [...command.options, ...command.registeredArguments];
    for (const { description } of parts) expect(description).toMatch(SENTENCE);
    expect(command.helpInformation()).toContain('Show this help.');
  });

  test('fits a terminal of 80 columns', () => {
    expect(help.split('\n').filter((line) => line.length > 80)).toEqual([]);
  });

  test('says what the exit status means, where the command does something', () => {
    // A command that only holds others has nothing to end with.
    const isGroup = command.commands.length > 0;
    expect(isGroup || help.includes('Exit status: ')).toBe(true);
  });
});

test('each command has a summary for the list of commands', () => {
  const lacking = COMMANDS.filter(([, { parent }]) => parent !== null).filter(
    ([, command]) => command.summary() === '',
  );
  expect(lacking.map(([name]) => name)).toEqual([]);
});
