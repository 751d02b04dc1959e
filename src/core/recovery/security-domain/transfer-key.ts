import type { KeyIdentity, KeyName } from '../../keys/key.ts';

/**
 * What a transfer key is sealed as. No key of the pool can have such a name, so none can be put in its place. It signs its
 * own certificate.
 */
export const TRANSFER_KEY = {
  identity: {
    name: '~transfer' as KeyName,
    operations: ['decrypt', 'sign'],
    exportable: false,
    origin: 'generated',
  } satisfies Omit<KeyIdentity, 'pool' | 'version'>,
};
