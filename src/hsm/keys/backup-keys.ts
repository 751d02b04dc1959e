import type { KeyMaterial } from '../../core/keys/key.ts';
import { unpackBytes } from '../../core/keys/packed-bytes.ts';
import * as calls from '../module/calls.ts';
import type { RootKeys } from './root-keys.ts';
import { type SealingContext, unwrapSealed } from './sealed-blob.ts';
import { loadedMac, loadedWrapping } from './templates.ts';

/** What keys in backup blobs say in place of a generation: no row is ever sealed so. */
export const BACKUP_GENERATION = 0;

/**
 * A pair of backup keys as session objects, used as root keys are. They stay as long as the session does. Their seal has been
 * verified.
 */
export function loadBackupKeys(context: SealingContext, material: KeyMaterial): RootKeys {
  const { identity, sealed } = material;
  if (sealed.macBlob === undefined) throw new TypeError('backup keys are a pair');
  const blobs = { wrap: unpackBytes(sealed.blob), seal: unpackBytes(sealed.macBlob) };
  const wrap = unwrapSealed(context, blobs.wrap, calls.toAttributes(loadedWrapping(identity)));
  const seal = unwrapSealed(context, blobs.seal, calls.toAttributes(loadedMac(identity)));
  return { poolId: identity.pool, generation: BACKUP_GENERATION, wrap, seal };
}
