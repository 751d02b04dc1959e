import type { Command } from 'commander';
import type { CliContext, Run } from '../cli-context.ts';
// Types alone, in a way that leaves no import behind: the commands' modules are loaded when they run.
import type { InspectOptions } from './inspect.ts';
import type { RestoreBlobOptions } from './restore-blob.ts';

/** `strongroom security-domain …`: works on files alone, on a machine that needs no network. */
export function addSecurityDomainCommands(
  program: Command,
  context: CliContext,
  run: Run,
  exitStatus: string,
): void {
  const domain = program
    .command('security-domain')
    .helpCommand(false)
    .summary('inspect a security domain, and open it with the keys of a quorum')
    .description(
      'Work on the file of a security domain, as Managed HSM gives it. Nothing here needs a setting, a database, an HSM or a ' +
        'network: custodians run it on a machine of their own.',
    );

  domain
    .command('inspect')
    .summary('say who opens a security domain, and what is in it')
    .description(
      'Say how many custodians open a security domain, by which certificates, and what it holds; or for which pool a restore ' +
        'blob is. Nothing is opened.',
    )
    .argument('<file>', 'The security domain as it was downloaded, or a restore blob.')
    .option('--certificate <files...>', 'Say which certificate is in which of these files.')
    .option('--json', 'Print it as JSON.')
    .addHelpText('after', exitStatus)
    .action((file: string, options: InspectOptions) =>
      run(async () => {
        const { inspectDomain } = await import('./inspect.ts');
        await inspectDomain(context, file, options);
      }),
    );

  domain
    .command('restore-blob')
    .summary('open a security domain with the keys of a quorum, for one pool to restore')
    .description(
      "Open a security domain with custodians' private keys, and encrypt what it holds to the transfer key of the pool that " +
        'is to be restored. The file that this makes is uploaded; the private keys stay here.',
    )
    .argument('<domain>', 'The security domain as it was downloaded.')
    .requiredOption(
      '--transfer-key <file>',
      "The certificate of the pool's transfer key (PEM, DER, or the pool's answer in JSON).",
    )
    .requiredOption('--key <files...>', "The custodians' private keys (PEM).")
    .option(
      '--passphrase-file <files...>',
      'Files with the passphrases of those keys that are encrypted, in the same order.',
    )
    .requiredOption('--out <file>', 'Write the restore blob to this new file.')
    .addHelpText('after', exitStatus)
    .action((file: string, options: RestoreBlobOptions) =>
      run(async () => {
        const { makeRestoreBlob } = await import('./restore-blob.ts');
        await makeRestoreBlob(context, file, options);
      }),
    );
}
