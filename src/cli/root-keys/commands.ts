import type { Command } from 'commander';
import type { CliContext, Run } from '../cli-context.ts';
// Types alone, in a way that leaves no import behind: the commands' modules are loaded when they run.
import type { RotateOptions } from './rotate.ts';
import type { StatusOptions } from './status.ts';

/** `strongroom root-keys …`: works on the database and the HSM, beside the service or without it. */
export function addRootKeyCommands(
  program: Command,
  context: CliContext,
  run: Run,
  exitStatus: string,
): void {
  const rootKeys = program
    .command('root-keys')
    .helpCommand(false)
    .summary('make new root keys, and say how far that is')
    .description(
      'Make new root keys for a sealed pool, and say how far that is, whether the service runs or not. Without DATABASE_URL ' +
        'and PKCS11_MODULE the pool is that of the service that runs on STRONGROOM_DATA_DIR.',
    );

  rootKeys
    .command('rotate')
    .summary('make new root keys, and wrap everything by them')
    .description(
      'Make new root keys in the HSM, wrap everything by them that the old ones seal, and destroy the old ones. The service ' +
        'goes on meanwhile. Where an earlier rotation was cut off, or root keys of a security domain wait for replicas, that ' +
        'one is ended instead. What only the old root keys open is lost with them: backups of the database from before.',
    )
    .option('--keep', 'Leave the old root keys in the HSM.')
    .option(
      '--destroy-backups-key',
      'Destroy old root keys even where backup blobs may exist that nothing else opens.',
    )
    .option(
      '--without-replica <name...>',
      'Do not wait for these replicas, whose HSM lacks the root keys of the newest security domain: until they have them, they serve nothing.',
    )
    .addHelpText('after', exitStatus)
    .action((options: RotateOptions) =>
      run(async () => {
        const { rotateRootKeys } = await import('./rotate.ts');
        await rotateRootKeys(context, options);
      }),
    );

  rootKeys
    .command('vouch')
    .summary('say that the current root keys are the right ones')
    .description(
      'Have older root keys in the HSM say that the current ones have come after them, and the current ones, which of the ' +
        'older ones are to go. A rotation does so by itself; this is for root keys that an earlier version or another HSM has ' +
        'made, or for a database that is older than the root keys in use, and only after `strongroom audit verify` has found ' +
        'nothing: what the database says now is believed.',
    )
    .addHelpText('after', exitStatus)
    .action(() =>
      run(async () => {
        const { vouchForRootKeys } = await import('./vouch.ts');
        await vouchForRootKeys(context);
      }),
    );

  rootKeys
    .command('status')
    .summary('say which root keys there are')
    .description(
      'Say which generations of root keys the pool has, and how much each of them seals.',
    )
    .option('--json', 'Print it as JSON.')
    .addHelpText('after', exitStatus)
    .action((options: StatusOptions) =>
      run(async () => {
        const { printRootKeyStatus } = await import('./status.ts');
        await printRootKeyStatus(context, options);
      }),
    );
}
