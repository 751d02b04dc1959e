import {
  DEFAULT_OPERATIONS,
  type KeyIdentity,
  type KeySpec,
  parseKeyName,
  parseKeyVersionId,
} from '../../core/keys/key.ts';

/** Of a key that is made for a trial. */
export function identityFor(spec: KeySpec): KeyIdentity {
  return {
    pool: 'trial',
    name: parseKeyName('trial'),
    version: parseKeyVersionId('0'.repeat(32)),
    operations: DEFAULT_OPERATIONS[spec.keyType],
    exportable: false,
    origin: 'generated',
  };
}
