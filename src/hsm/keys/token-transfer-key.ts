import { ServiceError } from '../../core/errors.ts';
import graphene, { type ITemplate } from 'graphene-pk11';
import type { RsaSize } from '../../core/operations/algorithms.ts';
import type { PublicKey } from '../../core/keys/key.ts';
import type { Capabilities } from '../capabilities/capabilities.ts';
import * as calls from '../module/calls.ts';
import type { Handle, ModuleSession, Template } from '../module/calls.ts';
import { withoutLeadingZeros } from './key-generation.ts';

const { KeyGenMechanism, KeyType, ObjectClass } = graphene;

/**
 * The private half of a transfer key as a token object: for an HSM of which no pool knows yet. It decrypts what a security
 * domain is encrypted to, and signs its own certificate. When it was made stands in its label, which can't be modified.
 */
const SEARCH: ITemplate = {
  class: ObjectClass.PRIVATE_KEY,
  token: true,
  id: Buffer.from('strongroom:transfer-key'),
};
const LABEL = 'strongroom transfer-key ';
const EXPONENT = Buffer.of(1, 0, 1);
const MOST = 1_000;
const LIFETIME_MS = 24 * 3_600_000;
/** Of the clocks of those who make it and who use it. */
const AHEAD_MS = 300_000;

export interface TokenTransferKey {
  readonly key: Handle;
  /** Undefined for a label that isn't ours. */
  readonly madeAt: Date | undefined;
  readonly bits: RsaSize;
}

/** @returns its private half and what of it is public */
export function makeTokenTransferKey(
  session: ModuleSession,
  capabilities: Pick<Capabilities, 'saysPublic'>,
  bits: RsaSize,
  now: Date,
): { readonly key: Handle; readonly publicKey: PublicKey & { readonly keyType: 'RSA-HSM' } } {
  const secret: Template = {
    ...SEARCH,
    label: `${LABEL}${now.toISOString()}`,
    keyType: KeyType.RSA,
    sensitive: true,
    extractable: false,
    modifiable: false,
    decrypt: true,
    sign: true,
    unwrap: false,
  };
  const open: Template = {
    keyType: KeyType.RSA,
    token: false,
    ...(capabilities.saysPublic && { private: false }),
    encrypt: true,
    verify: true,
    modulusBits: bits,
    publicExponent: EXPONENT,
  };
  const made = calls.generateKeyPair(session, KeyGenMechanism.RSA, open, secret);
  return calls.withObject(session, made.publicKey, (publicKey) => ({
    key: made.privateKey,
    publicKey: {
      keyType: 'RSA-HSM',
      n: withoutLeadingZeros(calls.readBytes(session, publicKey, 'modulus')),
      e: withoutLeadingZeros(calls.readBytes(session, publicKey, 'publicExponent')),
    },
  }));
}

export function findTokenTransferKeys(session: ModuleSession): readonly TokenTransferKey[] {
  return calls.findObjects(session, SEARCH, MOST).map((key) => {
    const { label } = calls.readAttributes(session, key, { label: null });
    const bytes = withoutLeadingZeros(calls.readBytes(session, key, 'modulus')).length;
    return { key, madeAt: dateIn(label), bits: (bytes * 8) as RsaSize };
  });
}

/**
 * Which of them is good at a moment, and which are too old.
 * @throws ServiceError Conflict where the moment is before it was made: a clock that is wrong is set right, while a key that is
 * destroyed has its custodians come together again
 */
export function judgeTransferKeys<Key extends Pick<TokenTransferKey, 'madeAt'>>(
  keys: readonly Key[],
  now: Date,
): { readonly found: Key | undefined; readonly over: readonly Key[] } {
  const ageMs = ({ madeAt }: Key) => now.getTime() - (madeAt?.getTime() ?? -Infinity);
  const over = keys.filter((one) => ageMs(one) > LIFETIME_MS);
  const found = keys.find((one) => !over.includes(one));
  if (found === undefined || ageMs(found) >= -AHEAD_MS) return { found, over };
  throw new ServiceError(
    'Conflict',
    `The transfer key was made at ${found.madeAt?.toISOString() ?? ''}, and the clock of this machine says ${now.toISOString()}: set it right, and try again. The key stays.`,
  );
}

function dateIn(label: unknown): Date | undefined {
  if (typeof label !== 'string' || !label.startsWith(LABEL)) return undefined;
  const date = new Date(label.slice(LABEL.length));
  return Number.isNaN(date.getTime()) ? undefined : date;
}
