import graphene, { type MechanismType } from 'graphene-pk11';
import type { WrappedRootKeys } from '../../core/recovery/root-keys/root-key-hsm.ts';
import * as calls from '../module/calls.ts';
import { GENERIC_SECRET } from '../operations/mechanisms.ts';
import {
  type CarryingContext,
  type Parts,
  requireCarrying,
  toRootKeys,
  withCarrier,
  withPlaced,
} from './root-key-carrier.ts';
import { leavingRootKey, probedKey, ROOT_PARTS, type RootPart } from './root-key-templates.ts';
import { nextFreeGeneration, requireBound, type RootKeys } from './root-keys.ts';
import { makeMac } from './root-mac.ts';
import { rootCheckBytes } from './seal.ts';
import { type SealingContext, wrapForSealing } from './sealed-blob.ts';

/** @throws ServiceError NotImplemented, HsmUnavailable; nothing is left then */
export function exportRootKeys(
  context: CarryingContext,
  poolId: string,
  after: number,
  by: Uint8Array,
): WrappedRootKeys {
  requireCarrying(context);
  const { session } = context;
  const generation = nextFreeGeneration(session, poolId, after);
  return withCarrier(context, poolId, by, (carrier) => {
    const wrapped = {
      'root-wrap': makeLeaving(carrier, 'root-wrap'),
      'root-seal': makeLeaving(carrier, 'root-seal'),
    };
    return withPlaced(carrier, poolId, generation, wrapped, ROOT_PARTS, (placed) => {
      const rootKeys = requireBound(session, toRootKeys(poolId, generation, placed));
      return {
        poolId,
        generation,
        wrap: wrapped['root-wrap'],
        seal: wrapped['root-seal'],
        rootCheck: makeMac(session, rootKeys, rootCheckBytes(poolId)),
        wrapCheck: makeWrapCheck(context, rootKeys),
      };
    });
  });
}

const MADE_BY: Parts<MechanismType> = {
  'root-wrap': graphene.KeyGenMechanism.AES,
  'root-seal': GENERIC_SECRET,
};

function makeLeaving(carrier: SealingContext, part: RootPart): Buffer {
  const { session } = carrier;
  const key = calls.generateKey(session, MADE_BY[part], leavingRootKey(part));
  return calls.withObject(session, key, () => wrapForSealing(carrier, key));
}

function makeWrapCheck(context: CarryingContext, rootKeys: RootKeys): Buffer {
  const { session } = context;
  const key = calls.generateKey(session, MADE_BY['root-wrap'], probedKey(true));
  return calls.withObject(session, key, () => wrapForSealing({ ...context, rootKeys }, key));
}
