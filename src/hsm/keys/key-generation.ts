import graphene from 'graphene-pk11';
import type { KeyIdentity, KeySpec, PublicKey } from '../../core/keys/key.ts';
import { GENERIC_SECRET } from '../operations/mechanisms.ts';
import * as calls from '../module/calls.ts';
import type { Handle, ModuleSession } from '../module/calls.ts';
import { CURVE } from '../../core/operations/algorithms.ts';
import type { Capabilities } from '../capabilities/capabilities.ts';
import { type SealingContext, wrapForSealing } from './sealed-blob.ts';
import { generatedMac, generatedPrivate, generatedPublic } from './templates.ts';

const { KeyGenMechanism } = graphene;

export interface GeneratedKey {
  readonly publicKey?: PublicKey;
  readonly blob: Buffer;
  readonly macBlob?: Buffer;
}

export interface GenerationContext extends SealingContext {
  readonly capabilities: SealingContext['capabilities'] &
    Pick<Capabilities, 'keepsMacKeys' | 'saysPublic' | 'wantsPoint'>;
}

interface PairContext {
  readonly session: ModuleSession;
  readonly capabilities: Pick<Capabilities, 'saysPublic'>;
}

/** Generates inside the HSM, wraps, and destroys: extractable keys exist from one call to the next, and no longer. */
export function generateWrapped(
  context: GenerationContext,
  identity: KeyIdentity,
  spec: KeySpec,
): GeneratedKey {
  if (spec.keyType === 'oct-HSM') return generateSecret(context, identity, spec);
  const { session } = context;
  const { publicKey, privateKey } = generatePair(context, identity, spec);
  return calls.withObject(session, privateKey, () =>
    calls.withObject(session, publicKey, () => ({
      publicKey: readPublicKey(session, publicKey, spec),
      blob: wrapForSealing(context, privateKey),
    })),
  );
}

function generatePair(
  { session, capabilities }: PairContext,
  identity: KeyIdentity,
  spec: KeySpec,
) {
  return calls.generateKeyPair(
    session,
    spec.keyType === 'RSA-HSM' ? KeyGenMechanism.RSA : KeyGenMechanism.EC,
    generatedPublic(identity, spec, capabilities),
    generatedPrivate(identity, spec),
  );
}

/** The objects of a new key, as they are before it is wrapped. */
export function generateObjects(
  context: PairContext,
  identity: KeyIdentity,
  spec: KeySpec,
): readonly Handle[] {
  const { session } = context;
  if (spec.keyType !== 'oct-HSM') {
    const pair = generatePair(context, identity, spec);
    return [pair.privateKey, pair.publicKey];
  }
  return [calls.generateKey(session, KeyGenMechanism.AES, generatedPrivate(identity, spec))];
}

/**
 * An AES key, and beside it a secret of its own for HS256, HS384 and HS512. Modules don't let an AES key make an HMAC, and
 * SoftHSM refuses HMAC keys shorter than the digest; one key for one purpose is better anyway (SP 800-57 part 1 §5.2).
 */
function generateSecret(
  context: GenerationContext,
  identity: KeyIdentity,
  spec: KeySpec,
): GeneratedKey {
  const { session } = context;
  const key = calls.generateKey(session, KeyGenMechanism.AES, generatedPrivate(identity, spec));
  return calls.withObject(session, key, () => {
    const blob = wrapForSealing(context, key);
    if (!context.capabilities.keepsMacKeys) return { blob };
    const mac = calls.generateKey(session, GENERIC_SECRET, generatedMac(identity));
    return calls.withObject(session, mac, () => ({
      blob,
      macBlob: wrapForSealing(context, mac),
    }));
  });
}

function readPublicKey(session: ModuleSession, key: Handle, spec: KeySpec): PublicKey {
  if (spec.keyType === 'RSA-HSM')
    return {
      keyType: 'RSA-HSM',
      n: withoutLeadingZeros(calls.readBytes(session, key, 'modulus')),
      e: withoutLeadingZeros(calls.readBytes(session, key, 'publicExponent')),
    };
  if (spec.keyType !== 'EC-HSM') throw new TypeError('an AES key has no public half');
  const { bytes } = CURVE[spec.curve];
  // 04 || x || y, in a DER OCTET STRING or bare (modules differ); coordinates keep their leading zeros.
  const point = calls.readBytes(session, key, 'pointEC').subarray(-(2 * bytes));
  return { keyType: 'EC-HSM', x: point.subarray(0, bytes), y: point.subarray(bytes) };
}

export function withoutLeadingZeros(bytes: Buffer): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  return first <= 0 ? bytes : bytes.subarray(first);
}
