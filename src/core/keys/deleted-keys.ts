import type { AuditedChange } from '../audit/record.ts';
import type { Page, PageRequest } from '../paging.ts';
import type { KeyRelease } from '../release/key-release.ts';
import type { DeletedKey, KeyName, VerifiedKey } from './key.ts';
import { keyNotFound, purgeProtected } from './key-refusals.ts';
import type { PoolRules } from './new-version.ts';
import type { KeyReader, KeyWriter } from './ports.ts';
import { verifyKey } from './verified-keys.ts';

const SECONDS_A_DAY = 86_400;

export interface DeletionParts {
  readonly hsm: Pick<KeyRelease, 'requireIntact'>;
  readonly keys: KeyReader<VerifiedKey> & KeyWriter;
  readonly pool: PoolRules;
}

/** How keys are deleted, come back, and go for good. */
export function createDeletedKeys({ hsm, keys, pool }: DeletionParts) {
  return {
    /** Soft-deletes a key with all its versions. @throws ServiceError KeyNotFound */
    async delete(name: KeyName, change: AuditedChange): Promise<DeletedKey<VerifiedKey>> {
      // What can't be answered must not be done: a record that was altered stays where it can be looked at.
      if ((await keys.findKey(name)) === undefined) throw keyNotFound(name);
      const deleted = await keys.deleteKey(name, pool.softDeleteDays * SECONDS_A_DAY, change);
      if (deleted === undefined) throw keyNotFound(name);
      return { ...deleted, current: await verifyKey(hsm, deleted.current) };
    },

    /** @throws ServiceError KeyNotFound */
    async getDeleted(name: KeyName): Promise<DeletedKey<VerifiedKey>> {
      const found = await keys.findDeletedKey(name);
      if (found === undefined) throw keyNotFound(name);
      return found;
    },

    listDeleted(page: PageRequest): Promise<Page<DeletedKey>> {
      return keys.listDeletedKeys(page);
    },

    /** @throws ServiceError KeyNotFound */
    async recover(name: KeyName, change: AuditedChange): Promise<VerifiedKey> {
      if ((await keys.findDeletedKey(name)) === undefined) throw keyNotFound(name);
      const recovered = await keys.recoverKey(name, change);
      if (recovered === undefined) throw keyNotFound(name);
      return verifyKey(hsm, recovered);
    },

    /** Removes a deleted key's material for good. @throws ServiceError KeyNotFound, PurgeProtected */
    async purge(name: KeyName, change: AuditedChange): Promise<void> {
      if (pool.purgeProtection) throw purgeProtected();
      if (!(await keys.purgeKey(name, change))) throw keyNotFound(name);
    },
  };
}
