import { randomUUID } from 'node:crypto';
import type { Hsm, KeyImporter } from '../../core/keys/hsm.ts';
import type { KeyIdentity, KeyMaterial, KeySpec, VerifiedMaterial } from '../../core/keys/key.ts';
import type { BeginObjects } from '../../core/keys/objects/object-id.ts';
import { packBytes } from '../../core/keys/packed-bytes.ts';
import type { Capabilities } from '../capabilities/capabilities.ts';
import { requireKeyKind, requireKeyType, requireKeyWrapPadded } from '../capabilities/refusals.ts';
import { type Connection, requireGeneration, requireRootKeys } from '../module/connection.ts';
import type { RootKeys } from './root-keys.ts';
import type { LiveConnection } from '../module/live-connection.ts';
import type { Roots } from '../module/open-module.ts';
import type { KeyCalls } from '../key-calls.ts';
import { GenerationQueue } from './generation-queue.ts';
import type { GeneratedKey } from './key-generation.ts';
import type { KeyGenerator } from './key-generator.ts';
import { type ImportedKey, modulusBytesOf, specOf } from './key-import.ts';
import { sealedBytes } from './seal.ts';

/** What the HSM has made, and the generation of the root keys that have wrapped it. */
type Made<Key extends GeneratedKey> = Key & { readonly rootGeneration: number };

const GENERATION_LIMITS = { ofOne: 8, waiting: 200, waitMs: 60_000 };

export interface KeyMakerOptions {
  readonly calls: KeyCalls;
  readonly live: LiveConnection;
  /** The process that makes RSA keys, where the module is called by one thread. */
  readonly generator: KeyGenerator | undefined;
  /** As they were found out when the module was opened last. */
  readonly capabilities: () => Capabilities;
  readonly roots: () => Roots | undefined;
  /** Those of the library: other pools of this process may use it too. */
  readonly turns: GenerationQueue;
  /** Wraps by the current root keys what older ones have wrapped. */
  readonly rewrap: (material: KeyMaterial) => Promise<VerifiedMaterial>;
}

/** Makes keys as the pool keeps them: generated, imported, or bound to another identity. */
export class KeyMaker implements Pick<Hsm, 'generateKey' | 'reseal'>, KeyImporter {
  readonly #options: KeyMakerOptions;
  readonly #queue = new GenerationQueue(GENERATION_LIMITS);
  /** By which it is told from other pools. */
  readonly #name = randomUUID();

  constructor(options: KeyMakerOptions) {
    this.#options = options;
  }

  async generateKey(
    identity: KeyIdentity,
    spec: KeySpec,
    by?: string,
    begun?: BeginObjects,
  ): Promise<VerifiedMaterial> {
    requireKeyKind(this.#options.capabilities(), spec);
    const generated = await this.#generate(identity, spec, by, begun);
    return this.#sealNew(identity, { spec, ...generated });
  }

  async importKey(
    ...[identity, key, begun]: Parameters<KeyImporter['importKey']>
  ): Promise<VerifiedMaterial> {
    requireKeyKind(this.#options.capabilities(), specOf(key));
    const imported = await this.#options.calls.attempt(
      wrappedByCurrent(async (on, roots) => {
        const objects = await begun?.();
        return on.dispatcher.run('importPlain', [roots, identity, key, objects], identity.name);
      }),
      false,
      undefined,
      identity.name,
    );
    return this.#sealNew(identity, imported);
  }

  async importTransferred(
    ...[identity, exchangeKey, wrapped, expected, begun]: Parameters<
      KeyImporter['importTransferred']
    >
  ): Promise<VerifiedMaterial> {
    const capabilities = this.#options.capabilities();
    requireKeyType(capabilities, expected.keyType);
    requireKeyWrapPadded(capabilities);
    const modulusBytes = modulusBytesOf(exchangeKey);
    const imported = await this.#options.calls.withKey(exchangeKey, 'private', (connection, key) =>
      wrappedByCurrent(async (on, roots) => {
        const objects = await begun?.();
        return on.dispatcher.run(
          'importTransferred',
          [roots, identity, key, modulusBytes, wrapped, expected, objects],
          exchangeKey.identity.name,
        );
      })(connection),
    );
    return this.#sealNew(identity, imported);
  }

  async reseal(key: KeyMaterial, identity: KeyIdentity): Promise<VerifiedMaterial> {
    await this.#options.calls.attempt(
      (on) => on.loaded.verify(key),
      true,
      undefined,
      key.identity.name,
    );
    const { rootGeneration, blob, macBlob } = key.sealed;
    return this.#seal(
      { ...key, identity },
      { rootGeneration, blob, ...(macBlob !== undefined && { macBlob }) },
    );
  }

  #generate(
    identity: KeyIdentity,
    spec: KeySpec,
    by: string | undefined,
    begun: BeginObjects | undefined,
  ): Promise<Made<GeneratedKey>> {
    const { calls, live, generator } = this.#options;
    const here = () =>
      calls.attempt(
        wrappedByCurrent(async (on, roots) =>
          on.dispatcher.run('generate', [roots, identity, spec, await begun?.()], by),
        ),
        false,
        undefined,
        by,
      );
    // EC and AES keys take about a millisecond, unless the HSM is slow: then they wait in the queue as well.
    if (spec.keyType !== 'RSA-HSM' && live.current?.isSlow !== true) return here();
    if (generator === undefined || spec.keyType !== 'RSA-HSM') return this.#inTurn(by, here);
    return this.#inTurn(by, () =>
      calls.attempt(
        async (on) => {
          requireRootKeys(on);
          const roots = this.#options.roots();
          if (roots === undefined) throw new TypeError('root keys have a pool');
          const objects = await begun?.();
          const made = await generator.generate(roots, identity, spec, on.capabilities, objects);
          return { ...made, rootGeneration: roots.generation };
        },
        // Of a resident key nobody knows whether its object is there already.
        begun === undefined,
        undefined,
        by,
      ),
    );
  }

  /** Of those for whom keys of this pool are made, and of the pools. */
  #inTurn<T>(by: string | undefined, make: () => Promise<T>): Promise<T> {
    return this.#queue.take(by, () => this.#options.turns.take(this.#name, make));
  }

  async #sealNew(identity: KeyIdentity, made: Made<ImportedKey>): Promise<VerifiedMaterial> {
    const { spec, publicKey, rootGeneration, blob, macBlob } = made;
    const material = await this.#seal(
      { identity, spec, ...(publicKey !== undefined && { publicKey }) },
      {
        rootGeneration,
        blob: packBytes(blob),
        ...(macBlob !== undefined && { macBlob: packBytes(macBlob) }),
      },
    );
    // A large key takes a minute to make: the root keys that have wrapped it may be about to go.
    const current = this.#options.live.current?.rootKeys?.generation ?? rootGeneration;
    return current > rootGeneration ? this.#options.rewrap(material) : material;
  }

  #seal(
    key: Omit<KeyMaterial, 'sealed'>,
    unsealed: Omit<KeyMaterial['sealed'], 'seal'>,
  ): Promise<VerifiedMaterial> {
    const { identity, spec, publicKey } = key;
    const bound = { identity, spec, ...(publicKey !== undefined && { publicKey }) };
    return this.#options.calls.attempt(
      async (on) => {
        const roots = await requireGeneration(on, unsealed.rootGeneration);
        const seal = await on.mac(sealedBytes(bound, unsealed), roots);
        return {
          ...bound,
          sealed: { ...unsealed, seal: packBytes(seal) },
        } as KeyMaterial as VerifiedMaterial;
      },
      true,
      undefined,
      identity.name,
    );
  }
}

/** Says by which generation a key was wrapped: while one is made, another may become the current one. */
function wrappedByCurrent<Key extends GeneratedKey>(
  make: (on: Connection, roots: RootKeys) => Promise<Key>,
): (on: Connection) => Promise<Made<Key>> {
  return async (on) => {
    const roots = requireRootKeys(on);
    return { ...(await make(on, roots)), rootGeneration: roots.generation };
  };
}
