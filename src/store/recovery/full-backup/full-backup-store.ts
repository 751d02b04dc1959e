import type { Kysely } from 'kysely';
import type { AuditChain } from '../../../core/audit/chain.ts';
import type { FullBackupStore } from '../../../core/recovery/full-backup/pool-store.ts';
import { reading, type StoreContext } from '../../database.ts';
import type { Tables } from '../../tables.ts';
import { createKeyPicker } from './key-picker.ts';
import { readSchemaMark } from './schema-mark.ts';
import { openSealed } from './sealed-json.ts';
import { openSnapshot } from './snapshot.ts';
import { openStagedPool } from './staged-pool.ts';

export interface FullBackupStoreParts {
  readonly context: Pick<StoreContext, 'db' | 'poolId'>;
  /** A connection of its own: a backup holds one for as long as it takes, and requests keep theirs. */
  readonly connect: () => Kysely<Tables>;
  readonly newChain: (poolId: string) => AuditChain;
}

export function createFullBackupStore(parts: FullBackupStoreParts): FullBackupStore {
  const { context, connect, newChain } = parts;
  const { poolId } = context;

  return {
    openSnapshot: () => openSnapshot(connect(), poolId),
    readSchema: () => reading(context, readSchemaMark),
    openStagedPool: () => openStagedPool({ db: connect(), poolId, newChain }),
    openSealed,
    keyPicker: createKeyPicker,
  };
}
