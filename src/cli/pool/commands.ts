import { type Command, InvalidArgumentError, Option } from 'commander';
import { KEY_KEEPINGS } from '../../core/keys/key-keeping.ts';
import type { CliContext, Run } from '../cli-context.ts';
// Types alone, in a way that leaves no import behind: the commands' modules are loaded when they run.
import type { CreateOptions } from './create.ts';
import type { ListOptions } from './list.ts';

/** `strongroom pool …`: works on the database and the HSM, beside the service, which goes by what it finds there. */
export function addPoolCommands(
  program: Command,
  context: CliContext,
  run: Run,
  exitStatus: string,
): void {
  const pool = program
    .command('pool')
    .helpCommand(false)
    .summary('make further pools, and delete them')
    .description(
      'Make pools besides the default one, STRONGROOM_POOL, by whose directory they go; list them, delete and recover them. ' +
        'A service that runs serves a new one within seconds, each at https://{pool}.{domain}.',
    );

  pool
    .command('create')
    .summary('make a pool')
    .description(
      'Make a pool that goes by the directory of the default one, or one that keeps a directory of its own: another tenant, ' +
        'which shares nothing with it.',
    )
    .argument(
      '<name>',
      'Its name, one label of a host name: 3 to 24 letters, digits and hyphens.',
      parseName,
    )
    .option(
      '--administrators <ids...>',
      'Object ids, in the directory of the default pool, of those who are to hold Managed HSM Administrator in it.',
    )
    .option(
      '--credentials <file>',
      'It keeps a directory of its own: write the credentials of its administrator to this new file (mode 0600).',
    )
    .option(
      '--token <label>',
      "Its PKCS#11 token, one of STRONGROOM_TOKENS_FILE; the default pool's where absent.",
    )
    .addOption(
      new Option(
        '--keys <where>',
        'Where its keys are; STRONGROOM_KEYS or sealed where absent.',
      ).choices([...KEY_KEEPINGS]),
    )
    .option(
      '--no-security-domain',
      'The HSM keeps copies of its own, so that the pool is used without a security domain. This is recorded.',
    )
    .addHelpText('after', exitStatus)
    .action((name: string, options: CreateOptions) =>
      run(async () => {
        const { createPool } = await import('./create.ts');
        await createPool(context, name, options);
      }),
    );

  pool
    .command('list')
    .summary('list the pools')
    .description('List the pools of the database, deleted ones too.')
    .option('--json', 'Print them as JSON.')
    .addHelpText('after', exitStatus)
    .action((options: ListOptions) =>
      run(async () => {
        const { listAllPools } = await import('./list.ts');
        await listAllPools(context, options);
      }),
    );

  pool
    .command('delete')
    .summary('delete a pool, which can be recovered')
    .description(
      'Delete a pool: it serves nothing from then on. Its keys, roles and records stay, and it can be recovered.',
    )
    .argument('<name>', 'Its name.')
    .addHelpText('after', exitStatus)
    .action((name: string) =>
      run(async () => {
        const { deleteOnePool } = await import('./delete.ts');
        await deleteOnePool(context, name);
      }),
    );

  pool
    .command('recover')
    .summary('recover a deleted pool')
    .description('Have a deleted pool serve again, as it was.')
    .argument('<name>', 'Its name.')
    .addHelpText('after', exitStatus)
    .action((name: string) =>
      run(async () => {
        const { recoverOnePool } = await import('./recover.ts');
        await recoverOnePool(context, name);
      }),
    );
}

/** As Azure has it, in lower case, as hosts are. */
function parseName(text: string): string {
  if (text.length >= 3 && text.length <= 24 && /^[a-z](?:-?[a-z0-9])+$/.test(text)) return text;
  throw new InvalidArgumentError(
    'It must be 3 to 24 lower-case letters, digits and hyphens, begin with a letter, and have no hyphen at the end or beside another.',
  );
}
