import { ServiceError } from '../../core/errors.ts';
import type { WrappedRootKeys } from '../../core/recovery/root-keys/root-key-hsm.ts';
import type { Capabilities } from '../capabilities/capabilities.ts';
import * as calls from '../module/calls.ts';
import type { Handle, ModuleSession } from '../module/calls.ts';
import { faultOf } from '../module/errors.ts';
import { returnValue } from '../module/return-values.ts';
import {
  carryingKey,
  copiedRootKey,
  type RootPart,
  rootKey,
  rootKeySearch,
  triedRootKey,
} from './root-key-templates.ts';
import { findOne, type RootKeys } from './root-keys.ts';
import { type SealingContext, unwrapBlob } from './sealed-blob.ts';

/**
 * Root keys on their way from one HSM to another. They are extractable as session objects only, from the call that makes
 * them to the one that wraps them; what is in the token was unwrapped there, and can't leave.
 */
export interface CarryingContext {
  readonly session: ModuleSession;
  readonly capabilities: SealingContext['capabilities'] &
    Pick<Capabilities, 'keepsMacKeys' | 'sealing'>;
}

export type Parts<T> = Readonly<Record<RootPart, T>>;

export function requireCarrying({ capabilities }: CarryingContext): void {
  const { module, sealing, keepsMacKeys } = capabilities;
  if (sealing === undefined || !keepsMacKeys)
    throw new ServiceError(
      'NotImplemented',
      `The HSM, ${module}, wraps ${sealing === undefined ? 'no keys' : 'no HMAC keys'}, so that root keys can't be taken to another one.`,
    );
}

export function find(
  session: ModuleSession,
  part: RootPart,
  { poolId, generation }: Pick<WrappedRootKeys, 'poolId' | 'generation'>,
): Handle | undefined {
  return findOne(session, rootKeySearch(part, poolId, generation));
}

/** With the one-time key as what wraps. */
export function withCarrier<T>(
  context: CarryingContext,
  poolId: string,
  by: Uint8Array,
  use: (carrier: SealingContext) => T,
): T {
  const { session } = context;
  const wrap = createErasing(session, calls.toAttributes(carryingKey(by)));
  return calls.withObject(session, wrap, () => use({ ...context, rootKeys: { poolId, wrap } }));
}

/** Of its value no copy of this call's stays. */
function createErasing(session: ModuleSession, attributes: calls.Attributes): Handle {
  try {
    return calls.createObject(session, attributes);
  } finally {
    for (const { type, value } of attributes)
      if (type === calls.VALUE && Buffer.isBuffer(value)) value.fill(0);
  }
}

/** Puts these parts into the token; where `use` fails, they are destroyed. */
export function withPlaced<T>(
  carrier: SealingContext,
  poolId: string,
  generation: number,
  wrapped: Parts<Buffer>,
  parts: readonly RootPart[],
  use: (placed: Partial<Parts<Handle>>) => T,
): T {
  const placed: Partial<Record<RootPart, Handle>> = {};
  try {
    for (const part of parts)
      placed[part] = place(carrier, wrapped[part], part, poolId, generation);
    return use(placed);
  } catch (error) {
    for (const key of Object.values(placed)) calls.destroyObject(carrier.session, key);
    throw error;
  }
}

/**
 * A token object that can't leave. It is copied from a session object that can't either, since C_UnwrapKey makes no object
 * that can't be modified (SoftHSM2 answers CKR_ATTRIBUTE_READ_ONLY, and leaves a husk behind). Where a module copies none,
 * it is unwrapped as it is to be but for that.
 */
function place(
  carrier: SealingContext,
  wrapped: Buffer,
  ...[part, poolId, generation]: Parameters<typeof rootKey>
): Handle {
  const { session } = carrier;
  const key = unwrapBlob(carrier, wrapped, calls.toAttributes(triedRootKey(part)));
  try {
    return calls.withObject(session, key, () =>
      calls.copyObject(session, key, copiedRootKey(part, poolId, generation)),
    );
  } catch (error) {
    if (returnValue(error) === undefined || faultOf(error) === 'handle') throw error;
    return unwrapBlob(carrier, wrapped, calls.toAttributes(rootKey(part, poolId, generation)));
  }
}

export function toRootKeys(
  poolId: string,
  generation: number,
  parts: Partial<Parts<Handle>>,
): RootKeys {
  const { 'root-wrap': wrap, 'root-seal': seal } = parts;
  if (wrap === undefined || seal === undefined) throw new TypeError('root keys are two');
  return { poolId, generation, wrap, seal };
}
