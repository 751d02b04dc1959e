import process from 'node:process';
import { Command, InvalidArgumentError, Option } from 'commander';
import { KEY_KEEPINGS } from '../core/keys/key-keeping.ts';
import { addAuditCommands } from './audit/commands.ts';
import { addBackupCommands } from './backup/commands.ts';
import { type CliContext, createCliContext, type Run } from './cli-context.ts';
// Types alone, in a way that leaves no import behind: the commands' modules are loaded when they run.
import type { BootstrapOptions } from './bootstrap.ts';
import type { DoctorOptions } from './doctor/doctor.ts';
import type { MigrateCommandOptions } from './migrate.ts';
import type { DrillOptions } from './drill/drill.ts';
import { addPoolCommands } from './pool/commands.ts';
import { takePoolOption } from './pool-option.ts';
import { addRootKeyCommands } from './root-keys/commands.ts';
import { addResourceCommands } from './resources/commands.ts';
import { readVersion } from './version.ts';
import { addSecurityDomainCommands } from './security-domain/commands.ts';

const EXIT_STATUS = `
Exit status: 0 when it has done what it was asked for, 1 when it could not. What
you can mend is said in one sentence that names the setting or the file.`;

/**
 * Reads the command line, and runs the command that it names. Each command's own modules are loaded when it runs, so that
 * none pays for the others.
 * @param environment the process's own
 */
export async function runCli(environment: Record<string, string | undefined>): Promise<void> {
  await createProgram(createCliContext(environment), run).parseAsync();
}

/** The commands, their options and their help. */
export function createProgram(context: CliContext, run: Run): Command {
  const program = new Command('strongroom')
    .description(
      'A Managed HSM that you run yourself. Without a command it serves.\n\n' +
        'Settings are environment variables; src/config/README.md lists them.',
    )
    .helpCommand(false)
    .helpOption('-h, --help', 'Show this help.')
    .option('-V, --version', 'Show the version, and the schema that it serves on.')
    .on('option:version', () => {
      const { version, schema } = readVersion();
      context.print(
        `${version}, on the schema of sql/${schema} and on one that later versions have expanded`,
      );
      process.exit(0);
    })
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .showHelpAfterError()
    .addHelpText('after', EXIT_STATUS);

  program
    .command('serve', { isDefault: true })
    .summary('serve the REST API')
    .description(
      'Serve the REST API until SIGTERM or SIGINT. Where PostgreSQL, HSM and certificate are given, nothing is set up, and ' +
        'SIGHUP has it read again the files that settings name, and load the HSM anew. Where one of them is given at most, ' +
        'the rest is made for development in STRONGROOM_DATA_DIR. Where two are given, the third is taken for forgotten.',
    )
    .option('--stop-with-parent', 'End when the process that started this one ends.')
    .option('--development', 'Make the rest for development where two of the three are given, too.')
    .addHelpText('after', EXIT_STATUS)
    .action((options: { stopWithParent?: boolean; development?: boolean }) =>
      run(async () => {
        const { serve } = await import('./serve.ts');
        await serve(context, {
          stopsWithParent: options.stopWithParent === true,
          isDevelopment: options.development === true,
        });
      }),
    );

  program
    .command('migrate')
    .summary('bring the schema and the built-in roles up to date')
    .description(
      'Bring the schema of DATABASE_URL up to date, as a user who owns it, and the built-in roles of each pool in it. ' +
        'What is up to date stays as it is. While replicas of an older version serve, only what these bear is applied.',
    )
    .option(
      '--plan',
      'Say what would be done, and for how long it would lock which tables; do nothing.',
    )
    .option('--json', 'Print the plan as JSON.')
    .addHelpText('after', EXIT_STATUS)
    .action((options: MigrateCommandOptions) =>
      run(async () => {
        const { migrateDatabase } = await import('./migrate.ts');
        await migrateDatabase(context, options);
      }),
    );

  program
    .command('bootstrap')
    .summary('make the pool and an administrator')
    .description(
      'Make the pool STRONGROOM_POOL in DATABASE_URL and PKCS11_MODULE where there is none, bring the built-in roles up to ' +
        'date, and make an administrator.',
    )
    .requiredOption(
      '--credentials <file>',
      "Write the administrator's credentials to this new file (mode 0600).",
    )
    .addOption(
      new Option(
        '--keys <where>',
        "Where the pool's keys are: wrapped in the database, or objects of the HSM, for HSMs that wrap no private keys. " +
          'Fixed when the pool is made; STRONGROOM_KEYS or sealed where absent.',
      ).choices([...KEY_KEEPINGS]),
    )
    .option(
      '--no-security-domain',
      'The HSM keeps copies of its own, so that the pool is used without a security domain. This is recorded.',
    )
    .addHelpText('after', EXIT_STATUS)
    .action(({ credentials, ...options }: BootstrapOptions & { credentials: string }) =>
      run(async () => {
        const { bootstrapPool } = await import('./bootstrap.ts');
        await bootstrapPool(context, credentials, options);
      }),
    );

  program
    .command('doctor')
    .summary('examine the HSM, the database and the machine')
    .description(
      'Examine what the settings name, as the service uses it: what the HSM can do, its root keys, the database, the ' +
        'certificate, names, ports and limits. With --module it examines one PKCS#11 module alone, before a database ' +
        'or a setting is there. Without --mend it changes nothing, and leaves no object in the token.',
    )
    .option('--module <file>', 'Examine this PKCS#11 library alone.')
    .option('--token-label <label>', 'The token in it; the only one where absent.')
    .option('--pin-file <file>', "A file that holds the token's user PIN.")
    .option('--library-parameters <text>', 'As PKCS11_LIBRARY_PARAMETERS.')
    .option('--key-wrap-mechanism <number>', 'As PKCS11_KEY_WRAP_MECHANISM.', parseMechanism)
    .option(
      '--mend',
      'Destroy the objects in the HSM that no key of the pool needs, where its keys are resident.',
    )
    .option('--json', 'Print the findings as JSON.')
    .addHelpText(
      'after',
      '\nExit status: 0 when all is well, 1 with warnings, 2 when the service would not\nserve, or would lose what it has acknowledged.',
    )
    .action((options: DoctorOptions) =>
      run(async () => {
        const { doctor } = await import('./doctor/doctor.ts');
        await doctor(context, options);
      }),
    );

  program
    .command('object-id')
    .summary("print the object id of an external issuer's principal")
    .description(
      "Print what role assignments call a principal of an external issuer whose objectIds are 'derived'.",
    )
    .argument('<issuer>', "The issuer, as the tokens' claim iss has it.")
    .argument('<claim>', 'The value of the claim that names the principal, or the group.')
    .option('--group', 'The claim names a group.')
    .addHelpText('after', EXIT_STATUS)
    .action((issuer: string, claim: string, { group }: { group?: boolean }) =>
      run(async () => {
        const { printObjectId } = await import('./object-id.ts');
        printObjectId(context, issuer, claim, group === true ? 'group' : 'principal');
      }),
    );

  addAuditCommands(program, context, run, EXIT_STATUS);
  addBackupCommands(program, context, run, EXIT_STATUS);
  addPoolCommands(program, context, run, EXIT_STATUS);
  addRootKeyCommands(program, context, run, EXIT_STATUS);
  addSecurityDomainCommands(program, context, run, EXIT_STATUS);
  addResourceCommands(program, context, run, EXIT_STATUS);

  program
    .command('drill')
    .summary('restore a backup as after a disaster, in a folder')
    .description(
      'Restore a full backup as after a disaster, to see that it can be done and how long it takes: a new SoftHSM2 token and ' +
        'a new database in a folder, the security domain from a quorum of custodians, all of the pool, every key opened and ' +
        'one of each kind used. It reads the files that it is given, and asks nothing of the pool that was backed up.',
    )
    .argument('<backup>', 'The folder of the backup.')
    .requiredOption('--domain <file>', 'The newest security domain, as it was downloaded.')
    .requiredOption('--key <files...>', 'The private keys of a quorum of custodians (PEM).')
    .option(
      '--passphrase-file <files...>',
      'Files with the passphrases of those keys that are encrypted, in the same order.',
    )
    .requiredOption('--folder <folder>', 'A new folder, which is removed afterwards.')
    .addHelpText(
      'after',
      '\nExit status: 0 when all was restored and works, 1 when the drill could not be\ndone, 2 when something that was restored does not work.',
    )
    .action((backup: string, options: DrillOptions) =>
      run(async () => {
        const { drill } = await import('./drill/drill.ts');
        await drill(context, backup, options);
      }),
    );

  program
    .command('identity-agent')
    .summary('give a workload a managed identity')
    .description(
      "Serve App Service's identity endpoint beside a workload, which it signs in with the federated token of " +
        'AZURE_FEDERATED_TOKEN_FILE. It needs AZURE_AUTHORITY_HOST, AZURE_TENANT_ID and AZURE_CLIENT_ID besides.',
    )
    .option(
      '--header-file <file>',
      'Read the secret that the workload shows from this file; where there is none, make it (mode 0600).',
    )
    .argument(
      '[command...]',
      'The workload: it is started with IDENTITY_ENDPOINT and IDENTITY_HEADER.',
    )
    .addHelpText(
      'after',
      "\nExit status: the workload's own; without a workload 0 when it was told to end,\nand 1 when it could not serve.",
    )
    .action((command: string[], options: { headerFile?: string }) =>
      run(async () => {
        const { runIdentityAgent } = await import('./identity-agent.ts');
        await runIdentityAgent(context, command, options.headerFile);
      }),
    );

  for (const name of ['audit', 'backup', 'doctor', 'root-keys', 'security-domain'])
    takePoolOption(program, name, context);
  return program;
}

/** What the user can mend is one sentence; anything else is a fault of ours and keeps its stack. */
async function run(command: () => Promise<void>): Promise<void> {
  try {
    await command();
  } catch (error) {
    const { sentenceFor } = await import('../process/error-sentence.ts');
    const fault = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stderr.write(`strongroom: ${sentenceFor(error) ?? fault}\n`);
    process.exitCode = 1;
  }
}

/** Decimal, or hexadecimal after 0x. */
function parseMechanism(text: string): number {
  const number = /^(?:0x[0-9a-f]{1,8}|\d{1,10})$/i.test(text) ? Number(text) : NaN;
  if (!(number <= 0xffff_ffff)) throw new InvalidArgumentError('It must be a number, as 0x210B.');
  return number;
}
