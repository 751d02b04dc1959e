import { ServiceError } from '../../errors.ts';
import type { Hsm } from '../../keys/hsm.ts';
import type { KeyMaterial, VerifiedMaterial } from '../../keys/key.ts';
import { type DomainEntry, eraseEntries } from '../security-domain/domain-entries.ts';
import type { Envelopes } from '../security-domain/envelopes.ts';
import type { ClearCeremony, ImportedRootKeys } from '../security-domain/ports.ts';
import { openRestoreBlob } from '../security-domain/restore-blob.ts';
import type { RandomBytes } from '../security-domain/secret-sharing.ts';
import { sealDomain } from '../security-domain/security-domain.ts';
import { unwrapInHsm } from '../security-domain/transfer-keys.ts';
import { ONE_TIME_KEY_BYTES, readEntries, writeEntries } from './root-key-entries.ts';
import { vouchersFor } from './endorsement.ts';
import type { KeyRewrapper, RewrapTarget, RootKeyCarrier, RootKeyWitness } from './root-key-hsm.ts';

export interface ClearCeremonyParts {
  readonly hsm: KeyRewrapper & RootKeyCarrier & RootKeyWitness & Pick<Hsm, 'random' | 'decrypt'>;
  readonly poolId: string;
  readonly envelopes: Envelopes;
  readonly randomBytes: RandomBytes;
}

/**
 * In this process, which keeps copies of what it has had in memory that nobody can overwrite, those of V8 and of the module's
 * binding: it has to end with the ceremony.
 */
export function createClearCeremony(parts: ClearCeremonyParts): ClearCeremony {
  const { hsm, poolId, envelopes } = parts;

  async function moved(pair: KeyMaterial, target: RewrapTarget): Promise<VerifiedMaterial> {
    try {
      return await hsm.rewrap(pair, target);
    } catch (error) {
      if (!(error instanceof ServiceError && error.code === 'BadParameter')) throw error;
      throw new ServiceError(
        'NotImplemented',
        'The HSM of this pool does not wrap by new root keys what others have wrapped, so that it gives no security domain.',
        { cause: error },
      );
    }
  }

  return {
    async exportDomain({ after, olderPairs, newPair, vouchers, custodians, required }) {
      const by = await hsm.random(ONE_TIME_KEY_BYTES);
      const keys = await hsm.exportRootKeys(after, by);
      const { generation, rootCheck } = keys;
      let entries: readonly DomainEntry[] = [];
      try {
        const target = { poolId, generation };
        const older: VerifiedMaterial[] = [];
        for (const pair of olderPairs) older.push(await moved(pair, target));
        const backupKeys = await moved(newPair, target);
        const said = [...vouchers, ...(await vouchersFor(hsm, generation))];
        entries = writeEntries({ keys, by, backupKeys: [...older, backupKeys], vouchers: said });
        const domain = await sealDomain(parts, entries, custodians, required);
        return { generation, rootCheck, backupKeys, domain };
      } catch (error) {
        await hsm.discardRootKeys(generation);
        throw error;
      } finally {
        by.fill(0);
        eraseEntries(entries);
      }
    },

    async openBlob({ blob, thumbprint, transferKey }, use) {
      const unwrap = unwrapInHsm(hsm, transferKey);
      const entries = await openRestoreBlob(envelopes, blob, { thumbprint, unwrap });
      try {
        const { poolId: of, generation } = readEntries(entries).keys;
        return await use({
          poolId: of,
          generation,
          importRootKeys: () => importEntries(hsm, entries),
        });
      } finally {
        eraseEntries(entries);
      }
    },
  };
}

/** @throws ServiceError BadParameter, Conflict, NotImplemented, HsmUnavailable */
export async function importEntries(
  hsm: Pick<RootKeyCarrier, 'importRootKeys'>,
  entries: readonly DomainEntry[],
): Promise<ImportedRootKeys> {
  const { keys, by, backupKeys } = readEntries(entries);
  await hsm.importRootKeys(keys, by, backupKeys);
  const { poolId, generation, rootCheck } = keys;
  return { poolId, generation, rootCheck, backupKeys };
}
