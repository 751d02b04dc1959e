import graphene from 'graphene-pk11';
import type {
  Algorithm,
  CipherAlgorithm,
  SigningAlgorithm,
} from '../../core/operations/algorithms.ts';
import {
  ALGORITHMS,
  AES_SIZES,
  CURVES,
  PARAMETER_SETS,
  RSA_SIZES,
} from '../../core/operations/algorithms.ts';
import type { KeySpec, PublicKey } from '../../core/keys/key.ts';
import { fitsKey } from '../../core/keys/key-shape.ts';
import * as calls from '../module/calls.ts';
import type { Handle, ModuleSession } from '../module/calls.ts';
import { type CipherContext, CIPHERS } from '../operations/ciphers.ts';
import { SIGNING } from '../operations/mechanisms.ts';
import { ML_DSA_KEY_PAIR_GEN_NAME } from '../operations/ml-dsa.ts';
import { generateKept, generateObjects } from '../keys/key-generation.ts';
import { keepingForTrialsOf } from '../keys/keeping/keepings.ts';
import type { RootKeys } from '../keys/root-keys.ts';
import { unwrapBlob } from '../keys/sealed-blob.ts';
import { loadedMac, loadedPrivate, loadedPublic, publicPoint } from '../keys/templates.ts';
import {
  type Capabilities,
  type KeyKind,
  keyKindOf,
  type Lacks,
  type Mechanics,
} from './capabilities.ts';
import { type Lack, lackOf } from './lack.ts';
import { signsMlDsa, tryExternalMu } from './ml-dsa-trial.ts';
import { tryRelease, tryReleaseWraps } from './release-trials.ts';
import { type Paddings, tryRsaPaddings, UNTRIED } from './rsa-trials.ts';
import { type ExchangeKey, tryTransfers } from './transfer-trials.ts';
import { identityFor } from './trial-identity.ts';

interface Trials {
  readonly session: ModuleSession;
  /** Made for the trials. */
  readonly rootKeys: RootKeys;
  readonly mechanics: FirstMechanics;
  /** Its keys are in this process's memory anyway. */
  readonly isSoftware: boolean;
}

/** What is found out with the keys that are made for their trials. */
type Found = Paddings & Pick<Mechanics, 'wantsPoint'>;

/** Before any key has been made. */
export type FirstMechanics = Omit<Mechanics, keyof Found>;

interface Tried {
  readonly lacks: Lacks;
  readonly found: Found;
  readonly isAnyKept: boolean;
}

/** Of each type and size or curve that keys have, but the larger RSA keys: to make one takes seconds. */
const TRIED: readonly KeySpec[] = [
  { keyType: 'RSA-HSM', bits: 2048, publicExponent: 65537 },
  ...CURVES.map((curve) => ({ keyType: 'EC-HSM', curve }) as const),
  ...AES_SIZES.map((bits) => ({ keyType: 'oct-HSM', bits }) as const),
  ...PARAMETER_SETS.map((parameterSet) => ({ keyType: 'AKP-HSM', parameterSet }) as const),
];

const MADE_BY: Readonly<Record<KeySpec['keyType'], string>> = {
  'RSA-HSM': 'CKM_RSA_PKCS_KEY_PAIR_GEN',
  'EC-HSM': 'CKM_EC_KEY_PAIR_GEN',
  'oct-HSM': 'CKM_AES_KEY_GEN',
  'AKP-HSM': ML_DSA_KEY_PAIR_GEN_NAME,
};

/** Makes a key of each kind as the service makes it, wraps it, opens it again, and uses it in each way that it can be used. */
export function tryKeys(trials: Trials): Tried {
  const keyLacks: Partial<Record<KeyKind, Lack>> = {};
  const algorithmLacks: Partial<Record<Algorithm, Partial<Record<KeyKind, Lack>>>> = {};
  let found: Found = { ...UNTRIED, wantsPoint: false };
  let externalMuLack: Lack | undefined;
  const releaseLacks: Partial<Record<KeyKind, Lack>> = {};
  let releaseWrapLacks: Capabilities['releaseWrapLacks'] = {};
  let exchange: ExchangeKey | undefined;
  for (const spec of TRIED) {
    let tried = tryKey(trials, spec, found);
    if (tried.lack !== undefined && spec.keyType === 'EC-HSM' && !found.wantsPoint) {
      const again = tryKey(trials, spec, { ...found, wantsPoint: true });
      if (again.lack === undefined) tried = again;
    }
    ({ found } = tried);
    const kind = keyKindOf(spec);
    if (tried.lack !== undefined) keyLacks[kind] = whereOf(trials, spec, tried.lack);
    if (spec.keyType === 'AKP-HSM') externalMuLack ??= keyLacks[kind] ?? tried.externalMu;
    if (tried.release !== undefined) releaseLacks[kind] = tried.release;
    releaseWrapLacks = { ...releaseWrapLacks, ...tried.releaseWraps };
    exchange ??= tried.exchange;
    for (const [name, lack] of Object.entries(tried.algorithms))
      (algorithmLacks[name as Algorithm] ??= {})[kind] = lack;
  }
  const isAnyKept = Object.keys(keyLacks).length < TRIED.length;
  for (const bits of LARGE_RSA) {
    const unreleased = releaseLacks['RSA-HSM 2048'];
    if (unreleased !== undefined) releaseLacks[`RSA-HSM ${bits}`] = unreleased;
    const lack = keyLacks['RSA-HSM 2048'] ?? tooLarge(trials.session, bits);
    if (lack !== undefined) keyLacks[`RSA-HSM ${bits}`] = lack;
    for (const lacks of Object.values(algorithmLacks)) {
      const lackOfSmaller = lacks['RSA-HSM 2048'];
      if (lackOfSmaller !== undefined) lacks[`RSA-HSM ${bits}`] = lackOfSmaller;
    }
  }
  const capabilities = { ...trials.mechanics, ...found };
  const transferLacks = tryTransfers({ session: trials.session, capabilities }, exchange);
  const ofUse = { keyLacks, algorithmLacks, externalMuLack };
  const lacks = { ...ofUse, releaseLacks, releaseWrapLacks, transferLacks };
  return { lacks, found, isAnyKept };
}

/** By what was found out with other keys, and, where the key itself can be kept, what is found out with it. */
function tryKey(trials: Trials, spec: KeySpec, before: Found) {
  const { session } = trials;
  let found = before;
  let algorithms: ReturnType<typeof tryAlgorithms> = {};
  let externalMu: Lack | undefined;
  let exits: Exits = {};
  const lack = lackOf(MADE_BY[spec.keyType], () => {
    const mechanics = { ...trials.mechanics, ...before };
    algorithms = withKey({ ...trials, mechanics }, spec, (parts) => {
      if (spec.keyType === 'RSA-HSM' && parts.public !== undefined) {
        const pair = { publicKey: parts.public, privateKey: parts.private };
        found = { ...before, ...tryRsaPaddings(session, pair) };
      }
      externalMu = muLackOf(session, spec, parts);
      const capabilities = { ...mechanics, ...found };
      if (mechanics.keeping === 'sealed')
        exits = tryExits({ ...trials, capabilities }, spec, parts);
      return tryAlgorithms({ session, spec, capabilities }, parts);
    });
    return true;
  });
  return { lack, algorithms, externalMu, found, ...exits };
}

interface Exits {
  readonly release?: Lack | undefined;
  readonly releaseWraps?: Capabilities['releaseWrapLacks'];
  readonly exchange?: ExchangeKey;
}

/** How a sealed key leaves, and for an RSA key also how others leave for it, and come in by it. */
function tryExits(
  trial: Omit<Trials, 'mechanics'> & { readonly capabilities: Mechanics },
  spec: KeySpec,
  parts: Parts,
): Exits {
  const { publicKey, blob } = parts;
  const release = tryRelease(trial, { ...parts, spec });
  if (spec.keyType !== 'RSA-HSM' || publicKey === undefined) return { release };
  const recipient = { publicKey, private: parts.private };
  const identity = { ...identityFor(spec), operations: ['import'] as const };
  const attributes = calls.toAttributes(loadedPrivate(identity, spec));
  const exchange: ExchangeKey = { publicKey, open: () => unwrapBlob(trial, blob, attributes) };
  return { release, releaseWraps: tryReleaseWraps(trial, recipient), exchange };
}

/** To make one takes seconds, so the module's word is taken, where it is one that can be true. */
const LARGE_RSA = RSA_SIZES.filter((bits) => bits > 2048);
const LEAST_CREDIBLE_BITS = 1024;

function tooLarge({ handle, lib }: ModuleSession, bits: number): Lack | undefined {
  return lackOf('CKM_RSA_PKCS_KEY_PAIR_GEN', () => {
    const { slotID } = lib.C_GetSessionInfo(handle);
    const { maxKeySize } = lib.C_GetMechanismInfo(
      slotID,
      graphene.MechanismEnum.RSA_PKCS_KEY_PAIR_GEN,
    );
    if (maxKeySize < LEAST_CREDIBLE_BITS || maxKeySize >= bits) return true;
    return `keys of at most ${maxKeySize} bits`;
  });
}

/** Whether it is the making that fails, or what comes after. */
function whereOf({ session, mechanics }: Trials, spec: KeySpec, lack: Lack): Lack {
  const made = lackOf(lack.mechanism, () => {
    for (const handle of generateObjects(
      { session, capabilities: mechanics },
      identityFor(spec),
      spec,
    ))
      calls.destroyObject(session, handle);
    return true;
  });
  const kept = mechanics.keeping === 'sealed' ? 'wrapping and opening' : 'finding again';
  return made ?? { ...lack, mechanism: `${kept} what ${lack.mechanism} makes` };
}

interface Parts {
  /** As it is kept. */
  readonly blob: Buffer;
  readonly private: Handle;
  readonly public?: Handle;
  readonly mac?: Handle;
  readonly publicKey?: PublicKey;
}

function withKey<T>(
  { session, rootKeys, mechanics }: Trials & { readonly mechanics: Mechanics },
  spec: KeySpec,
  use: (parts: Parts) => T,
) {
  const context = { session, rootKeys, capabilities: mechanics };
  const identity = identityFor(spec);
  const keeping = keepingForTrialsOf(mechanics, spec);
  const { blob, macBlob, publicKey } = generateKept(context, identity, spec, undefined, keeping);
  const handles: Handle[] = [];
  const kept = (handle: Handle) => {
    handles.push(handle);
    return handle;
  };
  try {
    const point = publicPoint(publicKey, mechanics);
    const parts = {
      blob,
      private: kept(keeping.load(context, blob, loadedPrivate(identity, spec), point)),
      ...(macBlob !== undefined && {
        mac: kept(keeping.load(context, macBlob, loadedMac(identity))),
      }),
      ...(publicKey !== undefined && {
        publicKey,
        public: kept(
          calls.createObject(session, calls.toAttributes(loadedPublic(spec, publicKey, mechanics))),
        ),
      }),
    };
    return use(parts);
  } finally {
    for (const handle of handles) calls.destroyObject(session, handle);
  }
}

function tryAlgorithms(context: Omit<CipherContext, 'key'>, parts: Parts) {
  const { session, spec } = context;
  const lacks: Partial<Record<Algorithm, Lack>> = {};
  for (const [name, facts] of Object.entries(ALGORITHMS)) {
    const algorithm = name as Algorithm;
    if (!fitsKey(facts, spec)) continue;
    const lack = lackOf(mechanismOf(algorithm), () =>
      isSigning(algorithm)
        ? signs(session, algorithm, parts)
        : enciphers(context, algorithm, parts),
    );
    if (lack !== undefined) lacks[algorithm] = lack;
  }
  return lacks;
}

function muLackOf(session: ModuleSession, spec: KeySpec, parts: Parts): Lack | undefined {
  const { publicKey } = parts;
  if (spec.keyType !== 'AKP-HSM' || publicKey?.keyType !== 'AKP-HSM') return undefined;
  if (parts.public === undefined) return undefined;
  const pair = { privateKey: parts.private, publicKey: parts.public };
  return tryExternalMu(session, spec.parameterSet, pair, publicKey.pub);
}

function isSigning(algorithm: Algorithm): algorithm is SigningAlgorithm {
  return (ALGORITHMS[algorithm].uses as readonly string[]).includes('sign');
}

function signs(
  session: ModuleSession,
  algorithm: SigningAlgorithm,
  parts: Parts,
): boolean | string {
  const { mechanism, input, key, limitBytes } = SIGNING[algorithm];
  const facts = ALGORITHMS[algorithm];
  const digest = calls.randomBytes(session, 'digestBytes' in facts ? facts.digestBytes : 32);
  const [signer, verifier] = key === 'mac' ? [parts.mac, parts.mac] : [parts.private, parts.public];
  if (signer === undefined || verifier === undefined) return 'the secret of HMACs is not kept';
  if ('parameterSet' in facts)
    return signsMlDsa(session, facts.parameterSet, { privateKey: signer, publicKey: verifier });
  const signature = calls.sign(session, mechanism, signer, input(digest), limitBytes);
  return calls.verify(session, mechanism, verifier, input(digest), signature);
}

function enciphers(
  context: Omit<CipherContext, 'key'>,
  algorithm: CipherAlgorithm,
  parts: Parts,
): boolean | string {
  const cipher = CIPHERS[algorithm];
  const key = cipher.encryptsWith === 'public' ? parts.public : parts.private;
  if (key === undefined) return 'the key has no public half';
  const plaintext = calls.randomBytes(context.session, 32);
  const iv = algorithm.includes('CBC') ? calls.randomBytes(context.session, 16) : undefined;
  const parameters = iv === undefined ? {} : { iv };
  const ciphertext = cipher.encrypt({ ...context, key }, plaintext, parameters);
  const opened = cipher.decrypt({ ...context, key: parts.private }, ciphertext, parameters);
  return opened.equals(plaintext);
}

/** For sentences. */
function mechanismOf(algorithm: Algorithm): string {
  if (!isSigning(algorithm)) return CIPHERS[algorithm].mechanism;
  const { name } = SIGNING[algorithm].mechanism;
  if (ALGORITHMS[algorithm].keyType === 'AKP-HSM') return 'CKM_ML_DSA';
  return `CKM_${graphene.MechanismEnum[Number(name)] ?? String(name)}`;
}
