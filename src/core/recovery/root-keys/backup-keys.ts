import type { KeyIdentity, KeyName, KeySpec } from '../../keys/key.ts';

/**
 * The keys of backup blobs, as what they are sealed: an AES key that wraps the keys in a blob, and beside it the HMAC key
 * that seals them and from which the blob's own key is derived. No key of the pool can have such a name, so none can be put
 * in their place.
 */
export const BACKUP_KEYS = {
  identity: {
    name: '~backup' as KeyName,
    operations: [],
    exportable: false,
    origin: 'generated',
  } satisfies Omit<KeyIdentity, 'pool' | 'version'>,
  spec: { keyType: 'oct-HSM', bits: 256 } satisfies KeySpec,
};
