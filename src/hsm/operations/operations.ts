import type { CipherAlgorithm, Curve, SigningAlgorithm } from '../../core/operations/algorithms.ts';
import type {
  Ciphertext,
  CipherParameters,
  SigningParameters,
  TransferableType,
} from '../../core/keys/hsm.ts';
import type { RecipientKey, ReleaseWrap } from '../../core/release/key-release.ts';
import type { LoadedObject } from '../../core/release/key-inspection.ts';
import type { KeyIdentity, KeyMaterial, KeySpec, PublicKey } from '../../core/keys/key.ts';
import { sizeOf } from '../../core/keys/key-shape.ts';
import type { PlainKey } from '../../core/keys/import/plain-key.ts';
import type { ObjectId, ObjectIds } from '../../core/keys/objects/object-id.ts';
import type { WrappedRootKeys } from '../../core/recovery/root-keys/root-key-hsm.ts';
import type { SecureWrapAlgorithm } from '../../core/release/secure-wrap.ts';
import type { Capabilities } from '../capabilities/capabilities.ts';
import { CIPHERS } from './ciphers.ts';
import * as calls from '../module/calls.ts';
import type { Handle, ModuleSession } from '../module/calls.ts';
import { type GeneratedKey, generateKept } from '../keys/key-generation.ts';
import { type ImportedKey, importPlain, importTransferred } from '../keys/key-import.ts';
import { describeObject } from '../keys/key-inspection.ts';
import { releaseKey } from '../keys/key-release.ts';
import { SIGNING, signingMechanism } from './mechanisms.ts';
import { makeMac, verifyMac } from '../keys/root-mac.ts';
import { listMarked, putMark, removeMark } from '../keys/root-key-marks.ts';
import type { RootMark } from '../keys/root-key-templates.ts';
import {
  destroyRootKeys,
  findRootKeys,
  listRootGenerations,
  type RootKeys,
} from '../keys/root-keys.ts';
import { loadBackupKeys } from '../keys/backup-keys.ts';
import { rewrap } from '../keys/rewrapping.ts';
import { exportRootKeys } from '../keys/root-key-export.ts';
import { importRootKeys } from '../keys/root-key-import.ts';
import { keepingFor, keepingOf } from '../keys/keeping/keepings.ts';
import { makeAgain } from '../keys/keeping/made-again.ts';
import { countObjects, destroyPoolObjects, listPoolObjects } from '../keys/keeping/pool-objects.ts';
import { rewrapForRecipient, wrapFreshKey } from './secure-wrap.ts';
import { verifySignature } from './signatures.ts';
import { loadedMac, loadedPrivate, loadedPublic, publicPoint } from '../keys/templates.ts';

/** What an operation works with besides its input: a leased session, in the thread that it belongs to. */
export interface OperationContext {
  readonly session: ModuleSession;
  /** Owns the keys that are loaded: session objects vanish with their session, and this one stays open as long as the connection. */
  readonly keyOwner: () => ModuleSession;
  readonly capabilities: Capabilities;
  readonly isSoftware: boolean;
}

/**
 * All that is done on a session, by name, each from its first call to its last. Inputs and outputs are plain data, so that
 * an operation can run in another thread.
 */
const OPERATIONS = {
  encrypt(
    { session, capabilities }: OperationContext,
    key: Handle,
    spec: KeySpec,
    algorithm: CipherAlgorithm,
    plaintext: Uint8Array,
    parameters: CipherParameters,
  ): Ciphertext {
    const context = { session, key, spec, capabilities };
    return CIPHERS[algorithm].encrypt(context, Buffer.from(plaintext), parameters);
  },

  decrypt(
    { session, capabilities }: OperationContext,
    key: Handle,
    spec: KeySpec,
    algorithm: CipherAlgorithm,
    ciphertext: Ciphertext,
    parameters: CipherParameters,
  ): Buffer {
    const context = { session, key, spec, capabilities };
    return CIPHERS[algorithm].decrypt(context, ciphertext, parameters);
  },

  sign(
    { session }: OperationContext,
    key: Handle,
    _spec: KeySpec,
    algorithm: SigningAlgorithm,
    digest: Uint8Array,
    parameters?: SigningParameters,
  ): Buffer {
    const { input, limitBytes } = SIGNING[algorithm];
    const mechanism = signingMechanism(SIGNING[algorithm], parameters);
    return calls.sign(session, mechanism, key, input(digest), limitBytes);
  },

  verify(
    { session }: OperationContext,
    key: Handle,
    _spec: KeySpec,
    algorithm: SigningAlgorithm,
    digest: Uint8Array,
    signature: Uint8Array,
    parameters?: SigningParameters,
  ): boolean {
    return verifySignature(session, key, algorithm, digest, signature, parameters);
  },

  random({ session }: OperationContext, count: number): Buffer {
    return calls.randomBytes(session, count);
  },

  generate(
    { session, capabilities }: OperationContext,
    rootKeys: RootKeys,
    identity: KeyIdentity,
    spec: KeySpec,
    objects?: ObjectIds,
  ): GeneratedKey {
    const make = () => generateKept({ session, rootKeys, capabilities }, identity, spec, objects);
    return makeAgain(session, identity.pool, objects, make);
  },

  importPlain(
    { session, capabilities }: OperationContext,
    rootKeys: RootKeys,
    identity: KeyIdentity,
    key: PlainKey,
    objects?: ObjectIds,
  ): ImportedKey {
    const make = () => importPlain({ session, rootKeys, capabilities }, identity, key, objects);
    return makeAgain(session, identity.pool, objects, make);
  },

  importTransferred(
    { session, capabilities, isSoftware }: OperationContext,
    rootKeys: RootKeys,
    identity: KeyIdentity,
    exchangeKey: Handle,
    modulusBytes: number,
    wrapped: Uint8Array,
    expected: { readonly keyType: TransferableType; readonly curve?: Curve },
    objects?: ObjectIds,
  ): Promise<ImportedKey> {
    // It may be tried again after a session was lost in the middle of it.
    if (objects !== undefined)
      destroyPoolObjects(session, identity.pool, [objects.private, objects.mac]);
    return importTransferred(
      { session, rootKeys, capabilities, isSoftware },
      identity,
      exchangeKey,
      modulusBytes,
      Buffer.from(wrapped),
      expected,
      objects,
    );
  },

  wrapForRecipient(
    { session, capabilities, isSoftware }: OperationContext,
    rootKeys: RootKeys,
    material: KeyMaterial,
    recipient: RecipientKey,
    wrap: ReleaseWrap,
  ): Buffer {
    return releaseKey({ session, rootKeys, capabilities, isSoftware }, material, recipient, wrap);
  },

  wrapFreshKey(
    { session, capabilities, isSoftware }: OperationContext,
    rootKeys: RootKeys,
    material: KeyMaterial,
    algorithm: SecureWrapAlgorithm,
  ): Buffer {
    return wrapFreshKey({ session, rootKeys, capabilities, isSoftware }, material, algorithm);
  },

  rewrapForRecipient(
    { session, capabilities, isSoftware }: OperationContext,
    rootKeys: RootKeys,
    material: KeyMaterial,
    algorithm: SecureWrapAlgorithm,
    wrapped: Uint8Array,
    recipient: RecipientKey,
  ): Buffer {
    return rewrapForRecipient(
      { session, rootKeys, capabilities, isSoftware },
      material,
      algorithm,
      Buffer.from(wrapped),
      recipient,
    );
  },

  describe({ session }: OperationContext, key: Handle): LoadedObject {
    return describeObject(session, key);
  },

  /** HMAC-SHA256 by `root-seal`. */
  mac({ session }: OperationContext, rootKeys: RootKeys, data: Buffer): Buffer {
    return makeMac(session, rootKeys, data);
  },

  verifyMac({ session }: OperationContext, rootKeys: RootKeys, data: Buffer, mac: Buffer): boolean {
    return verifyMac(session, rootKeys, data, mac);
  },

  /** A private or secret key, or the companion secret of an AES key. */
  load(
    { keyOwner, capabilities }: OperationContext,
    rootKeys: RootKeys,
    identity: KeyIdentity,
    spec: KeySpec,
    part: 'private' | 'mac',
    blob: Buffer,
    publicKey?: PublicKey,
  ): Handle {
    const context = { session: keyOwner(), rootKeys, capabilities };
    if (part === 'mac')
      return keepingOf(capabilities.keeping).load(context, blob, loadedMac(identity));
    const point = publicPoint(publicKey, capabilities);
    const template = loadedPrivate(identity, spec);
    return keepingFor(capabilities, spec).load(context, blob, template, point);
  },

  loadPublic(
    { keyOwner, capabilities }: OperationContext,
    spec: KeySpec,
    publicKey: PublicKey,
  ): Handle {
    return calls.createObject(
      keyOwner(),
      calls.toAttributes(loadedPublic(spec, publicKey, capabilities)),
    );
  },

  findRootKeys(
    { session, capabilities }: OperationContext,
    poolId: string,
    generation: number,
  ): RootKeys | undefined {
    return findRootKeys(session, poolId, generation, capabilities.keeping);
  },

  listRootGenerations(
    { session }: OperationContext,
    ...which: [poolId: string, least: 'one part' | 'both parts']
  ): readonly number[] {
    return listRootGenerations(session, ...which);
  },

  destroyRootKeys({ session }: OperationContext, poolId: string, generation: number): void {
    destroyRootKeys(session, poolId, generation);
  },

  putMark({ session }: OperationContext, ...mark: [string, RootMark, number]): void {
    putMark(session, ...mark);
  },

  listMarked({ session }: OperationContext, poolId: string, mark: RootMark): readonly number[] {
    return listMarked(session, poolId, mark);
  },

  removeMark({ session }: OperationContext, ...mark: [string, RootMark, number]): void {
    removeMark(session, ...mark);
  },

  exportRootKeys(
    { session, capabilities }: OperationContext,
    poolId: string,
    after: number,
    by: Uint8Array,
  ): WrappedRootKeys {
    return exportRootKeys({ session, capabilities }, poolId, after, by);
  },

  importRootKeys(
    { session, capabilities }: OperationContext,
    keys: WrappedRootKeys,
    by: Uint8Array,
    backupKeys: readonly KeyMaterial[],
  ): void {
    importRootKeys({ session, capabilities }, keys, by, backupKeys);
  },

  loadBackupKeys(
    { keyOwner, capabilities }: OperationContext,
    rootKeys: RootKeys,
    material: KeyMaterial,
  ): RootKeys {
    return loadBackupKeys({ session: keyOwner(), rootKeys, capabilities }, material);
  },

  rewrap(
    { session, capabilities }: OperationContext,
    from: RootKeys,
    to: RootKeys,
    material: KeyMaterial,
    identity: KeyIdentity,
  ): KeyMaterial['sealed'] {
    return rewrap({ session, capabilities }, from, to, material, identity);
  },

  destroyObjects(
    { session }: OperationContext,
    poolId: string,
    objects: readonly ObjectId[],
  ): readonly ObjectId[] {
    return destroyPoolObjects(session, poolId, objects);
  },

  listObjects({ session }: OperationContext, poolId: string): readonly ObjectId[] {
    return listPoolObjects(session, poolId);
  },

  countObjects({ session }: OperationContext, poolId: string): ReturnType<typeof countObjects> {
    return countObjects(session, poolId);
  },

  destroy({ session }: OperationContext, key: Handle): void {
    calls.destroyObject(session, key);
  },
};

export type OperationName = keyof typeof OPERATIONS;
/** What an operation is given besides its context. */
export type Input<Name extends OperationName> =
  Parameters<(typeof OPERATIONS)[Name]> extends [OperationContext, ...infer Rest] ? Rest : never;
export type Output<Name extends OperationName> = Awaited<ReturnType<(typeof OPERATIONS)[Name]>>;

export function runOperation<Name extends OperationName>(
  context: OperationContext,
  name: Name,
  input: Input<Name>,
): Output<Name> | Promise<Output<Name>> {
  const operation = OPERATIONS[name] as (
    context: OperationContext,
    ...input: unknown[]
  ) => Output<Name> | Promise<Output<Name>>;
  return operation(context, ...input);
}

/** What decides how long an operation takes, besides its name. */
const DETAILS: { readonly [Name in OperationName]?: (...input: Input<Name>) => string } = {
  encrypt: (_key, spec, algorithm, { length }) => `${algorithm} ${sizeOf(spec)}${extentOf(length)}`,
  decrypt: (_key, spec, algorithm, { value }) =>
    `${algorithm} ${sizeOf(spec)}${extentOf(value.length)}`,
  sign: (_key, spec, algorithm) => `${algorithm} ${sizeOf(spec)}`,
  verify: (_key, spec, algorithm) => `${algorithm} ${sizeOf(spec)}`,
  generate: (_rootKeys, _identity, spec) => `${spec.keyType} ${sizeOf(spec)}`,
  importPlain: (_rootKeys, _identity, { keyType }) => keyType,
  importTransferred: (...[, , , , , { keyType }]) => keyType,
  destroyObjects: (_poolId, { length }) => String(length),
  wrapForRecipient: (_rootKeys, { spec }) => `${spec.keyType} ${sizeOf(spec)}`,
  rewrapForRecipient: (_rootKeys, { spec }) => `${spec.keyType} ${sizeOf(spec)}`,
  rewrap: (_from, _to, { spec }) => `${spec.keyType} ${sizeOf(spec)}`,
  load: (_rootKeys, _identity, spec) => `${spec.keyType} ${sizeOf(spec)}`,
};

/** What callers wrap and encrypt is a key mostly, which takes the same time whatever its length. */
const FEW_BYTES = 256;
const MANY_BYTES = 1024;

/**
 * Of what is enciphered: a data key that is wrapped from single blocks takes a call for each of them, so that one of 4 KB
 * takes 100 times as long as one of 32 bytes, and mustn't pass for it.
 */
function extentOf(bytes: number): '' | ' large' | ' very large' {
  if (bytes <= FEW_BYTES) return '';
  return bytes <= MANY_BYTES ? ' large' : ' very large';
}

/** Operations of one kind take about as long as each other. There are some hundred kinds. */
export function kindOf<Name extends OperationName>(name: Name, input: Input<Name>): string {
  const details = DETAILS[name] as ((...input: unknown[]) => string) | undefined;
  return details === undefined ? name : `${name} ${details(...input)}`;
}
