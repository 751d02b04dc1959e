import type { Command } from 'commander';
import type { CliContext } from './cli-context.ts';

/** Has a command, or those below it, take `--pool`: the pool that it works on, in the place of STRONGROOM_POOL. */
export function takePoolOption(program: Command, name: string, context: CliContext): void {
  const command = program.commands.find((one) => one.name() === name);
  if (command !== undefined) addOption(command, context);
}

function addOption(command: Command, context: CliContext): void {
  if (command.commands.length > 0) {
    for (const below of command.commands) addOption(below, context);
    return;
  }
  command
    .option('--pool <name>', 'The pool; STRONGROOM_POOL where absent.')
    .on('option:pool', (pool: string) => {
      context.setEnvironment('STRONGROOM_POOL', pool);
    });
}
