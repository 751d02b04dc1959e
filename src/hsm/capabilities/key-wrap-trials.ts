import graphene, { type IAlgorithm } from 'graphene-pk11';
import {
  createObject,
  generateKey,
  type Handle,
  type ModuleSession,
  readValue,
  type Template,
  toAttributes,
  unwrapKey,
  withObject,
  wrapKey,
} from '../module/calls.ts';
import { wrapInBlocks, wrapPaddedInBlocks } from '../operations/key-wrap-blocks.ts';
import { AES_KEY_WRAP } from '../operations/mechanisms.ts';
import { dataKeyAttributes, unwrappedDataKey } from '../keys/templates.ts';
import type { Capabilities, KeyWrapPadded } from './capabilities.ts';
import { type Lack, lackOf } from './lack.ts';

const { KeyGenMechanism, KeyType, ObjectClass } = graphene;

/**
 * Under which numbers modules have RFC 5649, in the order in which they are tried: CKM_AES_KEY_WRAP_KWP (PKCS#11 v3.1),
 * CKM_AES_KEY_WRAP_PAD, which some have as PKCS#7 padding with RFC 3394, CKM_LUNA_AES_KWP and
 * CKM_CLOUDHSM_AES_KEY_WRAP_ZERO_PAD. A round trip can't tell them apart; an answer that is known can.
 */
const NUMBERS: Readonly<Record<number, string>> = {
  0x210b: 'CKM_AES_KEY_WRAP_KWP',
  0x210a: 'CKM_AES_KEY_WRAP_PAD',
  0x8000_0171: 'CKM_LUNA_AES_KWP',
  0x8000_216f: 'CKM_CLOUDHSM_AES_KEY_WRAP_ZERO_PAD',
};

const SECRET = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
/** RFC 5649 has two ways: for up to 8 bytes, and for more. */
const ODD_SECRETS = [SECRET.subarray(0, 7), SECRET.subarray(0, 13)];

/** Runs `use` with an AES key that wraps, and enciphers blocks so that its answers are known. */
export function withWrappingKey<T>(session: ModuleSession, use: (key: Handle) => T): T {
  const key = generateKey(session, KeyGenMechanism.AES, {
    keyType: KeyType.AES,
    token: false,
    private: true,
    sensitive: true,
    extractable: false,
    valueLen: 32,
    encrypt: true,
    decrypt: true,
    wrap: true,
    unwrap: true,
  });
  return withObject(session, key, use);
}

/**
 * The first number under which an AES key is wrapped as RFC 5649 has it, by comparison with the same built from single
 * blocks; one that keeps lengths goes before one that doesn't.
 * @param given by the operator: only this is tried
 */
export function tryKeyWrapPadded(
  session: ModuleSession,
  key: Handle,
  given: number | undefined,
): { readonly found: KeyWrapPadded | undefined; readonly lacks: readonly Lack[] } {
  const numbers = given === undefined ? Object.keys(NUMBERS).map(Number) : [given];
  const lacks: Lack[] = [];
  let found: KeyWrapPadded | undefined;
  for (const name of numbers) {
    const mechanism: IAlgorithm = { name, params: null };
    const lack = lackOf(NUMBERS[name] ?? `mechanism 0x${name.toString(16)}`, () =>
      wrapsRight(session, mechanism, key, aesObject(session, SECRET), SECRET),
    );
    if (lack !== undefined) lacks.push(lack);
    else {
      const keepsLength = keepsLengths(session, mechanism, key);
      if (keepsLength) return { found: { mechanism, keepsLength }, lacks };
      found ??= { mechanism, keepsLength };
    }
  }
  return { found, lacks };
}

/** An AES key that is known, made for a trial. @param usage what it is good for; nothing where absent */
export function aesObject(session: ModuleSession, value: Buffer, usage: Template = {}): Handle {
  return createObject(
    session,
    toAttributes({
      ...usage,
      class: ObjectClass.SECRET_KEY,
      keyType: KeyType.AES,
      token: false,
      private: true,
      extractable: true,
      value,
    }),
  );
}

/** Whether an object that holds `value` is wrapped as it should be; it is destroyed. */
function wrapsRight(
  session: ModuleSession,
  mechanism: IAlgorithm,
  key: Handle,
  object: Handle,
  value: Buffer,
): boolean {
  const wrapped = withObject(session, object, () => wrapKey(session, mechanism, key, object));
  const isPadded = mechanism.name !== AES_KEY_WRAP.name;
  const expected = (isPadded ? wrapPaddedInBlocks : wrapInBlocks)(session, key, value);
  return wrapped.equals(expected);
}

/** Also where it can't be tried, since the module wraps no such objects: nothing depends on it then. */
function keepsLengths(session: ModuleSession, mechanism: IAlgorithm, key: Handle): boolean {
  return ODD_SECRETS.every(
    (secret) =>
      lackOf('', () => {
        const object = createObject(session, dataKeyAttributes(secret));
        return wrapsRight(session, mechanism, key, object, secret) || 'rounded';
      })?.answer !== 'rounded',
  );
}

/** How a caller's bytes are wrapped, and what a template for their unwrapping may say. */
export function tryDataKeyWrap(
  session: ModuleSession,
  key: Handle,
): Pick<Capabilities, 'dataKeyWrap' | 'unwrapsReadable'> {
  const wraps = (unwrapsReadable: boolean) =>
    lackOf('CKM_AES_KEY_WRAP', () => {
      const object = createObject(session, dataKeyAttributes(SECRET));
      const wrapped = withObject(session, object, () =>
        wrapKey(session, AES_KEY_WRAP, key, object),
      );
      if (!wrapped.equals(wrapInBlocks(session, key, SECRET))) return false;
      const attributes = unwrappedDataKey({ unwrapsReadable });
      const again = unwrapKey(session, AES_KEY_WRAP, key, wrapped, attributes);
      return withObject(session, again, () => readValue(session, again).equals(SECRET));
    }) === undefined;
  for (const unwrapsReadable of [true, false])
    if (wraps(unwrapsReadable)) return { dataKeyWrap: 'objects', unwrapsReadable };
  return { dataKeyWrap: 'blocks', unwrapsReadable: true };
}
