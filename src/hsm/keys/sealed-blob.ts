import graphene from 'graphene-pk11';
import { OperatorError } from '../../core/operator-error.ts';
import type { Capabilities, SealingWrap } from '../capabilities/capabilities.ts';
import {
  type Attributes,
  type Handle,
  type ModuleSession,
  randomBytes,
  unwrapKey,
  wrapKey,
} from '../module/calls.ts';
import { gcmMechanism } from '../operations/mechanisms.ts';
import type { RootKeys } from './root-keys.ts';

/**
 * A key as it is kept outside the HSM: wrapped by `root-wrap`, and in a form that says how, so that a pool can move to
 * another module. What RFC 5649 gives is a multiple of 8 bytes and stands alone. Any other begins with a byte that names its
 * kind, and is made one byte longer than a multiple of 8.
 */
export interface SealingContext {
  readonly session: ModuleSession;
  readonly rootKeys: RootKeys;
  readonly capabilities: Pick<Capabilities, 'module' | 'sealing' | 'keyWrapPadded'>;
}

const SEMIBLOCK = 8;
const KIND = { 'cbc-pad': 1, gcm: 2 } as const;
const IV_BYTES = { 'cbc-pad': 16, gcm: 12 } as const;

type Headed = Exclude<SealingWrap['kind'], 'kwp'>;

/** @param key an extractable object */
export function wrapForSealing(context: SealingContext, key: Handle): Buffer {
  const { session, rootKeys, capabilities } = context;
  const { sealing } = capabilities;
  if (sealing.kind === 'kwp') return wrapKey(session, sealing.mechanism, rootKeys.wrap, key);
  const { kind } = sealing;
  const iv = randomBytes(session, IV_BYTES[kind]);
  const wrapped = wrapKey(session, mechanismOf(kind, iv), rootKeys.wrap, key);
  // Zeros at the end; how many stands in the second byte.
  const bare = 2 + iv.length + wrapped.length;
  const filling = (SEMIBLOCK + 1 - (bare % SEMIBLOCK)) % SEMIBLOCK;
  return Buffer.concat([Buffer.of(KIND[kind], filling), iv, wrapped, Buffer.alloc(filling)]);
}

/**
 * The seal has been verified before.
 * @throws OperatorError where the module can't do what the key was wrapped by
 */
export function unwrapSealed(
  context: SealingContext,
  blob: Buffer,
  attributes: Attributes,
): Handle {
  const { session, rootKeys, capabilities } = context;
  if (blob.length % SEMIBLOCK === 0) {
    const { keyWrapPadded, module } = capabilities;
    if (keyWrapPadded === undefined)
      throw new OperatorError(
        `The key was wrapped by RFC 5649, which the PKCS#11 module ${module} lacks.`,
      );
    return unwrapKey(session, keyWrapPadded.mechanism, rootKeys.wrap, blob, attributes);
  }
  const { kind, iv, wrapped } = parse(blob);
  return unwrapKey(session, mechanismOf(kind, iv), rootKeys.wrap, wrapped, attributes);
}

/** Bytes of the key in a blob, rounded up to 8 (RFC 5649 adds 8); undefined where it was wrapped otherwise. */
export function keyBytesIn(blob: Buffer): number | undefined {
  return blob.length % SEMIBLOCK === 0 ? blob.length - SEMIBLOCK : undefined;
}

function parse(blob: Buffer): {
  readonly kind: Headed;
  readonly iv: Buffer;
  readonly wrapped: Buffer;
} {
  const [first, filling = 0] = blob;
  const kind = (Object.keys(KIND) as Headed[]).find((name) => KIND[name] === first);
  if (kind === undefined)
    throw new OperatorError('The key was wrapped by a later version of this service.');
  const end = 2 + IV_BYTES[kind];
  return { kind, iv: blob.subarray(2, end), wrapped: blob.subarray(end, blob.length - filling) };
}

function mechanismOf(kind: Headed, iv: Buffer) {
  return kind === 'gcm'
    ? gcmMechanism(iv, undefined)
    : { name: graphene.MechanismEnum.AES_CBC_PAD, params: iv };
}
