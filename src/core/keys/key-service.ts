import type { Clock } from '../clock.ts';
import type { Page, PageRequest } from '../paging.ts';
import type { KeyRelease } from '../release/key-release.ts';
import { createDeletedKeys } from './deleted-keys.ts';
import type { Hsm, HsmFeatures, KeyImporter } from './hsm.ts';
import { createKeyIntake } from './import/imported-key.ts';
import type { KeyName, KeyVersion, KeyVersionId, VerifiedKey } from './key.ts';
import { createKeyChange } from './key-change.ts';
import { keyNotFound } from './key-refusals.ts';
import { createKeyMaking } from './new-key.ts';
import type { PoolRules, VersionMaker } from './new-version.ts';
import type { KeyReader, KeyWriter } from './ports.ts';

export interface KeyServiceParts {
  readonly hsm: Hsm & HsmFeatures & KeyImporter & Pick<KeyRelease, 'requireIntact'>;
  readonly keys: KeyReader<VerifiedKey> & KeyWriter;
  readonly addVersion: VersionMaker;
  readonly pool: PoolRules;
  readonly clock: Clock;
}

export type KeyService = ReturnType<typeof createKeyService>;

/** The life of keys: everything but using them. Errors are ServiceErrors; who may is decided before. */
export function createKeyService(parts: KeyServiceParts) {
  const { keys } = parts;
  return {
    ...createKeyMaking(parts),
    ...createKeyIntake(parts),
    ...createKeyChange(parts),
    ...createDeletedKeys(parts),

    /** @throws ServiceError KeyNotFound */
    async get(name: KeyName, version?: KeyVersionId): Promise<VerifiedKey> {
      const found = await keys.findKey(name, version);
      if (found === undefined) throw keyNotFound(name, version);
      return found;
    },

    list(page: PageRequest): Promise<Page<KeyVersion>> {
      return keys.listKeys(page);
    },

    listVersions(name: KeyName, page: PageRequest): Promise<Page<KeyVersion>> {
      return keys.listVersions(name, page);
    },
  };
}
