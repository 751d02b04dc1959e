import type { IAlgorithm } from 'graphene-pk11';
import {
  AES_SIZES,
  type Curve,
  RSA_SIZES,
  type SigningAlgorithm,
} from '../../core/operations/algorithms.ts';
import { ServiceError } from '../../core/errors.ts';
import type { TransferableType } from '../../core/keys/hsm.ts';
import type { KeyIdentity, KeyMaterial, KeySpec, PublicKey } from '../../core/keys/key.ts';
import { parseImportedKey } from '../../core/keys/import/key-import.ts';
import type { ObjectIds } from '../../core/keys/objects/object-id.ts';
import { parsePublicExponent } from '../../core/keys/key-spec.ts';
import { type PlainKey, type PlainMlDsaKey, wipe } from '../../core/keys/import/plain-key.ts';
import { deriveEcPublicKey } from './ec-public-key.ts';
import { requireKeyWrapPadded, requireTransfer } from '../capabilities/refusals.ts';
import type { Capabilities } from '../capabilities/capabilities.ts';
import * as calls from '../module/calls.ts';
import type { Handle, ModuleSession, Template } from '../module/calls.ts';
import { faultOf } from '../module/errors.ts';
import { returnValue, type ReturnValue } from '../module/return-values.ts';
import {
  type GeneratedKey,
  type GenerationContext,
  withoutLeadingZeros,
} from './key-generation.ts';
import { AES_ECB, rsaOaep, SIGNING } from '../operations/mechanisms.ts';
import { keepingFor, keepingOf } from './keeping/keepings.ts';
import { wrapSeed } from './keeping/sealed-seeds.ts';
import { keyBytesIn } from './sealed-blob.ts';
import { readPkcs8 } from './pkcs8.ts';
import {
  curveOf,
  dataKey,
  importedMac,
  importedPrivate,
  loadedPrivate,
  loadedPublic,
  transferredPrivate,
  UNKNOWN_POINT,
  unwrappedPrivate,
  transferKey,
  TRIED,
  triedPrivate,
} from './templates.ts';

const OAEP_SHA1 = rsaOaep('sha1');

/** What an import comes to: the wrapped key, and what kind of key it has turned out to be. */
export interface ImportedKey extends GeneratedKey {
  readonly spec: KeySpec;
}

/**
 * A key in the clear becomes an object in the HSM, is tried there, and kept as the pool keeps its keys.
 * @param objects that a resident key is to be
 */
export function importPlain(
  context: GenerationContext,
  identity: KeyIdentity,
  key: PlainKey,
  objects: ObjectIds | undefined,
): ImportedKey {
  const { session } = context;
  const spec = specOf(key);
  if (key.keyType === 'AKP-HSM' && context.capabilities.keeping === 'sealed')
    return importSeed(context, identity, key);
  const making = keepingFor(context.capabilities, spec).making(identity, objects);
  const make = (made: Template) =>
    refusing(() => create(session, importedPrivate(identity, spec, key, made)));
  if (key.keyType === 'oct-HSM') {
    const object = make(making.attributes('private'));
    return making.withNew(session, object, () => {
      const blob = making.stored(context, object, 'private');
      if (!context.capabilities.keepsMacKeys) return { spec, blob };
      // HMAC pads its key with zeros to the hash's block (RFC 2104 §2): padded here, it is the same HMAC key.
      const mac = create(session, importedMac(identity, making.attributes('mac'), key.k));
      return making.withNew(session, mac, () => ({
        spec,
        blob,
        macBlob: making.stored(context, mac, 'mac'),
      }));
    });
  }
  const publicKey = publicHalfOf(key);
  const tried = refusing(() =>
    create(session, { ...importedPrivate(identity, spec, key, making.trial), ...TRIED }),
  );
  return calls.withObject(session, tried, () => {
    requirePair(context, tried, spec, publicKey);
    const blob = making.storedAfterTrial(context, tried, () => make(making.attributes('private')));
    return { spec, publicKey, blob };
  });
}

function publicHalfOf(key: Exclude<PlainKey, { keyType: 'oct-HSM' }>): PublicKey {
  switch (key.keyType) {
    case 'RSA-HSM':
      return { keyType: 'RSA-HSM', n: Buffer.from(key.n), e: Buffer.from(key.e) };
    case 'EC-HSM':
      return { keyType: 'EC-HSM', x: Buffer.from(key.x), y: Buffer.from(key.y) };
    case 'AKP-HSM':
      return { keyType: 'AKP-HSM', pub: Buffer.from(key.pub) };
  }
}

/** The HSM opens it as it will whenever the key is used, and tries the halves on each other. */
function importSeed(
  context: GenerationContext,
  identity: KeyIdentity,
  key: PlainMlDsaKey,
): ImportedKey {
  const spec = specOf(key);
  const publicKey = publicHalfOf(key);
  const blob = refusing(() => wrapSeed(context, key.parameterSet, key.seed));
  const keeping = keepingFor(context.capabilities, spec);
  const object = refusing(() => keeping.load(context, blob, loadedPrivate(identity, spec)));
  return calls.withObject(context.session, object, () => {
    requirePair(context, object, spec, publicKey);
    return { spec, publicKey, blob };
  });
}

function create(session: ModuleSession, template: Template): Handle {
  return calls.createObject(session, calls.toAttributes(template));
}

/** The sizes of what CKM_RSA_AES_KEY_WRAP wraps: a PKCS #8 of RSA-4096 has about 2.4 KB. */
const TRANSFER_LIMIT_BYTES = 16_384;

/**
 * The two steps of CKM_RSA_AES_KEY_WRAP, one after the other, since few modules have it whole: both results stay in the
 * HSM, the AES key for good, the other until it is wrapped by the root key.
 * @param exchangeKey the RSA private key for which it was wrapped; `modulusBytes` long
 */
export async function importTransferred(
  context: GenerationContext & {
    readonly capabilities: Pick<Capabilities, 'transferLacks'>;
    readonly isSoftware: boolean;
  },
  identity: KeyIdentity,
  exchangeKey: Handle,
  modulusBytes: number,
  wrapped: Buffer,
  expected: { readonly keyType: TransferableType; readonly curve?: Curve },
  objects: ObjectIds | undefined,
): Promise<ImportedKey> {
  const { session } = context;
  const { keepsMacKeys, wantsPoint } = context.capabilities;
  const { mechanism: keyWrapPadded } = requireKeyWrapPadded(context.capabilities);
  requireTransfer(context.capabilities, expected.keyType);
  if (wrapped.length < modulusBytes + 16 || wrapped.length > TRANSFER_LIMIT_BYTES) throw notOurs();
  const unwrap = (mechanism: IAlgorithm, key: Handle, blob: Buffer, attributes: calls.Attributes) =>
    refusing(() => calls.unwrapKey(session, mechanism, key, blob, attributes));
  const aes = unwrap(
    OAEP_SHA1,
    exchangeKey,
    wrapped.subarray(0, modulusBytes),
    calls.toAttributes(transferKey()),
  );
  const opened: Handle[] = [aes];
  const target = wrapped.subarray(modulusBytes);
  const open = (template: Template, publicKey?: PublicKey): Handle => {
    const attributes = unwrappedPrivate(template, publicKey, context.capabilities);
    return unwrap(keyWrapPadded, aes, target, attributes);
  };
  const openForTrial = (template: Template, publicKey?: PublicKey): Handle => {
    const key = open(template, publicKey);
    opened.push(key);
    return key;
  };
  const making = keepingOf(context.capabilities.keeping).making(identity, objects);
  const make = (publicKey?: PublicKey) =>
    open(transferredPrivate(identity, expected.keyType, making.attributes('private')), publicKey);
  try {
    if (expected.keyType === 'oct-HSM') {
      const object = make();
      return making.withNew(session, object, () => {
        const spec = requireExpected(aesSpec(session, object, keyBytesIn(target)), undefined);
        const blob = making.stored(context, object, 'private');
        if (!keepsMacKeys) return { spec, blob };
        const mac = open(importedMac(identity, making.attributes('mac')));
        return making.withNew(session, mac, () => ({
          spec,
          blob,
          macBlob: making.stored(context, mac, 'mac'),
        }));
      });
    }
    const template = triedPrivate(identity, expected.keyType, making.trial);
    const unknown = expected.keyType === 'EC-HSM' ? UNKNOWN_POINT : undefined;
    const object = openForTrial(template, unknown);
    const spec = requireExpected(pairSpec(session, object, expected.keyType), expected.curve);
    const publicKey: PublicKey =
      spec.keyType === 'RSA-HSM'
        ? {
            keyType: 'RSA-HSM',
            n: withoutLeadingZeros(calls.readBytes(session, object, 'modulus')),
            e: withoutLeadingZeros(calls.readBytes(session, object, 'publicExponent')),
          }
        : refusing(() =>
            deriveEcPublicKey(session, object, spec.curve, context.capabilities, (candidate) =>
              isPair(context, object, spec, candidate),
            ),
          );
    requirePair(context, object, spec, publicKey);
    if (context.isSoftware)
      await requireConsistent(calls.readValue(session, openForTrial(dataKey())), spec, publicKey);
    // What is said of the point goes into the wrapped key: now it is known.
    const isPointKnown = !wantsPoint || spec.keyType !== 'EC-HSM';
    const tried = isPointKnown ? object : openForTrial(template, publicKey);
    const blob = making.storedAfterTrial(context, tried, () => make(publicKey));
    return { spec, publicKey, blob };
  } finally {
    for (const key of opened) calls.destroyObject(session, key);
  }
}

/**
 * A trial doesn't tell all of a key: RSA signs by the numbers of CRT, so that a private exponent that isn't theirs goes
 * unnoticed. The numbers are checked as those of a JWK are, where the module keeps its keys in this process's memory anyway.
 * @throws ServiceError BadParameter
 */
async function requireConsistent(
  bytes: Buffer,
  spec: PairSpec,
  publicKey: PublicKey,
): Promise<void> {
  try {
    wipe(await parseImportedKey(readPkcs8(bytes, spec, publicKey)));
  } finally {
    bytes.fill(0);
  }
}

export function specOf(key: PlainKey): KeySpec {
  switch (key.keyType) {
    case 'RSA-HSM':
      return { keyType: 'RSA-HSM', bits: key.bits, publicExponent: unsigned(key.e) };
    case 'EC-HSM':
      return { keyType: 'EC-HSM', curve: key.curve };
    case 'oct-HSM':
      return { keyType: 'oct-HSM', bits: key.bits };
    case 'AKP-HSM':
      return { keyType: 'AKP-HSM', parameterSet: key.parameterSet };
  }
}

type PairSpec = Extract<KeySpec, { keyType: 'RSA-HSM' | 'EC-HSM' }>;

/** What the HSM says of a key that it has unwrapped; undefined for sizes and curves that no key here has. */
function pairSpec(
  session: ModuleSession,
  key: Handle,
  keyType: PairSpec['keyType'],
): PairSpec | undefined {
  switch (keyType) {
    case 'RSA-HSM': {
      const modulus = withoutLeadingZeros(calls.readBytes(session, key, 'modulus'));
      const bits = RSA_SIZES.find(
        (size) => size === modulus.length * 8 && (modulus[0] ?? 0) >= 0x80,
      );
      const publicExponent = unsigned(calls.readBytes(session, key, 'publicExponent'));
      return (
        bits && {
          keyType,
          bits,
          publicExponent: parsePublicExponent('key', publicExponent),
        }
      );
    }
    case 'EC-HSM': {
      const curve = curveOf(calls.readBytes(session, key, 'paramsECDSA'));
      return curve === undefined ? undefined : { keyType, curve };
    }
  }
}

/**
 * SoftHSM 2.6.1 doesn't say how long a key is that it has unwrapped (CKA_VALUE_LEN), but its wrapped form does, to 8 bytes
 * (RFC 5649 adds 8); and a key of a length that AES doesn't have can't encrypt.
 */
function aesSpec(
  session: ModuleSession,
  key: Handle,
  bytes: number | undefined,
): KeySpec | undefined {
  const bits = AES_SIZES.find((size) => size / 8 === bytes);
  if (bits === undefined) return undefined;
  try {
    calls.encrypt(session, AES_ECB, key, Buffer.alloc(16), 16);
    return { keyType: 'oct-HSM', bits };
  } catch (error) {
    if (faultOf(error) === 'input') return undefined;
    throw refusal(error);
  }
}

function requireExpected<Spec extends KeySpec>(
  spec: Spec | undefined,
  curve: Curve | undefined,
): Spec {
  if (spec === undefined)
    throw new ServiceError(
      'BadParameter',
      'Property key has an invalid value: the transferred key has a size or a curve that keys here do not have.',
    );
  if (curve !== undefined && spec.keyType === 'EC-HSM' && spec.curve !== curve)
    throw new ServiceError(
      'BadParameter',
      `Property key.crv has an invalid value: the transferred key is on the curve ${spec.curve}.`,
    );
  return spec;
}

/** Signs with one half and verifies with the other, inside the HSM (FIPS 140-3 IG 10.3.A, pairwise consistency). */
function isPair(
  { session, capabilities }: GenerationContext,
  key: Handle,
  spec: KeySpec,
  publicKey: PublicKey,
): boolean {
  const { mechanism, input, limitBytes } = SIGNING[trialOf(spec)];
  const data = input(calls.randomBytes(session, 32));
  const half = create(session, loadedPublic(spec, publicKey, capabilities));
  return calls.withObject(session, half, () => {
    try {
      const signature = calls.sign(session, mechanism, key, data, limitBytes);
      return calls.verify(session, mechanism, half, data, signature);
    } catch (error) {
      if (faultOf(error) === 'input') return false;
      throw refusal(error);
    }
  });
}

/** ECDSA by whatever name takes 32 bytes on each curve. */
function trialOf(spec: KeySpec): SigningAlgorithm {
  if (spec.keyType === 'AKP-HSM') return spec.parameterSet;
  return spec.keyType === 'RSA-HSM' ? 'RS256' : 'ES256';
}

function requirePair(
  context: GenerationContext,
  key: Handle,
  spec: KeySpec,
  publicKey: PublicKey,
): void {
  if (isPair(context, key, spec, publicKey)) return;
  throw new ServiceError(
    'BadParameter',
    'Property key has an invalid value: the private key is no valid one, or the public key does not belong to it.',
  );
}

/**
 * The same words for all that can be wrong with a transfer blob, at whichever of its two layers. Such a call has nothing to
 * fail for but what the caller gave, or a token that is lost: that is told by the cause, in key-calls.ts.
 */
function refusing<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw refusal(error);
  }
}

/** Of what the module has answered of the key; what has come from elsewhere, or is about the HSM itself, passes. */
function refusal(error: unknown): unknown {
  const name = returnValue(error);
  return name === undefined || OF_THE_HSM.has(name) ? error : notOurs(error);
}

/** What no module answers to a key that it doesn't take. */
const OF_THE_HSM: ReadonlySet<ReturnValue | 'other'> = new Set([
  'CKR_DEVICE_MEMORY',
  'CKR_SESSION_COUNT',
  'CKR_SESSION_CLOSED',
  'CKR_SESSION_HANDLE_INVALID',
  'CKR_USER_NOT_LOGGED_IN',
  'CKR_CRYPTOKI_NOT_INITIALIZED',
]);

function notOurs(cause?: unknown): ServiceError {
  return new ServiceError(
    'BadParameter',
    'Property key has an invalid value: the HSM does not take this key.',
    { cause },
  );
}

function unsigned(bytes: Uint8Array): number {
  return Number(BigInt(`0x0${Buffer.from(bytes).toString('hex')}`));
}

export function modulusBytesOf({ spec }: KeyMaterial): number {
  if (spec.keyType !== 'RSA-HSM') throw new TypeError('a key exchange key is an RSA key');
  return spec.bits / 8;
}
