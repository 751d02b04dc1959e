import type { Command } from 'commander';
import type { CliContext, Run } from '../cli-context.ts';
// Types alone, in a way that leaves no import behind: the commands' modules are loaded when they run.
import type { CreateOptions } from './create.ts';
import type { ListOptions } from './list.ts';
import type { RestoreOptions } from './restore.ts';
import type { SetOptions } from './schedule/set.ts';
import type { ShowOptions } from './schedule/show.ts';
import type { VerifyOptions } from './verify.ts';

const EXIT_STATUS = `
Exit status: 0 when it has done what it was asked for, 1 when it could not, and
2 for a backup that is not as it was written, or is of another security domain.`;

/** `strongroom backup …`: full backups of the pool, beside the service or without it. */
export function addBackupCommands(
  program: Command,
  context: CliContext,
  run: Run,
  exitStatus: string,
): void {
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

  addScheduleCommands(backup, context, run, exitStatus);
}

function addScheduleCommands(
  backup: Command,
  context: CliContext,
  run: Run,
  exitStatus: string,
): void {
  const schedule = backup
    .command('schedule')
    .helpCommand(false)
    .summary('have the service make backups by itself')
    .description(
      'Say when the service makes full backups by itself, where, and how many are kept. It holds for all machines that serve ' +
        'the pool, and one of them makes each backup. A time that was missed is made up for once. Credentials are those of the ' +
        "service's own settings.",
    );

  schedule
    .command('show', { isDefault: true })
    .summary('say what is planned')
    .description(
      'Say what is planned, when the newest backup was made, and why the last try failed.',
    )
    .option('--json', 'Print it as JSON.')
    .addHelpText('after', exitStatus)
    .action((options: ShowOptions) =>
      run(async () => {
        const { showSchedule } = await import('./schedule/show.ts');
        await showSchedule(context, options);
      }),
    );

  schedule
    .command('set')
    .summary('plan backups, in the place of what was planned')
    .description(
      'Plan full backups, in the place of what was planned. Each is read back when it was made. Then those are removed that ' +
        'this schedule has made in the same place and that neither --keep nor --keep-for keeps: never the newest one, and ' +
        'none without --keep or --keep-for.',
    )
    .requiredOption(
      '--to <place>',
      'A folder, which must be at hand wherever the service runs, or the URL of a container or bucket.',
    )
    .option(
      '--cron <expression>',
      'When: minute, hour, day, month and day of the week, as "30 2 * * *".',
    )
    .option('--time-zone <name>', 'Of the expression, as Europe/Zurich. UTC where none is given.')
    .option('--every <time>', 'When: from now on every so many minutes, hours or days, as 6h.')
    .option('--keep <number>', 'Keep that many of the newest.')
    .option('--keep-for <time>', 'Keep those that are not older than that, as 30d.')
    .option('--audit-records', 'Take the records of the audit log along.')
    .option('--json', 'Print what is planned as JSON.')
    .addHelpText('after', exitStatus)
    .action((options: SetOptions) =>
      run(async () => {
        const { setSchedule } = await import('./schedule/set.ts');
        await setSchedule(context, options);
      }),
    );

  schedule
    .command('off')
    .summary('plan none any more')
    .description('Plan no backups any more. Those that were made stay.')
    .addHelpText('after', exitStatus)
    .action(() =>
      run(async () => {
        const { endSchedule } = await import('./schedule/off.ts');
        await endSchedule(context);
      }),
    );
}
