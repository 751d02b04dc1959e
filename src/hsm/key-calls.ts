import { ServiceError } from '../core/errors.ts';
import type { Ciphertext, CipherParameters, Hsm, SigningParameters } from '../core/keys/hsm.ts';
import type { KeyMaterial } from '../core/keys/key.ts';
import type {
  Algorithm,
  CipherAlgorithm,
  SigningAlgorithm,
} from '../core/operations/algorithms.ts';
import { requireAlgorithm, requireExternalMu } from './capabilities/refusals.ts';
import type { KeyPart } from './keys/loaded-keys.ts';
import type { Handle } from './module/calls.ts';
import type { Connection } from './module/connection.ts';
import { faultOf, fromPkcs11, hsmUnavailable, wasNeverAsked } from './module/errors.ts';
import type { LiveConnection } from './module/live-connection.ts';
import { partFor } from './operations/ciphers.ts';
import { SIGNING } from './operations/mechanisms.ts';
import { signatureFits } from './operations/signatures.ts';

type KeyUses = Pick<Hsm, 'encrypt' | 'decrypt' | 'sign' | 'verify' | 'random'>;

/** Of an operation that fails on a token that is well. */
const REPEATS = 2;

/**
 * What callers do with keys, and the way of all calls of the HSM: on the connection of now, and once more where that was
 * lost, which is told from an answer that the caller caused. Lines for sessions go by the key's name.
 */
export class KeyCalls implements KeyUses {
  readonly #live: LiveConnection;

  constructor(live: LiveConnection) {
    this.#live = live;
  }

  encrypt(
    material: KeyMaterial,
    algorithm: CipherAlgorithm,
    plaintext: Uint8Array,
    parameters: CipherParameters,
  ): Promise<Ciphertext> {
    const part = partFor(algorithm, 'encrypt');
    const use = (on: Connection, key: Handle) =>
      on.dispatcher.run(
        'encrypt',
        [key, material.spec, algorithm, plaintext, parameters],
        material.identity.name,
      );
    return this.withKey(material, part, use, algorithm);
  }

  decrypt(
    material: KeyMaterial,
    algorithm: CipherAlgorithm,
    ciphertext: Ciphertext,
    parameters: CipherParameters,
  ): Promise<Uint8Array> {
    const part = partFor(algorithm, 'decrypt');
    const use = (on: Connection, key: Handle) =>
      on.dispatcher.run(
        'decrypt',
        [key, material.spec, algorithm, ciphertext, parameters],
        material.identity.name,
      );
    return this.withKey(material, part, use, algorithm);
  }

  sign(
    material: KeyMaterial,
    algorithm: SigningAlgorithm,
    digest: Uint8Array,
    parameters?: SigningParameters,
  ): Promise<Uint8Array> {
    const use = (on: Connection, key: Handle) => {
      if (parameters?.isMu === true) requireExternalMu(on.capabilities);
      return on.dispatcher.run(
        'sign',
        [key, material.spec, algorithm, digest, parameters],
        material.identity.name,
      );
    };
    return this.withKey(material, SIGNING[algorithm].key, use, algorithm);
  }

  async verify(
    material: KeyMaterial,
    algorithm: SigningAlgorithm,
    digest: Uint8Array,
    signature: Uint8Array,
    parameters?: SigningParameters,
  ): Promise<boolean> {
    if (!signatureFits(material.spec, algorithm, signature)) return false;
    const part = SIGNING[algorithm].key === 'mac' ? 'mac' : 'public';
    const use = (on: Connection, key: Handle) => {
      if (parameters?.isMu === true) requireExternalMu(on.capabilities);
      return on.dispatcher.run(
        'verify',
        [key, material.spec, algorithm, digest, signature, parameters],
        material.identity.name,
      );
    };
    try {
      return await this.withKey(material, part, use, algorithm);
    } catch (error) {
      if (error instanceof ServiceError && error.code === 'DecryptionFailed') return false;
      throw error;
    }
  }

  random(count: number): Promise<Uint8Array> {
    return this.attempt((on) => on.dispatcher.run('random', [count]), true);
  }

  /**
   * Runs an operation, and again on a fresh session and handle, or once on a fresh connection, where that may help and does
   * no harm. An answer of the module that isn't plainly the input's fault may mean that the token is lost: then the token is
   * asked, and believed.
   * @param isRepeatable whether it does no harm to run it twice; what has not begun may always be run
   * @param material whose handles are used
   * @param line in whose line to wait while the connection is being restored
   */
  async attempt<T>(
    work: (on: Connection) => Promise<T>,
    isRepeatable: boolean,
    material?: KeyMaterial,
    line: string | undefined = material?.identity.name,
  ): Promise<T> {
    let repeats = isRepeatable ? REPEATS : 0;
    let isReconnected = false;
    for (;;) {
      const on = this.#live.current ?? (await this.#live.restored(line));
      try {
        return await work(on);
      } catch (error) {
        if (!(await this.#isLost(on, error))) {
          const fault = faultOf(error);
          if (fault === undefined || fault === 'input')
            throw fromPkcs11(error, on.capabilities.module);
          if (fault === 'handle' && material !== undefined) on.loaded.forget(material);
          // The token is well. A fault that passes must not refuse what is right; what is refused each time stays refused.
          if (repeats === 0) throw fromPkcs11(error, on.capabilities.module);
          repeats -= 1;
          continue;
        }
        this.#live.lose(on);
        if (isReconnected || !(isRepeatable || wasNeverAsked(error))) throw hsmUnavailable(error);
        isReconnected = true;
      }
    }
  }

  /**
   * As attempt, with the key loaded.
   * @param algorithm refused where the module lacks it
   */
  withKey<T>(
    material: KeyMaterial,
    part: KeyPart,
    use: (on: Connection, key: Handle) => Promise<T>,
    algorithm?: Algorithm,
  ): Promise<T> {
    return this.attempt(
      (on) => {
        if (algorithm !== undefined) requireAlgorithm(on.capabilities, algorithm, material.spec);
        return on.loaded.withKey(material, part, (key) => use(on, key));
      },
      true,
      material,
    );
  }

  /** Whether something failed because its connection is of no use any more. */
  async #isLost(on: Connection, error: unknown): Promise<boolean> {
    const { current } = this.#live;
    const fault = faultOf(error);
    // Who waited for a session when another caller found the token lost is refused without an answer of the module.
    if (fault === undefined)
      return on !== current && error instanceof ServiceError && error.code === 'HsmUnavailable';
    return fault !== 'input' && (on !== current || !(await on.isWell()));
  }
}
