import { parseRestoreBlob } from '../../backup/security-domain/domain-text.ts';
import { createEnvelopes } from '../../backup/security-domain/envelopes.ts';
import { ServiceError } from '../../core/errors.ts';
import { OperatorError } from '../../core/operator-error.ts';
import { importEntries } from '../../core/recovery/root-keys/clear-ceremony.ts';
import { findUnvouching } from '../../core/recovery/root-keys/endorsement.ts';
import { readEntries } from '../../core/recovery/root-keys/root-key-entries.ts';
import {
  type DomainEntry,
  eraseEntries,
} from '../../core/recovery/security-domain/domain-entries.ts';
import { openRestoreBlob } from '../../core/recovery/security-domain/restore-blob.ts';
import { type BareHsm, openBareHsm } from '../../hsm/bare-hsm.ts';
import type { CliContext } from '../cli-context.ts';
import { pkcs11Of } from '../pkcs11-settings.ts';
import { fingerprintOf } from './fingerprint.ts';
import { naming, readNamedFile } from './named-file.ts';

/**
 * `strongroom security-domain restore`: puts a pool's root keys into an HSM that no pool uses yet, without a database. From
 * then on the HSM serves the database of that pool.
 */
export async function restoreDomain(context: CliContext, path: string): Promise<void> {
  const blob = await readNamedFile(path, (bytes) => parseRestoreBlob(bytes.toString('utf8')));
  const hsm = openBareHsm(await pkcs11Of(context));
  try {
    const unwrap = await hsm.findTransferKey(new Date());
    if (unwrap === undefined)
      throw new OperatorError(
        `The token "${hsm.label}" (PKCS11_TOKEN_LABEL) holds no transfer key that is younger than 24 hours: make one with \`strongroom security-domain transfer-key\`, and have the custodians make a restore blob for it.`,
      );
    const { poolId, generation } = await naming(path, async () => {
      // The certificate isn't kept: whether the blob is for this key is seen when it is opened.
      const { thumbprint } = blob.wrappedMaster;
      const opened = openRestoreBlob(createEnvelopes(), blob, { thumbprint, unwrap });
      const entries = await opened.catch((cause: unknown) => {
        throw isRefusal(cause) ? notForThisKey(thumbprint, cause) : cause;
      });
      try {
        await requireNew(hsm, entries);
        return await importEntries(hsm, entries);
      } finally {
        eraseEntries(entries);
      }
    });
    await hsm.destroyTransferKeys();
    context.print(
      `The token "${hsm.label}" holds the root keys of the pool ${poolId} now, generation ${generation}: the service can be started over the database of that pool. The transfer key is destroyed.`,
    );
  } finally {
    hsm.close();
  }
}

/**
 * Into an HSM that a pool uses nobody brings further root keys of that pool, but those of which all that are there say that
 * they come after them.
 * @throws ServiceError Conflict
 */
async function requireNew(hsm: BareHsm, entries: readonly DomainEntry[]): Promise<void> {
  const { keys, vouchers } = readEntries(entries);
  const { poolId, generation } = keys;
  const there = await hsm.listRootGenerations(poolId);
  const others = there.filter((number) => number !== generation);
  if (others.length === 0) return;
  const witness = hsm.witness(keys);
  const whole = await witness.listWholeGenerations();
  const isOlder = (number: number) => number < generation && whole.includes(number);
  if (others.every(isOlder) && (await findUnvouching(witness, generation, vouchers)).length === 0)
    return;
  throw new ServiceError(
    'Conflict',
    `The token holds root keys of the pool ${poolId} already (generation ${there.join(', ')}), which don't say that those of generation ${generation} come after them: restore the newest security domain of that pool, or restore into an empty token.`,
  );
}

const isRefusal = (error: unknown) =>
  error instanceof ServiceError && error.code === 'BadParameter';

function notForThisKey(thumbprint: string, cause: unknown): ServiceError {
  return new ServiceError(
    'BadParameter',
    `It does not open with the transfer key in the token: it was cut or altered, or made for another key, namely that whose certificate has the SHA-256 ${fingerprintOf({ thumbprint })}.`,
    { cause },
  );
}
