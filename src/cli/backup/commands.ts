import type { Command } from 'commander';
import type { CliContext, Run } from '../cli-context.ts';
// Types alone, in a way that leaves no import behind: the commands' modules are loaded when they run.
import type { CreateOptions } from './create.ts';
import type { ListOptions } from './list.ts';
import type { RestoreOptions } from './restore.ts';
import type { VerifyOptions } from './verify.ts';

const EXIT_STATUS = `
Exit status: 0 when it has done what it was asked for, 1 when it could not, and
2 for a backup that is not as it was written, or is of another security domain.`;

/** `strongroom backup …`: full backups of the pool, beside the service or without it. */
export function addBackupCommands(program: Command, context: CliContext, run: Run): void {
  const backup = program
    .command('backup')
    .helpCommand(false)
    .summary('back the pool up, and restore it')
    .description(
      'Back up all that a sealed pool holds, and restore it, whether the service runs or not. Without DATABASE_URL and ' +
        'PKCS11_MODULE the pool is that of the service that runs on STRONGROOM_DATA_DIR.',
    );

  backup
    .command('create')
    .summary('make a full backup')
    .description(
      'Write a full backup of the pool as it is at this moment, into a new folder. The service goes on meanwhile. It opens ' +
        "with the pool's backup keys, which are in its security domain, and with nothing else.",
    )
    .requiredOption(
      '--to <place>',
      'A folder, or the URL of a container or bucket, in which each backup has a folder of its own.',
    )
    .option('--audit-records', 'Take the records of the audit log along.')
    .option('--json', 'Print what was made as JSON.')
    .addHelpText('after', EXIT_STATUS)
    .action((options: CreateOptions) =>
      run(async () => {
        const { createBackup } = await import('./create.ts');
        await createBackup(context, options);
      }),
    );

  backup
    .command('list')
    .summary('say which backups there are')
    .description(
      'List the full backups in a place, as their manifests say. It needs neither a database nor an HSM.',
    )
    .requiredOption(
      '--from <place>',
      'A folder, or the URL of a container or bucket, in which backups were made.',
    )
    .option('--json', 'Print them as JSON.')
    .addHelpText('after', EXIT_STATUS)
    .action((options: ListOptions) =>
      run(async () => {
        const { listBackups } = await import('./list.ts');
        await listBackups(context, options);
      }),
    );

  backup
    .command('verify')
    .summary('read a backup to its end')
    .description(
      'Read a full backup to its end, and say whether it is as it was written. Nothing is restored.',
    )
    .argument('<folder>', 'The folder of the backup, as `list` names it.')
    .requiredOption('--from <place>', 'The place in which it is.')
    .option('--json', 'Print what is in it as JSON.')
    .addHelpText('after', EXIT_STATUS)
    .action((folder: string, options: VerifyOptions) =>
      run(async () => {
        const { verifyBackup } = await import('./verify.ts');
        await verifyBackup(context, folder, options);
      }),
    );

  backup
    .command('restore')
    .summary('restore a pool, or one key')
    .description(
      'Make the pool what a backup has of it, or bring back one key that was purged. Everything is read and verified before ' +
        'anything is changed, and all of it is restored or nothing. A fresh pool into which the security domain of another ' +
        'one was uploaded becomes that pool.',
    )
    .argument('<folder>', 'The folder of the backup, as `list` names it.')
    .requiredOption('--from <place>', 'The place in which it is.')
    .option('--key <name>', 'Restore this key alone, of which nothing is there, not even deleted.')
    .option('--replace-pool', 'Restore all, in the place of all that the pool holds.')
    .option('--json', 'Print what was restored as JSON.')
    .addHelpText('after', EXIT_STATUS)
    .action((folder: string, options: RestoreOptions) =>
      run(async () => {
        const { restoreBackup } = await import('./restore.ts');
        await restoreBackup(context, folder, options);
      }),
    );
}
