import graphene from 'graphene-pk11';
import { ServiceError } from '../../core/errors.ts';
import type { BlobHead } from '../../core/keys/blob-head.ts';
import { answerIn } from '../capabilities/lack.ts';
import type { Capabilities, SealingWrap } from '../capabilities/capabilities.ts';
import {
  type Attributes,
  type Handle,
  type ModuleSession,
  randomBytes,
  unwrapKey,
  wrapKey,
} from '../module/calls.ts';
import { faultOf } from '../module/errors.ts';
import { returnValue, type ReturnValue } from '../module/return-values.ts';
import { gcmMechanism } from '../operations/mechanisms.ts';
import { requireRootWrap, type RootKeys } from './root-keys.ts';

/**
 * A key as it is kept outside the HSM: wrapped by `root-wrap`, and in a form that says how, so that a pool can move to
 * another module. What RFC 5649 gives is a multiple of 8 bytes and stands alone. Any other begins with a byte that names its
 * kind, and is made one byte longer than a multiple of 8.
 */
export interface SealingContext {
  readonly session: ModuleSession;
  readonly rootKeys: Pick<RootKeys, 'poolId' | 'wrap'>;
  readonly capabilities: Pick<Capabilities, 'module' | 'sealing' | 'sealLacks' | 'keyWrapPadded'>;
}

const SEMIBLOCK = 8;
/** 3 is what stands for a resident key: core/keys/objects/object-id.ts. */
const KIND = { 'cbc-pad': 1, gcm: 2 } as const;
const IV_BYTES = { 'cbc-pad': 16, gcm: 12 } as const;

type Headed = Exclude<SealingWrap['kind'], 'kwp'>;

/** @param key an extractable object */
export function wrapForSealing(context: SealingContext, key: Handle): Buffer {
  const { session, rootKeys, capabilities } = context;
  const { sealing } = capabilities;
  if (sealing === undefined) throw new TypeError('a resident pool wraps no keys');
  if (sealing.kind === 'kwp')
    return wrapKey(session, sealing.mechanism, requireRootWrap(rootKeys), key);
  const { kind } = sealing;
  const iv = randomBytes(session, IV_BYTES[kind]);
  const wrapped = wrapKey(session, mechanismOf(kind, iv), requireRootWrap(rootKeys), key);
  // Zeros at the end; how many stands in the second byte.
  const bare = 2 + iv.length + wrapped.length;
  const filling = (SEMIBLOCK + 1 - (bare % SEMIBLOCK)) % SEMIBLOCK;
  return Buffer.concat([Buffer.of(KIND[kind], filling), iv, wrapped, Buffer.alloc(filling)]);
}

/**
 * The seal has been verified before.
 * @throws ServiceError BadParameter where the module lacks what the key was wrapped by
 */
export function unwrapSealed(
  context: SealingContext,
  blob: Buffer,
  attributes: Attributes,
): Handle {
  const { sealLacks } = context.capabilities;
  const kind = kindOf(headOf(blob));
  try {
    return unwrapBlob(context, blob, attributes);
  } catch (error) {
    const name = returnValue(error);
    if (name === undefined) throw error;
    const lack = kind === undefined ? undefined : sealLacks[kind];
    // What was wrapped by another root key is no lack, nor is a session that is gone.
    const isLack = UNSUPPORTED.has(name) || (lack !== undefined && faultOf(error) !== 'handle');
    if (!isLack) throw error;
    throw cannotOpen(context, kind, answerIn(error));
  }
}

/** As the module answers it: for trials. @throws Error of the binding */
export function unwrapBlob(context: SealingContext, blob: Buffer, attributes: Attributes): Handle {
  const { session, rootKeys, capabilities } = context;
  const kind = kindOf(headOf(blob));
  if (kind === undefined) throw cannotOpen(context, kind, 'of a later version of this service');
  if (kind === 'kwp') {
    const { keyWrapPadded } = capabilities;
    if (keyWrapPadded === undefined)
      throw cannotOpen(context, kind, 'under no number that is known');
    return unwrapKey(session, keyWrapPadded.mechanism, requireRootWrap(rootKeys), blob, attributes);
  }
  const { iv, wrapped } = parse(blob, kind);
  return unwrapKey(session, mechanismOf(kind, iv), requireRootWrap(rootKeys), wrapped, attributes);
}

/** What no retry helps against, of a wrapped key whose seal is right. */
const UNSUPPORTED: ReadonlySet<ReturnValue | 'other'> = new Set([
  'CKR_FUNCTION_NOT_SUPPORTED',
  'CKR_KEY_FUNCTION_NOT_PERMITTED',
  'CKR_MECHANISM_INVALID',
  'CKR_MECHANISM_PARAM_INVALID',
  'CKR_TEMPLATE_INCOMPLETE',
  'CKR_TEMPLATE_INCONSISTENT',
]);

const NAMES: Readonly<Record<SealingWrap['kind'], string>> = {
  kwp: 'RFC 5649 (AES key wrap with padding)',
  gcm: 'CKM_AES_GCM',
  'cbc-pad': 'CKM_AES_CBC_PAD',
};

/** Without the module's own answer as its cause: neither a fresh session nor a fresh connection would help. */
function cannotOpen(
  { capabilities: { module } }: SealingContext,
  kind: SealingWrap['kind'] | undefined,
  answer: string,
): ServiceError {
  const way = kind === undefined ? 'a way that is not known' : NAMES[kind];
  return new ServiceError(
    'BadParameter',
    `The key can not be used: it was wrapped by ${way}, by which the HSM of this pool, ${module}, opens no such key (${answer}).`,
  );
}

/** Why keys whose blobs begin so can't be opened; undefined where they can. */
export function whyNotOpened(
  head: BlobHead,
  { module, sealLacks }: Pick<Capabilities, 'module' | 'sealLacks'>,
): string | undefined {
  const kind = kindOf(head);
  if (kind === undefined) return 'in a way that a later version of this service has';
  const lack = sealLacks[kind];
  return lack && `by ${NAMES[kind]}, by which ${module} opens none (${lack.answer})`;
}

function headOf(blob: Buffer): BlobHead {
  return { isMultipleOf8: blob.length % SEMIBLOCK === 0, firstByte: blob[0] ?? 0 };
}

function kindOf({ isMultipleOf8, firstByte }: BlobHead): SealingWrap['kind'] | undefined {
  if (isMultipleOf8) return 'kwp';
  return (Object.keys(KIND) as Headed[]).find((name) => KIND[name] === firstByte);
}

/** Bytes of a key that RFC 5649 has wrapped, rounded up to 8 (it adds 8); undefined for what it didn't wrap. */
export function keyBytesIn(blob: Buffer): number | undefined {
  return blob.length % SEMIBLOCK === 0 ? blob.length - SEMIBLOCK : undefined;
}

function parse(blob: Buffer, kind: Headed): { readonly iv: Buffer; readonly wrapped: Buffer } {
  const [, filling = 0] = blob;
  const end = 2 + IV_BYTES[kind];
  return { iv: blob.subarray(2, end), wrapped: blob.subarray(end, blob.length - filling) };
}

function mechanismOf(kind: Headed, iv: Buffer) {
  return kind === 'gcm'
    ? gcmMechanism(iv, undefined)
    : { name: graphene.MechanismEnum.AES_CBC_PAD, params: iv };
}
