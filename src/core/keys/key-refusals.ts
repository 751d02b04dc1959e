import { ServiceError } from '../errors.ts';
import type { KeyName, KeyVersionId } from './key.ts';

/** The text that existing clients look for when they decide whether to create a key. */
export function keyNotFound(name: KeyName, version?: KeyVersionId): ServiceError {
  const id = version === undefined ? name : `${name}/${version}`;
  return new ServiceError(
    'KeyNotFound',
    `Key not found: A key with (name/id) ${id} was not found in this key vault.`,
  );
}

export function purgeProtected(): ServiceError {
  return new ServiceError(
    'PurgeProtected',
    'Operation "purge" is not allowed because purge protection is enabled for this pool.',
  );
}
