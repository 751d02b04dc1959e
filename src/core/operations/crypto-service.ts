import {
  type CipherAlgorithm,
  findAlgorithm,
  type FoundAlgorithm,
  type SigningAlgorithm,
} from './algorithms.ts';
import type { AuditNotes } from '../audit/record.ts';
import { ServiceError } from '../errors.ts';
import type { EncryptionLimit } from './encryption-limit.ts';
import type { Ciphertext, CipherParameters, Hsm } from '../keys/hsm.ts';
import type { KeyMaterial, KeyName, KeyOperation, KeyVersion, KeyVersionId } from '../keys/key.ts';
import { keyNotFound } from '../keys/key-refusals.ts';
import { fitsKey, sizeOf } from '../keys/key-shape.ts';
import type { Clock } from '../clock.ts';
import type { KeyReader } from '../keys/ports.ts';
import { type Signable, signableOf } from './signable.ts';
import type { SettingService } from '../pool/setting-service.ts';

/** A clock that runs a little behind its callers' must not refuse a key that they have just made valid "from now". */
const NOT_BEFORE_LEEWAY_SECONDS = 60;

export interface KeyReference {
  readonly name: KeyName;
  /** Absent: the version that answers for the bare name. */
  readonly version?: KeyVersionId | undefined;
}

/** The key version that did the work, and what came of it. */
export interface Done<T> {
  readonly key: KeyMaterial;
  readonly algorithm: string;
  readonly result: T;
}

export interface CryptoServiceParts {
  readonly hsm: Hsm;
  readonly keys: Pick<KeyReader, 'findKey'>;
  readonly settings: Pick<SettingService, 'isOn'>;
  readonly encryptionLimit: EncryptionLimit;
  readonly clock: Clock;
}

/** Learns which version and algorithm a request came to use, for the audit record, before anything can fail. */
export type Recorder = (notes: AuditNotes) => void;

export type CryptoService = ReturnType<typeof createCryptoService>;

/** Using keys. Every method: @throws ServiceError KeyNotFound, KeyDisabled, KeyNotYetValid, KeyExpired, KeyOperationForbidden, AlgorithmDisabled, EncryptionLimitReached, BadParameter, and what the Hsm throws. */
export function createCryptoService(parts: CryptoServiceParts) {
  const { hsm, keys, settings, encryptionLimit, clock } = parts;
  async function keyFor(
    reference: KeyReference,
    operation: KeyOperation,
    named: string | undefined,
    note: Recorder,
  ) {
    note({ keyName: reference.name, ...(named !== undefined && { algorithm: named }) });
    const version = await keys.findKey(reference.name, reference.version);
    if (version === undefined) throw keyNotFound(reference.name, reference.version);
    const { identity } = version.material;
    const algorithmName = named ?? onlyAlgorithmOf(version.material);
    note({
      keyName: identity.name,
      keyVersion: identity.version,
      ...(algorithmName !== undefined && { algorithm: algorithmName }),
    });
    requireUsable(version, operation, clock.now().getTime() / 1000);
    const facts = fitting(version.material, operation, algorithmName);
    const { name, allowedBy } = facts;
    if (allowedBy !== undefined && !(await settings.isOn(allowedBy)))
      throw new ServiceError(
        'AlgorithmDisabled',
        `Algorithm ${name} is switched off in this pool (setting ${allowedBy}).`,
      );
    return { key: version.material, algorithm: name, facts };
  }

  async function encipher(
    operation: 'encrypt' | 'wrapKey',
    reference: KeyReference,
    algorithmName: string,
    plaintext: Uint8Array,
    parameters: CipherParameters,
    note: Recorder,
  ): Promise<Done<Ciphertext>> {
    const { key, algorithm, facts } = await keyFor(reference, operation, algorithmName, note);
    requireParameters(facts, 'encrypt', parameters);
    if (facts.mode?.name === 'GCM') await encryptionLimit.spend(key.identity);
    const result = await hsm.encrypt(key, algorithm as CipherAlgorithm, plaintext, parameters);
    return { key, algorithm, result };
  }

  async function decipher(
    operation: 'decrypt' | 'unwrapKey',
    reference: KeyReference,
    algorithmName: string,
    ciphertext: Ciphertext,
    parameters: CipherParameters,
    note: Recorder,
  ): Promise<Done<Uint8Array>> {
    const { key, algorithm, facts } = await keyFor(reference, operation, algorithmName, note);
    requireParameters(facts, 'decrypt', { ...ciphertext, ...parameters });
    const result = await hsm.decrypt(key, algorithm as CipherAlgorithm, ciphertext, parameters);
    return { key, algorithm, result };
  }

  return {
    encipher,
    decipher,

    /**
     * `value` is signed as it is: the service never hashes content (but for HS256, HS384, HS512, which MAC it, and ML-DSA).
     * @param algorithmName may be left out where the key has only one (ML-DSA)
     */
    async sign(
      reference: KeyReference,
      algorithmName: string | undefined,
      signable: Signable,
      note: Recorder,
    ): Promise<Done<Uint8Array>> {
      const { key, algorithm, facts } = await keyFor(reference, 'sign', algorithmName, note);
      const { bytes, parameters } = signableOf(key.spec, facts, signable, 'value');
      const result = await hsm.sign(key, algorithm as SigningAlgorithm, bytes, parameters);
      return { key, algorithm, result };
    },

    /** A signature that isn't right is an answer, false, and no error. */
    async verify(
      reference: KeyReference,
      algorithmName: string | undefined,
      signable: Signable,
      signature: Uint8Array,
      note: Recorder,
    ): Promise<Done<boolean>> {
      const { key, algorithm, facts } = await keyFor(reference, 'verify', algorithmName, note);
      const { bytes, parameters } = signableOf(key.spec, facts, signable, 'digest');
      const result = await hsm.verify(
        key,
        algorithm as SigningAlgorithm,
        bytes,
        signature,
        parameters,
      );
      return { key, algorithm, result };
    },
  };
}

/** Operations that protect something new stop outside a key's dates; those that read what is protected go on. */
const BOUND_BY_DATES: readonly KeyOperation[] = ['encrypt', 'wrapKey', 'secureWrapKey', 'sign'];

/**
 * The operation that covers another. A key with the narrower one alone opens what it wrapped for attested environments, and
 * for nobody else.
 */
const COVERED_BY: Readonly<Partial<Record<KeyOperation, KeyOperation>>> = {
  secureWrapKey: 'wrapKey',
  secureUnwrapKey: 'unwrapKey',
};

/** @throws ServiceError KeyDisabled, KeyNotYetValid, KeyExpired, KeyOperationForbidden */
export function requireUsable(version: KeyVersion, operation: KeyOperation, now: number): void {
  const { enabled, notBefore, expires } = version.attributes;
  if (!enabled)
    throw new ServiceError(
      'KeyDisabled',
      `Operation ${operation} is not allowed on a disabled key.`,
    );
  if (BOUND_BY_DATES.includes(operation)) {
    if (notBefore !== undefined && now + NOT_BEFORE_LEEWAY_SECONDS < notBefore)
      throw new ServiceError(
        'KeyNotYetValid',
        `Operation ${operation} is not allowed on a key that is not yet valid.`,
      );
    if (expires !== undefined && now >= expires)
      throw new ServiceError(
        'KeyExpired',
        `Operation ${operation} is not allowed on an expired key.`,
      );
  }
  const { operations } = version.material.identity;
  const wider = COVERED_BY[operation];
  if (!operations.includes(operation) && (wider === undefined || !operations.includes(wider)))
    throw new ServiceError(
      'KeyOperationForbidden',
      `Operation ${operation} is not permitted on this key.`,
    );
}

const USE: Readonly<Partial<Record<KeyOperation, 'cipher' | 'wrap' | 'sign'>>> = {
  encrypt: 'cipher',
  decrypt: 'cipher',
  wrapKey: 'wrap',
  unwrapKey: 'wrap',
  sign: 'sign',
  verify: 'sign',
};

const USE_WORDS = { cipher: 'encryption', wrap: 'key wrap', sign: 'signing' } as const;

/** Keys of ML-DSA are made for one algorithm, so that a request need not name it. */
function onlyAlgorithmOf({ spec }: KeyMaterial): string | undefined {
  return spec.keyType === 'AKP-HSM' ? spec.parameterSet : undefined;
}

function fitting(
  key: KeyMaterial,
  operation: KeyOperation,
  name: string | undefined,
): FoundAlgorithm {
  if (name === undefined)
    throw new ServiceError(
      'BadParameter',
      'Property alg has an invalid value: it is missing; only ML-DSA keys (AKP-HSM) are used without it, or with external_mu.',
    );
  const algorithm = findAlgorithm(name);
  const use = USE[operation];
  if (algorithm === undefined || use === undefined || !algorithm.uses.includes(use))
    throw new ServiceError(
      'BadParameter',
      `Property alg has an invalid value: it is no algorithm of operation ${operation}.`,
    );
  const { spec } = key;
  if (!fitsKey(algorithm, spec)) {
    const kind = 'bits' in spec ? `${spec.bits} bits` : sizeOf(spec);
    throw new ServiceError(
      'BadParameter',
      `Key and ${USE_WORDS[use]} algorithm are incompatible: ${name} does not fit a key of type ${spec.keyType}, ${kind}.`,
    );
  }
  return algorithm;
}

/** Which of iv, aad and tag an algorithm takes, and their lengths in bytes. */
function requireParameters(
  { name: algorithm, mode }: FoundAlgorithm,
  direction: 'encrypt' | 'decrypt',
  { iv, aad, tag }: CipherParameters & { tag?: Uint8Array },
): void {
  const expect = (name: string, value: Uint8Array | undefined, bytes: number | undefined) => {
    if (value?.length === bytes) return;
    throw new ServiceError(
      'BadParameter',
      bytes === undefined
        ? `Property ${name} must be absent when algorithm ${algorithm} is used to ${direction}.`
        : `Property ${name} must have ${bytes} bytes when algorithm ${algorithm} is used to ${direction}.`,
    );
  };
  // A nonce that came twice would give away the authentication key (SP 800-38D §8): the HSM makes it, never the caller.
  const isMadeHere = mode?.name === 'GCM' && direction === 'encrypt';
  expect('iv', iv, isMadeHere ? undefined : mode?.ivBytes);
  expect('tag', tag, isMadeHere ? undefined : mode?.tagBytes);
  if (mode?.name !== 'GCM') expect('aad', aad, undefined);
}
