import { type Command, InvalidArgumentError, Option } from 'commander';
import type { CliContext, Run } from '../cli-context.ts';
// Types alone, in a way that leaves no import behind: the commands' modules are loaded when they run.
import type { ExportOptions } from './export.ts';
import type { VerifyOptions } from './verify.ts';

/** `strongroom audit …`: works on the database and the HSM, whether the service runs or not. */
export function addAuditCommands(
  program: Command,
  context: CliContext,
  run: Run,
  exitStatus: string,
): void {
  const audit = program
    .command('audit')
    .helpCommand(false)
    .summary('verify, export and shorten the audit log')
    .description(
      'Verify, export and shorten the audit log, whether the service runs or not. Without DATABASE_URL and PKCS11_MODULE ' +
        'the log is that of the service that runs on STRONGROOM_DATA_DIR.',
    );

  audit
    .command('verify')
    .summary('check that the audit log is what was written')
    .description(
      'Check that the audit log is what was written, and that the rows of the store are what it says.',
    )
    .option(
      '--from <time>',
      'Begin with the last checkpoint before this time (RFC 3339).',
      parseTime,
    )
    .option('--to <time>', 'End with the first checkpoint after this time (RFC 3339).', parseTime)
    .option(
      '--checkpoint <file>',
      'Hold the log against a checkpoint of GET /audit/checkpoints that was kept elsewhere.',
    )
    .addHelpText(
      'after',
      '\nExit status: 0 when the log is what was written, 2 when it is not, 1\nwhen that could not be found out.',
    )
    .action((options: VerifyOptions) =>
      run(async () => {
        const { verifyLog } = await import('./verify.ts');
        await verifyLog(context, options);
      }),
    );

  audit
    .command('retain')
    .summary('take old months away')
    .description(
      'Take away months that ended long ago, as the owner of the tables. A signed checkpoint stays in their place, so that ' +
        'what is left can still be verified.',
    )
    .requiredOption(
      '--months <number>',
      'Keep so many whole months before this one (1 to 1200).',
      parseMonths,
    )
    .addHelpText('after', exitStatus)
    .action(({ months }: { readonly months: number }) =>
      run(async () => {
        const { retainMonths } = await import('./retain.ts');
        await retainMonths(context, months);
      }),
    );

  audit
    .command('export')
    .summary('write the records to files')
    .description('Write the records to files, one for each day (UTC), one record a line (JSON).')
    .requiredOption(
      '--directory <path>',
      'Write to this folder; files of the same name are replaced.',
    )
    .option('--from <time>', 'Begin at this time (RFC 3339).', parseTime)
    .option('--to <time>', 'End before this time (RFC 3339).', parseTime)
    .addOption(
      new Option(
        '--format <format>',
        "Write our own form, or that of Managed HSM's diagnostic logs.",
      )
        .choices(['strongroom', 'azure'])
        .default('strongroom'),
    )
    .addHelpText('after', exitStatus)
    .action((options: ExportOptions) =>
      run(async () => {
        const { exportRecords } = await import('./export.ts');
        await exportRecords(context, options);
      }),
    );
}

function parseTime(text: string): Date {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) throw new InvalidArgumentError('it is no RFC 3339 time.');
  return date;
}

function parseMonths(text: string): number {
  const months = Number(text);
  if (!Number.isInteger(months) || months < 1 || months > 1200)
    throw new InvalidArgumentError('it is no number from 1 to 1200.');
  return months;
}
