import { ServiceError } from '../../core/errors.ts';
import type { KeyMaterial } from '../../core/keys/key.ts';
import { unpackBytes } from '../../core/keys/packed-bytes.ts';
import type { WrappedRootKeys } from '../../core/recovery/root-keys/root-key-hsm.ts';
import { answerIn } from '../capabilities/lack.ts';
import * as calls from '../module/calls.ts';
import type { Handle } from '../module/calls.ts';
import { faultOf } from '../module/errors.ts';
import { returnValue } from '../module/return-values.ts';
import { loadBackupKeys } from './backup-keys.ts';
import {
  type CarryingContext,
  find,
  type Parts,
  requireCarrying,
  toRootKeys,
  withCarrier,
  withPlaced,
} from './root-key-carrier.ts';
import { probedKey, ROOT_PARTS, type RootPart, triedRootKey } from './root-key-templates.ts';
import { requireBound, type RootKeys } from './root-keys.ts';
import { makeMac, MAC_BYTES, verifyMac } from './root-mac.ts';
import { rootCheckBytes, sealedBytes } from './seal.ts';
import { type SealingContext, unwrapBlob } from './sealed-blob.ts';

/** @throws ServiceError BadParameter, Conflict, NotImplemented; nothing is left then */
export function importRootKeys(
  context: CarryingContext,
  keys: WrappedRootKeys,
  by: Uint8Array,
  backupKeys: readonly KeyMaterial[],
): void {
  requireCarrying(context);
  const { session } = context;
  const { poolId, generation } = keys;
  withCarrier(context, poolId, by, (carrier) => {
    const wrapped = { 'root-wrap': Buffer.from(keys.wrap), 'root-seal': Buffer.from(keys.seal) };
    withTried(carrier, wrapped, (tried) => {
      requireRight(context, toRootKeys(poolId, generation, tried), keys);
      requireSealed(context, toRootKeys(poolId, generation, tried), backupKeys);
    });
    const there = ROOT_PARTS.filter((part) => find(session, part, keys) !== undefined);
    const missing = ROOT_PARTS.filter((part) => !there.includes(part));
    withPlaced(carrier, poolId, generation, wrapped, missing, (placed) => {
      const all = Object.fromEntries(
        ROOT_PARTS.map((part) => [part, placed[part] ?? find(session, part, keys)]),
      ) as Parts<Handle>;
      const rootKeys = toRootKeys(poolId, generation, all);
      try {
        requireRight(context, requireBound(session, rootKeys), keys);
      } catch (error) {
        throw there.length === 0 ? error : othersThere(keys, error);
      }
    });
  });
}

/** As session objects, for the length of `use`. @throws ServiceError BadParameter */
function withTried(
  carrier: SealingContext,
  wrapped: Parts<Buffer>,
  use: (tried: Parts<Handle>) => void,
): void {
  const open = (part: RootPart) =>
    refusing(() => unwrapBlob(carrier, wrapped[part], calls.toAttributes(triedRootKey(part))));
  const { session } = carrier;
  const wrap = open('root-wrap');
  calls.withObject(session, wrap, () => {
    const seal = open('root-seal');
    calls.withObject(session, seal, () => {
      use({ 'root-wrap': wrap, 'root-seal': seal });
    });
  });
}

/** @throws ServiceError BadParameter where they don't give what is known of them */
function requireRight(
  context: CarryingContext,
  rootKeys: RootKeys,
  { poolId, rootCheck, wrapCheck }: WrappedRootKeys,
): void {
  const { session } = context;
  if (!makeMac(session, rootKeys, rootCheckBytes(poolId)).equals(rootCheck)) throw notRootKeys();
  const attributes = calls.toAttributes(probedKey(false));
  const blob = Buffer.from(wrapCheck);
  calls.destroyObject(
    session,
    refusing(() => unwrapBlob({ ...context, rootKeys }, blob, attributes)),
  );
}

/** @throws ServiceError BadParameter for backup keys that others have sealed */
function requireSealed(
  context: CarryingContext,
  rootKeys: RootKeys,
  backupKeys: readonly KeyMaterial[],
): void {
  const { session } = context;
  for (const material of backupKeys) {
    const { identity, sealed } = material;
    const seal = unpackBytes(sealed.seal);
    if (
      identity.pool !== rootKeys.poolId ||
      sealed.rootGeneration !== rootKeys.generation ||
      seal.length !== MAC_BYTES ||
      !verifyMac(session, rootKeys, sealedBytes(material, sealed), seal)
    )
      throw notRootKeys();
    const { wrap, seal: mac } = refusing(() => loadBackupKeys({ ...context, rootKeys }, material));
    for (const key of [wrap, mac]) if (key !== undefined) calls.destroyObject(session, key);
  }
}

/** The module's answer stays the cause, from which it is told whether the token is lost. */
function refusing<T>(open: () => T): T {
  try {
    return open();
  } catch (error) {
    if (returnValue(error) === undefined || faultOf(error) === 'handle') throw error;
    throw notRootKeys(error);
  }
}

function notRootKeys(cause?: unknown): ServiceError {
  const answer = cause === undefined ? '' : ` (${answerIn(cause)})`;
  return new ServiceError(
    'BadParameter',
    `The security domain does not hold root keys that this HSM opens: it was altered, or another kind of HSM has wrapped them${answer}.`,
    { cause },
  );
}

function othersThere(
  { poolId, generation }: WrappedRootKeys,
  cause: unknown,
): ServiceError | Error {
  if (!(cause instanceof Error) || faultOf(cause) === 'handle') return cause as Error;
  return new ServiceError(
    'Conflict',
    `The HSM holds other root keys of generation ${generation} of the pool ${poolId} already: they stay as they are.`,
    { cause },
  );
}
