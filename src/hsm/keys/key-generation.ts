import graphene, { type Key, type Session } from 'graphene-pk11';
import { type KeyIdentity, type KeySpec, type PublicKey } from '../../core/keys/key.ts';
import { KEY_WRAP_PADDED } from '../operations/mechanisms.ts';
import { type NativeCalls } from '../module/native-calls.ts';
import { readBytes } from './read-bytes.ts';
import { type RootKeys } from './root-keys.ts';
import { CURVE, generatedMac, generatedPrivate, generatedPublic } from './templates.ts';

const { KeyGenMechanism, MechanismEnum } = graphene;
const GENERIC_SECRET = { name: MechanismEnum.GENERIC_SECRET_KEY_GEN, params: null };

export interface GeneratedKey {
  readonly publicKey?: PublicKey;
  readonly blob: Buffer;
  readonly macBlob?: Buffer;
}

export interface GenerationContext {
  readonly session: Session;
  readonly rootKeys: RootKeys;
  readonly calls: NativeCalls;
  readonly deadlineMs: number;
}

/** Generates inside the HSM, wraps, and destroys: extractable keys exist from one call to the next, and no longer. */
export async function generateWrapped(
  context: GenerationContext,
  identity: KeyIdentity,
  spec: KeySpec,
): Promise<GeneratedKey> {
  if (spec.keyType === 'oct-HSM') return generateSecret(context, identity, spec);
  const { session, calls, deadlineMs } = context;
  const templates = [generatedPublic(identity, spec), generatedPrivate(identity, spec)] as const;
  const mechanism = spec.keyType === 'RSA-HSM' ? KeyGenMechanism.RSA : KeyGenMechanism.EC;
  const pair = await calls.run(
    `generate ${spec.keyType}`,
    spec.keyType === 'RSA-HSM' ? 'long' : 'brief',
    {
      inline: () => session.generateKeyPair(mechanism, ...templates),
      offLoop: (done) => {
        session.generateKeyPair(mechanism, ...templates, done);
      },
    },
    deadlineMs,
  );
  try {
    const publicKey = readPublicKey(pair.publicKey, spec);
    return { publicKey, blob: await wrap(context, pair.privateKey) };
  } finally {
    pair.privateKey.destroy();
    pair.publicKey.destroy();
  }
}

/**
 * An AES key, and beside it a secret of its own for HS256, HS384 and HS512. Modules don't let an AES key make an HMAC, and
 * SoftHSM refuses HMAC keys shorter than the digest; one key for one purpose is better anyway (SP 800-57 part 1 §5.2).
 */
async function generateSecret(
  context: GenerationContext,
  identity: KeyIdentity,
  spec: KeySpec,
): Promise<GeneratedKey> {
  const { session } = context;
  const key = session.generateKey(KeyGenMechanism.AES, generatedPrivate(identity, spec));
  try {
    const mac = session.generateKey(GENERIC_SECRET, generatedMac(identity));
    try {
      return { blob: await wrap(context, key), macBlob: await wrap(context, mac) };
    } finally {
      mac.destroy();
    }
  } finally {
    key.destroy();
  }
}

/** By the root key, inside the HSM. */
export function wrap({ session, rootKeys, calls }: GenerationContext, key: Key): Promise<Buffer> {
  return calls.run('wrap sealed', 'brief', {
    inline: () => session.wrapKey(KEY_WRAP_PADDED, rootKeys.wrap, key),
    offLoop: (done) => {
      session.wrapKey(KEY_WRAP_PADDED, rootKeys.wrap, key, done);
    },
  });
}

function readPublicKey(key: Key, spec: KeySpec): PublicKey {
  if (spec.keyType === 'RSA-HSM')
    return {
      keyType: 'RSA-HSM',
      n: withoutLeadingZeros(readBytes(key, 'modulus')),
      e: withoutLeadingZeros(readBytes(key, 'publicExponent')),
    };
  if (spec.keyType !== 'EC-HSM') throw new TypeError('an AES key has no public half');
  const { bytes } = CURVE[spec.curve];
  // 04 || x || y, in a DER OCTET STRING or bare (modules differ); coordinates keep their leading zeros.
  const point = readBytes(key, 'pointEC').subarray(-(2 * bytes));
  return { keyType: 'EC-HSM', x: point.subarray(0, bytes), y: point.subarray(bytes) };
}

export function withoutLeadingZeros(bytes: Buffer): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  return first <= 0 ? bytes : bytes.subarray(first);
}
