import type { KeyMaterial, KeyVersionId } from '../../core/keys/key.ts';
import { unpackBytes } from '../../core/keys/packed-bytes.ts';
import { type Connection, requireGeneration } from '../module/connection.ts';
import { hsmUnavailable } from '../module/errors.ts';
import type { RootKeys } from './root-keys.ts';
import { MAC_BYTES } from './root-mac.ts';
import { brokenSeal, sealedBytes } from './seal.ts';

/** The pairs of backup keys, as the store has them now. Each is loaded when it is needed. */
export class BackupPairs {
  #own: readonly KeyMaterial[] = [];
  #all = new Map<KeyVersionId, KeyMaterial>();
  readonly #loaded = new WeakMap<Connection, Map<KeyVersionId, Promise<RootKeys>>>();

  /** @param own oldest first @param others of other pools, by which nothing is made */
  open(own: readonly KeyMaterial[], others: readonly KeyMaterial[]): void {
    this.#own = own;
    this.#all = new Map([...others, ...own].map((pair) => [pair.identity.version, pair]));
  }

  get own(): readonly KeyVersionId[] {
    return this.#own.map(({ identity }) => identity.version);
  }

  get openable(): readonly KeyVersionId[] {
    return [...this.#all.keys()].reverse();
  }

  /**
   * Loaded once in the life of a connection: wrapped by other root keys a pair is still the same.
   * @throws ServiceError HsmUnavailable where it isn't known, KeyIntegrityViolation
   */
  on(connection: Connection, version: KeyVersionId): Promise<RootKeys> {
    const loaded = this.#loaded.get(connection) ?? new Map<KeyVersionId, Promise<RootKeys>>();
    this.#loaded.set(connection, loaded);
    const known = loaded.get(version);
    if (known !== undefined) return known;
    const loading = this.#load(connection, version);
    loaded.set(version, loading);
    loading.catch(() => loaded.delete(version));
    return loading;
  }

  async #load(connection: Connection, version: KeyVersionId): Promise<RootKeys> {
    const material = this.#all.get(version);
    if (material === undefined) throw hsmUnavailable(undefined);
    const { identity, sealed } = material;
    const { dispatcher } = connection;
    const roots = await requireGeneration(connection, sealed.rootGeneration, identity.pool);
    const seal = unpackBytes(sealed.seal);
    const isIntact =
      seal.length === MAC_BYTES &&
      (await dispatcher.run('verifyMac', [roots, sealedBytes(material, sealed), seal]));
    if (!isIntact) throw brokenSeal(identity);
    return dispatcher.run('loadBackupKeys', [roots, material]);
  }
}
