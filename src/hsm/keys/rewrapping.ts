import type { KeyIdentity, KeyMaterial } from '../../core/keys/key.ts';
import { packBytes, type PackedBytes, unpackBytes } from '../../core/keys/packed-bytes.ts';
import * as calls from '../module/calls.ts';
import type { ModuleSession } from '../module/calls.ts';
import type { GenerationContext } from './key-generation.ts';
import type { RootKeys } from './root-keys.ts';
import { makeMac, MAC_BYTES, verifyMac } from './root-mac.ts';
import { brokenSeal, sealedBytes } from './seal.ts';
import { unwrapSealed, wrapForSealing } from './sealed-blob.ts';
import { keepsSeeds } from './keeping/keepings.ts';
import { movedSecret, releasedPrivate, unwrappedPrivate } from './templates.ts';

interface RewrappingContext {
  readonly session: ModuleSession;
  readonly capabilities: GenerationContext['capabilities'];
}

/**
 * A sealed key wrapped and sealed by other root keys. It is an extractable object from one call to the next and no longer;
 * nothing of it is in the clear outside the HSM.
 * @throws ServiceError KeyIntegrityViolation
 */
export function rewrap(
  context: RewrappingContext,
  from: RootKeys,
  to: RootKeys,
  material: KeyMaterial,
  identity: KeyIdentity,
): KeyMaterial['sealed'] {
  const { session, capabilities } = context;
  const { spec, publicKey, sealed } = material;
  const seal = unpackBytes(sealed.seal);
  if (
    sealed.rootGeneration !== from.generation ||
    seal.length !== MAC_BYTES ||
    !verifyMac(session, from, sealedBytes(material, sealed), seal)
  )
    throw brokenSeal(material.identity);

  function moved(packed: PackedBytes, attributes: calls.Attributes): PackedBytes {
    const object = unwrapSealed({ ...context, rootKeys: from }, unpackBytes(packed), attributes);
    return calls.withObject(session, object, () =>
      packBytes(wrapForSealing({ ...context, rootKeys: to }, object)),
    );
  }

  const isSecret = spec.keyType === 'AKP-HSM' && keepsSeeds(capabilities);
  const template = isSecret ? movedSecret(identity) : releasedPrivate(identity, spec);
  const unsealed = {
    rootGeneration: to.generation,
    blob: moved(sealed.blob, unwrappedPrivate(template, publicKey, capabilities)),
    ...(sealed.macBlob !== undefined && {
      macBlob: moved(sealed.macBlob, calls.toAttributes(movedSecret(identity))),
    }),
  };
  const bound = { identity, spec, ...(publicKey !== undefined && { publicKey }) };
  return { ...unsealed, seal: packBytes(makeMac(session, to, sealedBytes(bound, unsealed))) };
}
