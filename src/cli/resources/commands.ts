import type { Command } from 'commander';
import type { CliContext, Run } from '../cli-context.ts';
// Types alone, in a way that leaves no import behind: the commands' modules are loaded when they run.
import type { GrantOptions } from './grant.ts';

/** `strongroom resources …`: who may use the control plane, and the subscriptions in it. */
export function addResourceCommands(
  program: Command,
  context: CliContext,
  run: Run,
  exitStatus: string,
): void {
  const resources = program
    .command('resources')
    .helpCommand(false)
    .summary('say who may make and manage pools over HTTP')
    .description(
      'Say who may make and manage pools by the clients of Azure Resource Manager, whether the service runs or not. Without ' +
        'DATABASE_URL the pool is that of the service that runs on STRONGROOM_DATA_DIR.',
    );

  resources
    .command('grant')
    .summary('give a role of the control plane')
    .description(
      'Give a role of the control plane: Owner, Contributor, Reader, User Access Administrator or Managed HSM contributor. ' +
        'None of them lets anybody use a key. Where the tenant has no subscription yet, one is made.',
    )
    .argument('<object id>', 'Of a user, a group or a service principal.')
    .option('--role <name>', 'The role.', 'Owner')
    .option(
      '--scope <scope>',
      'Where: / for the whole tenant, a subscription, a resource group or a Managed HSM.',
      '/',
    )
    .option('--json', 'Print the assignment and the subscriptions as JSON.')
    .addHelpText('after', exitStatus)
    .action((principalId: string, options: GrantOptions) =>
      run(async () => {
        const { grant } = await import('./grant.ts');
        await grant(context, principalId, options);
      }),
    );

  resources
    .command('subscribe')
    .summary('make a subscription')
    .description('Make another subscription of the tenant, and print its id.')
    .argument('<name>', 'What it is called in lists.')
    .addHelpText('after', exitStatus)
    .action((name: string) =>
      run(async () => {
        const { subscribe } = await import('./grant.ts');
        await subscribe(context, name);
      }),
    );
}
