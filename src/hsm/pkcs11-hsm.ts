import { ServiceError } from '../core/errors.ts';
import type { Hsm, HsmFeatures, KeyImporter, RootSecrets } from '../core/keys/hsm.ts';
import type { Algorithm } from '../core/operations/algorithms.ts';
import type { KeyRelease } from '../core/release/key-release.ts';
import type { KeyInspector } from '../core/release/key-inspection.ts';
import type { KeyIdentity, KeyMaterial, KeySpec, VerifiedMaterial } from '../core/keys/key.ts';
import { packBytes } from '../core/keys/packed-bytes.ts';
import type { SecureWrapper } from '../core/release/secure-wrap.ts';
import type { Handle } from './module/calls.ts';
import { offerOf } from './capabilities/offer.ts';
import { requireAlgorithm, requireKeyKind, requireKeyType } from './capabilities/refusals.ts';
import { withoutOpenSslErrors } from './module/openssl-errors.ts';
import { partFor } from './operations/ciphers.ts';
import {
  type Connection,
  type ConnectionOptions,
  openConnection,
  openConnectionInThread,
  requireRootKeys,
} from './module/connection.ts';
import { faultOf, fromPkcs11, hsmUnavailable } from './module/errors.ts';
import { LiveConnection } from './module/live-connection.ts';
import { GenerationQueue } from './keys/generation-queue.ts';
import { KeyGenerator } from './keys/key-generator.ts';
import type { GeneratedKey } from './keys/key-generation.ts';
import { type ImportedKey, modulusBytesOf, specOf } from './keys/key-import.ts';
import { publicHalfMatches } from './keys/key-inspection.ts';
import type { KeyPart } from './keys/loaded-keys.ts';
import { SIGNING } from './operations/mechanisms.ts';
import { openPatiently } from './module/patience.ts';
import type { Roots } from './module/open-module.ts';
import { createRootKeys, findRootKeys } from './keys/root-keys.ts';
import { BACKUP_KEY_PARTS, CURSOR_KEY_PART, rootCheckBytes, sealedBytes } from './keys/seal.ts';
import { signatureFits } from './operations/signatures.ts';

type Log = (level: 'info' | 'warn' | 'error', message: string, details?: object) => void;

export interface Pkcs11Options extends ConnectionOptions {
  /** How long an operation waits for a connection that is being restored. */
  readonly reconnectWaitMs: number;
  readonly log: Log;
}

export interface Pkcs11Hsm
  extends Hsm, HsmFeatures, KeyImporter, KeyRelease, KeyInspector, RootSecrets, SecureWrapper {
  /** Manufacturer and library. */
  readonly description: string;
  /** False where the token has none for this pool. They are looked for once, here. */
  openRootKeys(poolId: string, generation: number): boolean;
  /** Makes them in the HSM. The caller has seen openRootKeys answer false, and lets nobody else do the same meanwhile. */
  createRootKeys(poolId: string, generation: number): void;
  /** 32 bytes that only this pool's root keys give: kept in the store, they tell another token from this one. */
  rootCheck(poolId: string): Promise<Uint8Array>;
  /** 32 bytes for the MAC of cursors: each process that serves the pool has the same. */
  cursorKey(): Promise<Uint8Array>;
  readonly isReady: boolean;
  readonly status: {
    readonly open: number;
    readonly inUse: number;
    readonly waiting: number;
    readonly loaded: number;
    readonly loads: number;
  };
  close(): Promise<void>;
}

const GENERATION_LIMITS = { ofOne: 8, waiting: 200, waitMs: 60_000 };
const GENERATOR_IDLE_MS = 60_000;

/** Opens the module and logs in. @throws Error with a sentence for the operator */
export function openPkcs11Hsm(options: Pkcs11Options): Pkcs11Hsm {
  const generation = new GenerationQueue(GENERATION_LIMITS);
  let roots: Roots | undefined;
  const first = openPatiently(() => openConnection(options, roots));
  const { facts } = first.token;
  /** As they were found out when the module was opened last. */
  let { capabilities } = first;
  const live = new LiveConnection(first, {
    waitMs: options.reconnectWaitMs,
    waitingLimit: options.waitingLimit,
    log: options.log,
    async reconnect(lost) {
      const open = lost.isSlow ? openConnectionInThread : openConnection;
      const fresh = await open(options, roots);
      ({ capabilities } = fresh);
      return fresh;
    },
  });
  // Where one thread calls the module, a key that takes seconds to make would hold up every other call.
  const generator =
    options.usesThreads === true && !facts.isThreadSafe
      ? new KeyGenerator({
          ...options,
          deadlineMs: options.keyGenerationDeadlineMs,
          idleMs: GENERATOR_IDLE_MS,
          onEnd: (reason) => {
            options.log('error', 'the process that makes keys is replaced', { reason });
          },
        })
      : undefined;
  if (first.isSlow)
    options.log('info', 'the HSM is slow: it is waited for in threads of their own', {
      number: first.dispatcher.status.open,
    });

  /**
   * Runs an operation, and once more on a fresh session and handle, or on a fresh connection, where that may help and does
   * no harm. An answer of the module that isn't plainly the input's fault may mean that the token is lost: then the token is
   * asked, and believed.
   * @param isRepeatable whether it does no harm to run it twice
   * @param material whose handles are used
   */
  async function attempt<T>(
    work: (on: Connection) => Promise<T>,
    isRepeatable: boolean,
    material?: KeyMaterial,
  ): Promise<T> {
    let isRefreshed = !isRepeatable;
    let isReconnected = !isRepeatable;
    for (;;) {
      const on = live.current ?? (await live.restored());
      try {
        return await work(on);
      } catch (error) {
        if (!(await isLost(on, error))) {
          const fault = faultOf(error);
          if (fault === undefined || fault === 'input') throw fromPkcs11(error);
          if (fault === 'handle' && material !== undefined) on.loaded.forget(material);
          // The token is well. A fault that passes must not refuse what is right; what is refused again stays refused.
          if (isRefreshed) throw fromPkcs11(error);
          isRefreshed = true;
          continue;
        }
        live.lose(on);
        if (isReconnected) throw hsmUnavailable(error);
        isReconnected = true;
      }
    }
  }

  /** Whether something failed because its connection is of no use any more. */
  async function isLost(on: Connection, error: unknown): Promise<boolean> {
    const fault = faultOf(error);
    // Who waited for a session when another caller found the token lost is refused without an answer of the module.
    if (fault === undefined)
      return (
        on !== live.current && error instanceof ServiceError && error.code === 'HsmUnavailable'
      );
    return fault !== 'input' && (on !== live.current || !(await on.isWell()));
  }

  function withKey<T>(
    material: KeyMaterial,
    part: KeyPart,
    use: (on: Connection, key: Handle) => Promise<T>,
    algorithm?: Algorithm,
  ): Promise<T> {
    return attempt(
      (on) => {
        if (algorithm !== undefined) requireAlgorithm(on.capabilities, algorithm, material.spec);
        return on.loaded.withKey(material, part, (key) => use(on, key));
      },
      true,
      material,
    );
  }

  function connected(): Connection {
    if (live.current === undefined) throw hsmUnavailable(undefined);
    return live.current;
  }

  const hsm: Pkcs11Hsm = {
    description: facts.description,

    get hasMlDsa() {
      return capabilities.mlDsa;
    },

    offer: () => attempt((on) => Promise.resolve(offerOf(on.capabilities)), true),

    openRootKeys(poolId, rootGeneration) {
      roots = { poolId, generation: rootGeneration };
      const on = connected();
      on.rootKeys = withoutOpenSslErrors(() =>
        findRootKeys(on.token.loginSession, poolId, rootGeneration),
      );
      return on.rootKeys !== undefined;
    },

    createRootKeys(poolId, rootGeneration) {
      const on = connected();
      on.rootKeys = withoutOpenSslErrors(() =>
        createRootKeys(on.token.loginSession, poolId, rootGeneration),
      );
      roots = { poolId, generation: rootGeneration };
    },

    backupKey: () =>
      attempt(
        async (on) =>
          Buffer.concat(await Promise.all(BACKUP_KEY_PARTS.map((part) => on.mac(part)))),
        true,
      ),

    cursorKey: () => attempt((on) => on.mac(CURSOR_KEY_PART), true),

    rootCheck: (poolId) => attempt((on) => on.mac(rootCheckBytes(poolId)), true),

    async generateKey(identity, spec, by) {
      requireKeyKind(capabilities, spec);
      const generated = await generate(identity, spec, by);
      return sealNew(identity, { spec, ...generated });
    },

    async importKey(identity, key) {
      requireKeyKind(capabilities, specOf(key));
      const imported = await attempt(
        (on) =>
          on.dispatcher.run('importPlain', [requireRootKeys(on), identity, key], identity.name),
        false,
      );
      return sealNew(identity, imported);
    },

    async importTransferred(identity, exchangeKey, wrapped, expected) {
      requireKeyType(capabilities, expected.keyType);
      const modulusBytes = modulusBytesOf(exchangeKey);
      const imported = await withKey(exchangeKey, 'private', (on, key) =>
        on.dispatcher.run(
          'importTransferred',
          [requireRootKeys(on), identity, key, modulusBytes, wrapped, expected],
          exchangeKey.identity.name,
        ),
      );
      return sealNew(identity, imported);
    },

    async reseal(key, identity) {
      await hsm.requireIntact(key);
      const { blob, macBlob } = key.sealed;
      return seal({ ...key, identity }, { blob, ...(macBlob !== undefined && { macBlob }) });
    },

    encrypt: (material, algorithm, plaintext, parameters) =>
      withKey(
        material,
        partFor(algorithm, 'encrypt'),
        (on, key) =>
          on.dispatcher.run(
            'encrypt',
            [key, material.spec, algorithm, plaintext, parameters],
            material.identity.name,
          ),
        algorithm,
      ),

    decrypt: (material, algorithm, ciphertext, parameters) =>
      withKey(
        material,
        partFor(algorithm, 'decrypt'),
        (on, key) =>
          on.dispatcher.run(
            'decrypt',
            [key, material.spec, algorithm, ciphertext, parameters],
            material.identity.name,
          ),
        algorithm,
      ),

    sign: (material, algorithm, digest) =>
      withKey(
        material,
        SIGNING[algorithm].key,
        (on, key) =>
          on.dispatcher.run(
            'sign',
            [key, material.spec, algorithm, digest],
            material.identity.name,
          ),
        algorithm,
      ),

    async verify(material, algorithm, digest, signature) {
      if (!signatureFits(material.spec, algorithm, signature)) return false;
      const part = SIGNING[algorithm].key === 'mac' ? 'mac' : 'public';
      try {
        return await withKey(
          material,
          part,
          (on, key) =>
            on.dispatcher.run(
              'verify',
              [key, material.spec, algorithm, digest, signature],
              material.identity.name,
            ),
          algorithm,
        );
      } catch (error) {
        if (error instanceof ServiceError && error.code === 'DecryptionFailed') return false;
        throw error;
      }
    },

    async requireIntact(key) {
      await attempt((on) => on.loaded.verify(key), true);
      return key as VerifiedMaterial;
    },

    async wrapForRelease(material, recipient, wrap) {
      await hsm.requireIntact(material);
      const { exportable, releasePolicy } = material.identity;
      if (!exportable || releasePolicy === undefined)
        throw new ServiceError('KeyOperationForbidden', 'The key is not exportable.');
      return attempt(
        (on) =>
          on.dispatcher.run(
            'wrapForRecipient',
            [requireRootKeys(on), material, recipient, wrap],
            material.identity.name,
          ),
        true,
      );
    },

    async wrapFreshKey(material, algorithm) {
      await hsm.requireIntact(material);
      return attempt(
        (on) => on.dispatcher.run('wrapFreshKey', [requireRootKeys(on), material, algorithm]),
        true,
      );
    },

    async rewrapForRecipient(material, algorithm, wrapped, recipient) {
      await hsm.requireIntact(material);
      return attempt(
        (on) =>
          on.dispatcher.run('rewrapForRecipient', [
            requireRootKeys(on),
            material,
            algorithm,
            wrapped,
            recipient,
          ]),
        true,
      );
    },

    async inspect(material) {
      const object = await withKey(material, 'private', (on, key) =>
        on.dispatcher.run('describe', [key], material.identity.name),
      );
      const inspected = { object, module: facts.module };
      if (material.publicKey === undefined) return inspected;
      return { ...inspected, publicHalfMatches: await publicHalfMatches(hsm, material) };
    },

    random: (count) => attempt((on) => on.dispatcher.run('random', [count]), true),

    get isReady() {
      return live.current?.rootKeys !== undefined;
    },
    get status() {
      const none = { open: 0, inUse: 0, waiting: 0, loaded: 0, loads: 0 };
      const { current } = live;
      return current === undefined
        ? none
        : { ...current.dispatcher.status, ...current.loaded.status };
    },
    async close() {
      generator?.close();
      await live.close();
    },
  };
  return hsm;

  function generate(
    identity: KeyIdentity,
    spec: KeySpec,
    by: string | undefined,
  ): Promise<GeneratedKey> {
    const here = () =>
      attempt(
        (on) => on.dispatcher.run('generate', [requireRootKeys(on), identity, spec], by),
        false,
      );
    // EC and AES keys take about a millisecond, unless the HSM is slow: then they wait in the queue as well.
    if (spec.keyType !== 'RSA-HSM' && live.current?.isSlow !== true) return here();
    if (generator === undefined || spec.keyType !== 'RSA-HSM') return generation.take(by, here);
    return generation.take(by, () =>
      attempt((on) => {
        requireRootKeys(on);
        if (roots === undefined) throw new TypeError('root keys have a pool');
        return generator.generate(roots, identity, spec, on.capabilities);
      }, true),
    );
  }

  function sealNew(identity: KeyIdentity, made: ImportedKey): Promise<VerifiedMaterial> {
    const { spec, publicKey, blob, macBlob } = made;
    return seal(
      { identity, spec, ...(publicKey !== undefined && { publicKey }) },
      {
        blob: packBytes(blob),
        ...(macBlob !== undefined && { macBlob: packBytes(macBlob) }),
      },
    );
  }

  async function seal(
    key: Omit<KeyMaterial, 'sealed'>,
    blobs: Pick<KeyMaterial['sealed'], 'blob' | 'macBlob'>,
  ): Promise<VerifiedMaterial> {
    const { identity, spec, publicKey } = key;
    const bound = { identity, spec, ...(publicKey !== undefined && { publicKey }) };
    return attempt(async (on) => {
      const unsealed = { rootGeneration: requireRootKeys(on).generation, ...blobs };
      return {
        ...bound,
        sealed: { ...unsealed, seal: packBytes(await on.mac(sealedBytes(bound, unsealed))) },
      } as KeyMaterial as VerifiedMaterial;
    }, true);
  }
}
