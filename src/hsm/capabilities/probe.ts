import graphene from 'graphene-pk11';
import { OperatorError } from '../../core/operator-error.ts';
import * as calls from '../module/calls.ts';
import type { ModuleSession } from '../module/calls.ts';
import { AES_ECB, GENERIC_SECRET, HMAC_SHA256 } from '../operations/mechanisms.ts';
import type { RootKeys } from '../keys/root-keys.ts';
import { type SealingContext, unwrapBlob, wrapForSealing } from '../keys/sealed-blob.ts';
import { generatedMac, generatedPrivate, loadedMac, loadedPrivate } from '../keys/templates.ts';
import type { Capabilities, SealingWrap } from './capabilities.ts';
import { tryGcmIv } from './gcm-trials.ts';
import { identityFor, tryKeys, type FirstMechanics } from './key-trials.ts';
import { tryDataKeyWrap, tryKeyWrapPadded, withWrappingKey } from './key-wrap-trials.ts';
import { describeLack, type Lack, lackOf } from './lack.ts';
import { trySaysPublic } from './rsa-trials.ts';
import { tryMlDsa } from './ml-dsa-trial.ts';

const { KeyGenMechanism, KeyType } = graphene;

export interface ProbeOptions {
  /** Manufacturer, library and version, for sentences. */
  readonly module: string;
  /** The number under which the module has RFC 5649, where the operator says it. */
  readonly keyWrapMechanism?: number | undefined;
}

/**
 * Finds out what a module can do, by doing it with keys that are made for it; none stays. Takes some 0.2 s with SoftHSM.
 * @throws OperatorError where the module can't keep any key, with all that it lacks
 */
export function probeCapabilities(
  session: ModuleSession,
  { module, keyWrapMechanism }: ProbeOptions,
): Capabilities {
  return withRootKeys(session, module, (rootKeys) => {
    const { lacks, mechanics } = tryMechanics(session, rootKeys, { module, keyWrapMechanism });
    const tried = mechanics && tryKeys({ session, rootKeys, mechanics });
    const kinds = Object.values(tried?.keyLacks ?? {}).filter((lack) => lack !== undefined);
    if (mechanics === undefined || !tried?.isAnyKept)
      throw cannotKeep(module, [...lacks, ...kinds]);
    const { keyLacks, algorithmLacks, found } = tried;
    return { ...mechanics, ...found, keyLacks, algorithmLacks };
  });
}

function cannotKeep(module: string, lacks: readonly Lack[]): OperatorError {
  const list = [...new Set(lacks.map(describeLack))].join('; ');
  return new OperatorError(
    `PKCS11_MODULE: ${module} can't keep keys, since they can't be wrapped to be stored outside it: ${list}.`,
  );
}

/** Runs `use` with root keys as a pool has them, but as session objects. @throws OperatorError where it can't make them */
function withRootKeys<T>(
  session: ModuleSession,
  module: string,
  use: (rootKeys: RootKeys) => T,
): T {
  const common = { token: false, private: true, sensitive: true, extractable: false, valueLen: 32 };
  const made: RootKeys[] = [];
  const lack = lackOf('CKM_AES_KEY_GEN and CKM_GENERIC_SECRET_KEY_GEN', () => {
    const wrap = calls.generateKey(session, KeyGenMechanism.AES, {
      ...common,
      keyType: KeyType.AES,
      wrap: true,
      unwrap: true,
    });
    const seal = calls.generateKey(session, GENERIC_SECRET, {
      ...common,
      keyType: KeyType.GENERIC_SECRET,
      sign: true,
      verify: true,
    });
    made.push({ generation: 0, wrap, seal });
    return true;
  });
  const [rootKeys] = made;
  if (rootKeys === undefined) throw cannotKeep(module, lack === undefined ? [] : [lack]);
  return calls.withObject(session, rootKeys.wrap, () =>
    calls.withObject(session, rootKeys.seal, () => use(rootKeys)),
  );
}

/** How the module does what all operations need; no mechanics where it can't wrap or seal. */
function tryMechanics(
  session: ModuleSession,
  rootKeys: RootKeys,
  { module, keyWrapMechanism }: ProbeOptions,
): { readonly lacks: readonly Lack[]; readonly mechanics: FirstMechanics | undefined } {
  return withWrappingKey(session, (key) => {
    const { found: keyWrapPadded, lacks } = tryKeyWrapPadded(session, key, keyWrapMechanism);
    const gcmIv = tryGcmIv(session, key);
    const sealing = trySealing(
      { session, rootKeys, capabilities: { module, keyWrapPadded } },
      gcmIv === 'ours',
    );
    const sealLack = trySeal(session, rootKeys);
    const sealLacks = sealing.lacks;
    const all = [
      ...lacks,
      ...Object.values(sealLacks),
      ...(sealLack === undefined ? [] : [sealLack]),
    ];
    if (sealing.wrap === undefined || sealLack !== undefined)
      return { lacks: all, mechanics: undefined };
    const capabilities = { module, keyWrapPadded, sealing: sealing.wrap, sealLacks };
    return {
      lacks: all,
      mechanics: {
        ...capabilities,
        ...tryDataKeyWrap(session, key),
        saysPublic: trySaysPublic(session),
        gcmIv,
        keepsMacKeys: keepsMacKeys({ session, rootKeys, capabilities }),
        mlDsa: tryMlDsa(session),
      },
    };
  });
}

function trySeal(session: ModuleSession, { seal }: RootKeys): Lack | undefined {
  const data = Buffer.from('trial');
  return lackOf('CKM_SHA256_HMAC', () => {
    const mac = calls.sign(session, HMAC_SHA256, seal, data, 32);
    return mac.length === 32 && calls.verify(session, HMAC_SHA256, seal, data, mac);
  });
}

/** The ways in which an AES key can be wrapped and opened again: the first that works is taken. */
function trySealing(
  context: { readonly session: ModuleSession; readonly rootKeys: RootKeys } & {
    readonly capabilities: Omit<SealingContext['capabilities'], 'sealing' | 'sealLacks'>;
  },
  hasGcm: boolean,
): { readonly wrap: SealingWrap | undefined; readonly lacks: Capabilities['sealLacks'] } {
  const { keyWrapPadded } = context.capabilities;
  const ways: readonly (readonly [string, SealingWrap])[] = [
    ...(keyWrapPadded === undefined
      ? []
      : [['RFC 5649', { kind: 'kwp', mechanism: keyWrapPadded.mechanism }] as const]),
    ...(hasGcm ? [['CKM_AES_GCM by C_WrapKey', { kind: 'gcm' }] as const] : []),
    ['CKM_AES_CBC_PAD by C_WrapKey', { kind: 'cbc-pad' }],
  ];
  const lacks: Partial<Record<SealingWrap['kind'], Lack>> = {};
  if (keyWrapPadded === undefined) lacks.kwp = NO_NUMBER;
  if (!hasGcm) lacks.gcm = GCM_OF_ITS_OWN;
  let wrap: SealingWrap | undefined;
  for (const [name, sealing] of ways) {
    const capabilities = { ...context.capabilities, sealing, sealLacks: {} };
    const lack = lackOf(name, () => opensAgain({ ...context, capabilities }));
    if (lack !== undefined) lacks[sealing.kind] = lack;
    else wrap ??= sealing;
  }
  return { wrap, lacks };
}

const NO_NUMBER: Lack = { mechanism: 'RFC 5649', answer: 'under no number that is known' };
const GCM_OF_ITS_OWN: Lack = {
  mechanism: 'CKM_AES_GCM by C_WrapKey',
  answer: 'the IV is not the one that is given',
};

const AES_256 = { keyType: 'oct-HSM', bits: 256 } as const;

/** Whether a key that is wrapped and opened again is the same key. */
function opensAgain(context: SealingContext): boolean {
  const { session } = context;
  const identity = identityFor(AES_256);
  const key = calls.generateKey(session, KeyGenMechanism.AES, generatedPrivate(identity, AES_256));
  return calls.withObject(session, key, () => {
    const attributes = calls.toAttributes(loadedPrivate(identity, AES_256));
    const again = unwrapBlob(context, wrapForSealing(context, key), attributes);
    const block = Buffer.alloc(16, 7);
    return calls.withObject(session, again, () => {
      const [one, other] = [key, again].map((each) =>
        calls.encrypt(session, AES_ECB, each, block, block.length),
      );
      return one !== undefined && other !== undefined && one.equals(other);
    });
  });
}

/** Some modules make HMACs with secrets, and wrap none. */
function keepsMacKeys(context: SealingContext): boolean {
  const { session } = context;
  const identity = identityFor(AES_256);
  const data = Buffer.from('trial');
  return (
    lackOf('CKM_GENERIC_SECRET_KEY_GEN', () => {
      const key = calls.generateKey(session, GENERIC_SECRET, generatedMac(identity));
      return calls.withObject(session, key, () => {
        const attributes = calls.toAttributes(loadedMac(identity));
        const again = unwrapBlob(context, wrapForSealing(context, key), attributes);
        return calls.withObject(session, again, () => {
          const mac = calls.sign(session, HMAC_SHA256, key, data, 32);
          return calls.verify(session, HMAC_SHA256, again, data, mac);
        });
      });
    }) === undefined
  );
}
