import { type Command, InvalidArgumentError } from 'commander';
import type { CliContext, Run } from '../cli-context.ts';
// Types alone, in a way that leaves no import behind: the commands' modules are loaded when they run.
import type { DownloadOptions } from './download.ts';
import type { InspectOptions } from './inspect.ts';
import type { RestoreBlobOptions } from './restore-blob.ts';
import type { TransferKeyOptions } from './transfer-key.ts';

/** `strongroom security-domain …`: custodians' part works on files alone; an HSM is restored without a database. */
export function addSecurityDomainCommands(
  program: Command,
  context: CliContext,
  run: Run,
  exitStatus: string,
): void {
  const domain = program
    .command('security-domain')
    .helpCommand(false)
    .summary(
      'download a security domain, open it with the keys of a quorum, restore an HSM from it',
    )
    .description(
      'Give the security domain of a pool to its custodians, and work on its file, which is of the form of Managed HSM. ' +
        'inspect and restore-blob need no setting, no database, no HSM and no network: custodians run them on a machine of ' +
        'their own. transfer-key and restore need the HSM alone (PKCS11_MODULE, or the one in STRONGROOM_DATA_DIR), which ' +
        'gets the root keys of a pool whose database is there.',
    );

  domain
    .command('download')
    .summary("give the pool's security domain to its custodians")
    .description(
      'Make new root keys in the HSM, and a file of which a quorum of custodians can open them in another HSM. The pool is ' +
        'active from then on. The service goes on meanwhile. Without DATABASE_URL and PKCS11_MODULE the pool is that of the ' +
        'service that runs on STRONGROOM_DATA_DIR.',
    )
    .requiredOption(
      '--certificate <files...>',
      "The custodians' certificates (PEM or DER), 3 to 10 of them with RSA keys.",
    )
    .requiredOption(
      '--required <number>',
      'How many of the custodians open it together.',
      parseRequired,
    )
    .requiredOption('--out <file>', 'Write the security domain to this new file.')
    .addHelpText('after', exitStatus)
    .action((options: DownloadOptions) =>
      run(async () => {
        const { downloadDomain } = await import('./download.ts');
        await downloadDomain(context, options);
      }),
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

  domain
    .command('transfer-key')
    .summary('make the transfer key of an HSM that is to be restored')
    .description(
      'Make a key in the HSM to which custodians encrypt a security domain, and write its certificate. It takes the place of ' +
        'an earlier one, and is good for one restore within 24 hours.',
    )
    .requiredOption('--out <file>', 'Write the certificate to this new file (PEM).')
    .addHelpText('after', exitStatus)
    .action((options: TransferKeyOptions) =>
      run(async () => {
        const { makeTransferKey } = await import('./transfer-key.ts');
        await makeTransferKey(context, options);
      }),
    );

  domain
    .command('restore')
    .summary("put a pool's root keys into the HSM")
    .description(
      "Put the root keys that a security domain holds into the HSM, where the pool's database is there already and the HSM is " +
        'new: another replica, or a database that was restored. Then start the service.',
    )
    .argument(
      '<file>',
      "The restore blob that the custodians have made for this HSM's transfer key.",
    )
    .addHelpText('after', exitStatus)
    .action((file: string) =>
      run(async () => {
        const { restoreDomain } = await import('./restore.ts');
        await restoreDomain(context, file);
      }),
    );
}

function parseRequired(text: string): number {
  const number = /^\d{1,2}$/.test(text) ? Number(text) : NaN;
  if (!(number >= 2 && number <= 10)) throw new InvalidArgumentError('It must be 2 to 10.');
  return number;
}
