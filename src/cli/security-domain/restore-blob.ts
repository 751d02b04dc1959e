import { randomBytes } from 'node:crypto';
import { formatRestoreBlob, parseDomain } from '../../backup/security-domain/domain-text.ts';
import { createEnvelopes } from '../../backup/security-domain/envelopes.ts';
import { readTransferKey } from '../../backup/security-domain/transfer-key.ts';
import { requireWhole } from '../../core/recovery/root-keys/root-key-entries.ts';
import {
  type DomainEntry,
  eraseEntries,
} from '../../core/recovery/security-domain/domain-entries.ts';
import { sealRestoreBlob } from '../../core/recovery/security-domain/restore-blob.ts';
import {
  openDomain,
  type OpenedShare,
  openShare,
  type SecurityDomain,
} from '../../core/recovery/security-domain/security-domain.ts';
import { OperatorError } from '../../core/operator-error.ts';
import type { CliContext } from '../cli-context.ts';
import { type CustodianKey, readCustodianKeys } from './custodian-key.ts';
import { fingerprintOf } from './fingerprint.ts';
import { naming, readNamedFile, writeNewFile } from './named-file.ts';

export interface RestoreBlobOptions {
  readonly transferKey: string;
  readonly key: readonly string[];
  readonly passphraseFile?: readonly string[];
  readonly out: string;
}

/** `strongroom security-domain restore-blob`: needs neither a setting nor a network. */
export async function makeRestoreBlob(
  { print }: CliContext,
  domainPath: string,
  options: RestoreBlobOptions,
): Promise<void> {
  const transferKey = await readNamedFile(options.transferKey, readTransferKey);
  await withDomain(domainPath, options, async (entries) => {
    const envelopes = createEnvelopes();
    const blob = await sealRestoreBlob({ envelopes, randomBytes }, entries, transferKey);
    await writeNewFile(options.out, formatRestoreBlob(blob));
  });
  print(
    `${options.out} is made. It opens with the private half of one transfer key alone: compare this fingerprint of its ` +
      `certificate with what the pool to be restored has now.`,
  );
  print(`SHA-256: ${fingerprintOf(transferKey)}`);
}

/**
 * Opens a domain with custodians' keys, for as long as `use` takes.
 * @throws OperatorError, also for one that was cut: its custodians may not come together again
 */
export async function withDomain<T>(
  domainPath: string,
  { key, passphraseFile = [] }: Pick<RestoreBlobOptions, 'key' | 'passphraseFile'>,
  use: (entries: readonly DomainEntry[]) => T | Promise<T>,
): Promise<T> {
  const envelopes = createEnvelopes();
  const domain = await readNamedFile(domainPath, (bytes) => parseDomain(bytes.toString('utf8')));
  const keys = await readCustodianKeys(key, passphraseFile);
  const shares: OpenedShare[] = [];
  try {
    for (const one of keys) shares.push(await openShareOf(one, domain, shares));
    const entries = await naming(domainPath, () => openDomain(envelopes, domain, shares));
    try {
      await naming(domainPath, () => {
        requireWhole(entries);
      });
      return await use(entries);
    } finally {
      eraseEntries(entries);
    }
  } finally {
    for (const { values } of shares) values.fill(0);
  }

  async function openShareOf(
    { path, privateKey }: CustodianKey,
    from: SecurityDomain,
    before: readonly OpenedShare[],
  ): Promise<OpenedShare> {
    const share = await naming(path, () => openShare(envelopes, from, privateKey));
    const same = before.findIndex(({ number }) => number === share.number);
    if (same === -1) return share;
    throw new OperatorError(
      `${path}: It opens the same share as ${keys[same]?.path ?? ''}: each key has to be another custodian's.`,
    );
  }
}
