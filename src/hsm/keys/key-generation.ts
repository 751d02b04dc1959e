import graphene, { type MechanismType } from 'graphene-pk11';
import type { KeyIdentity, KeySpec, PublicKey } from '../../core/keys/key.ts';
import { GENERIC_SECRET } from '../operations/mechanisms.ts';
import { ML_DSA_KEY_PAIR_GEN } from '../operations/ml-dsa.ts';
import * as calls from '../module/calls.ts';
import type { Handle, ModuleSession, Template } from '../module/calls.ts';
import { CURVE } from '../../core/operations/algorithms.ts';
import type { Capabilities } from '../capabilities/capabilities.ts';
import type { ObjectIds } from '../../core/keys/objects/object-id.ts';
import { type KeepingCapabilities, keepingFor } from './keeping/keepings.ts';
import type { KeyKeeping, KeyMaking } from './keeping/key-keeping.ts';
import type { SealingContext } from './sealed-blob.ts';
import { generatedMac, generatedPrivate, generatedPublic } from './templates.ts';

const { KeyGenMechanism } = graphene;

export interface GeneratedKey {
  readonly publicKey?: PublicKey;
  /** As the pool keeps it: wrapped, or the object's id. */
  readonly blob: Buffer;
  readonly macBlob?: Buffer;
}

export interface GenerationContext extends SealingContext {
  readonly capabilities: SealingContext['capabilities'] &
    KeepingCapabilities &
    Pick<Capabilities, 'keepsMacKeys' | 'saysPublic' | 'wantsPoint'>;
}

interface PairContext {
  readonly session: ModuleSession;
  readonly capabilities: Pick<Capabilities, 'saysPublic'>;
}

/**
 * Generates inside the HSM, as the pool keeps its keys.
 * @param objects that a resident key is to be
 */
export function generateKept(
  context: GenerationContext,
  identity: KeyIdentity,
  spec: KeySpec,
  objects: ObjectIds | undefined,
  keeping: KeyKeeping = keepingFor(context.capabilities, spec),
): GeneratedKey {
  const making = keeping.making(identity, objects);
  if (spec.keyType === 'oct-HSM') return generateSecret(context, identity, spec, making);
  const { session } = context;
  const { publicKey, privateKey } = generatePair(
    context,
    identity,
    spec,
    making.attributes('private'),
  );
  return making.withNew(session, privateKey, () =>
    calls.withObject(session, publicKey, () => ({
      publicKey: readPublicKey(session, publicKey, spec),
      blob: making.stored(context, privateKey, 'private'),
    })),
  );
}

type PairSpec = Exclude<KeySpec, { keyType: 'oct-HSM' }>;

const PAIR_GENERATION: Readonly<Record<PairSpec['keyType'], MechanismType>> = {
  'RSA-HSM': KeyGenMechanism.RSA,
  'EC-HSM': KeyGenMechanism.EC,
  'AKP-HSM': ML_DSA_KEY_PAIR_GEN,
};

function generatePair(
  { session, capabilities }: PairContext,
  identity: KeyIdentity,
  spec: PairSpec,
  made: Template,
) {
  return calls.generateKeyPair(
    session,
    PAIR_GENERATION[spec.keyType],
    generatedPublic(identity, spec, capabilities),
    generatedPrivate(identity, spec, made),
  );
}

/** The objects of a new key that is kept nowhere. */
export function generateObjects(
  context: PairContext,
  identity: KeyIdentity,
  spec: KeySpec,
): readonly Handle[] {
  const { session } = context;
  if (spec.keyType !== 'oct-HSM') {
    const pair = generatePair(context, identity, spec, NOT_KEPT);
    return [pair.privateKey, pair.publicKey];
  }
  return [
    calls.generateKey(session, KeyGenMechanism.AES, generatedPrivate(identity, spec, NOT_KEPT)),
  ];
}

const NOT_KEPT: Template = { token: false, extractable: false };

/**
 * An AES key, and beside it a secret of its own for HS256, HS384 and HS512. Modules don't let an AES key make an HMAC, and
 * SoftHSM refuses HMAC keys shorter than the digest; one key for one purpose is better anyway (SP 800-57 part 1 §5.2).
 */
function generateSecret(
  context: GenerationContext,
  identity: KeyIdentity,
  spec: KeySpec,
  making: KeyMaking,
): GeneratedKey {
  const { session } = context;
  const template = generatedPrivate(identity, spec, making.attributes('private'));
  const key = calls.generateKey(session, KeyGenMechanism.AES, template);
  return making.withNew(session, key, () => {
    const blob = making.stored(context, key, 'private');
    if (!context.capabilities.keepsMacKeys) return { blob };
    const secret = generatedMac(identity, making.attributes('mac'));
    const mac = calls.generateKey(session, GENERIC_SECRET, secret);
    return making.withNew(session, mac, () => ({
      blob,
      macBlob: making.stored(context, mac, 'mac'),
    }));
  });
}

function readPublicKey(session: ModuleSession, key: Handle, spec: PairSpec): PublicKey {
  if (spec.keyType === 'RSA-HSM')
    return {
      keyType: 'RSA-HSM',
      n: withoutLeadingZeros(calls.readBytes(session, key, 'modulus')),
      e: withoutLeadingZeros(calls.readBytes(session, key, 'publicExponent')),
    };
  if (spec.keyType === 'AKP-HSM') return { keyType: 'AKP-HSM', pub: calls.readValue(session, key) };
  const { bytes } = CURVE[spec.curve];
  // 04 || x || y, in a DER OCTET STRING or bare (modules differ); coordinates keep their leading zeros.
  const point = calls.readBytes(session, key, 'pointEC').subarray(-(2 * bytes));
  return { keyType: 'EC-HSM', x: point.subarray(0, bytes), y: point.subarray(bytes) };
}

export function withoutLeadingZeros(bytes: Buffer): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  return first <= 0 ? bytes : bytes.subarray(first);
}
