import graphene from 'graphene-pk11';
import type { KeyKeeping } from '../../core/keys/key-keeping.ts';
import { OperatorError } from '../../core/operator-error.ts';
import * as calls from '../module/calls.ts';
import type { ModuleSession } from '../module/calls.ts';
import { AES_ECB, GENERIC_SECRET, HMAC_SHA256 } from '../operations/mechanisms.ts';
import { keepingForTrials } from '../keys/keeping/keepings.ts';
import type { RootKeys } from '../keys/root-keys.ts';
import { type SealingContext, unwrapBlob, wrapForSealing } from '../keys/sealed-blob.ts';
import { generatedMac, generatedPrivate, loadedMac, loadedPrivate } from '../keys/templates.ts';
import type { Capabilities, SealingWrap } from './capabilities.ts';
import { tryGcmIv } from './gcm-trials.ts';
import { tryKeys, type FirstMechanics } from './key-trials.ts';
import { tryDataKeyWrap, tryKeyWrapPadded, withWrappingKey } from './key-wrap-trials.ts';
import { describeLack, type Lack, lackOf } from './lack.ts';
import { trySaysPublic } from './rsa-trials.ts';
import { wrapsMlDsa } from './ml-dsa-trial.ts';
import { identityFor } from './trial-identity.ts';

const { KeyGenMechanism, KeyType } = graphene;

export interface ProbeOptions {
  /** How keys are to be kept; sealed where absent. */
  readonly keeping?: KeyKeeping | undefined;
  /** Manufacturer, library and version, for sentences. */
  readonly module: string;
  /** The number under which the module has RFC 5649, where the operator says it. */
  readonly keyWrapMechanism?: number | undefined;
  /** Its keys are in this process's memory anyway. */
  readonly isSoftware: boolean;
}

/**
 * Finds out what a module can do, by doing it with keys that are made for it; none stays. Takes some 0.2 s with SoftHSM.
 * @throws OperatorError where the module can't keep any key, with all that it lacks
 */
export function probeCapabilities(session: ModuleSession, options: ProbeOptions): Capabilities {
  return withRootKeys(session, options, (rootKeys) => {
    const { lacks, mechanics } = tryMechanics(session, rootKeys, options);
    const { isSoftware } = options;
    const tried = mechanics && tryKeys({ session, rootKeys, mechanics, isSoftware });
    const kinds = Object.values(tried?.lacks.keyLacks ?? {}).filter((lack) => lack !== undefined);
    if (mechanics === undefined || !tried?.isAnyKept)
      throw cannotKeep(options, [...lacks, ...kinds]);
    return { ...mechanics, ...tried.found, ...tried.lacks };
  });
}

function cannotKeep(
  { module, keeping = 'sealed' }: ProbeOptions,
  lacks: readonly Lack[],
): OperatorError {
  const list = [...new Set(lacks.map(describeLack))].join('; ');
  return new OperatorError(
    keeping === 'sealed'
      ? `PKCS11_MODULE: ${module} can't keep keys, since they can't be wrapped to be stored outside it: ${list}. \`strongroom bootstrap --keys resident\` makes a new pool, whose keys stay in the HSM.`
      : `PKCS11_MODULE: ${module} can't keep keys: ${list}.`,
  );
}

/** Runs `use` with root keys as a pool has them, but as session objects. @throws OperatorError where it can't make them */
function withRootKeys<T>(
  session: ModuleSession,
  options: ProbeOptions,
  use: (rootKeys: RootKeys) => T,
): T {
  const common = { token: false, private: true, sensitive: true, extractable: false, valueLen: 32 };
  const made: RootKeys[] = [];
  const wraps = options.keeping !== 'resident';
  const names = `${wraps ? 'CKM_AES_KEY_GEN and ' : ''}CKM_GENERIC_SECRET_KEY_GEN`;
  const lack = lackOf(names, () => {
    const wrap = wraps
      ? calls.generateKey(session, KeyGenMechanism.AES, {
          ...common,
          keyType: KeyType.AES,
          wrap: true,
          unwrap: true,
        })
      : undefined;
    const seal = calls.generateKey(session, GENERIC_SECRET, {
      ...common,
      keyType: KeyType.GENERIC_SECRET,
      sign: true,
      verify: true,
    });
    made.push({ poolId: TRIAL_POOL, generation: 0, seal, ...(wrap !== undefined && { wrap }) });
    return true;
  });
  const [rootKeys] = made;
  if (rootKeys === undefined) throw cannotKeep(options, lack === undefined ? [] : [lack]);
  const { wrap, seal } = rootKeys;
  const run = () => calls.withObject(session, seal, () => use(rootKeys));
  return wrap === undefined ? run() : calls.withObject(session, wrap, run);
}

/** How the module does what all operations need; no mechanics where it can't wrap or seal. */
function tryMechanics(
  session: ModuleSession,
  rootKeys: RootKeys,
  { module, keyWrapMechanism, isSoftware, keeping = 'sealed' }: ProbeOptions,
): { readonly lacks: readonly Lack[]; readonly mechanics: FirstMechanics | undefined } {
  return withWrappingKey(session, (key) => {
    const { found: keyWrapPadded, lacks } = tryKeyWrapPadded(session, key, keyWrapMechanism);
    const gcmIv = tryGcmIv(session, key);
    const sealing =
      keeping === 'resident'
        ? { wrap: undefined, lacks: {} }
        : trySealing(
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
    if ((keeping === 'sealed' && sealing.wrap === undefined) || sealLack !== undefined)
      return { lacks: all, mechanics: undefined };
    const capabilities = {
      ...{ module, keeping, keyWrapPadded, sealing: sealing.wrap, sealLacks },
      saysPublic: trySaysPublic(session),
    };
    return {
      lacks: all,
      mechanics: {
        ...capabilities,
        ...tryDataKeyWrap(session, key),
        gcmIv,
        keepsMacKeys: keepsMacKeys({ session, rootKeys, capabilities }),
        mlDsaKeys:
          isSoftware && !wrapsMlDsa({ session, rootKeys, capabilities }) ? 'seeds' : 'whole',
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

/** Of the keys that stand for a pool's root keys in a trial. */
const TRIAL_POOL = 'a trial';
const AES_256 = { keyType: 'oct-HSM', bits: 256 } as const;

const TO_WRAP = { token: false, extractable: true };

/** Whether a key that is wrapped and opened again is the same key. */
function opensAgain(context: SealingContext): boolean {
  const { session } = context;
  const identity = identityFor(AES_256);
  const template = generatedPrivate(identity, AES_256, TO_WRAP);
  const key = calls.generateKey(session, KeyGenMechanism.AES, template);
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
function keepsMacKeys(
  context: SealingContext & { readonly capabilities: { readonly keeping: KeyKeeping } },
): boolean {
  const { session } = context;
  const identity = identityFor(AES_256);
  const data = Buffer.from('trial');
  const keeping = keepingForTrials(context.capabilities.keeping);
  const making = keeping.making(identity, undefined);
  return (
    lackOf('CKM_GENERIC_SECRET_KEY_GEN', () => {
      const template = generatedMac(identity, making.attributes('mac'));
      const key = calls.generateKey(session, GENERIC_SECRET, template);
      const { blob, mac } = making.withNew(session, key, () => ({
        mac: calls.sign(session, HMAC_SHA256, key, data, 32),
        blob: making.stored(context, key, 'mac'),
      }));
      const again = keeping.load(context, blob, loadedMac(identity));
      return calls.withObject(session, again, () =>
        calls.verify(session, HMAC_SHA256, again, data, mac),
      );
    }) === undefined
  );
}
