import { type Key } from 'graphene-pk11';
import { type KeyMaterial } from '../core/key.ts';
import { SieveCache } from '../core/sieve-cache.ts';

/** How the handles of a version come to be; each is asked for once, when first needed. */
export interface KeyLoader {
  /** @throws ServiceError KeyIntegrityViolation */
  verifySeal(material: KeyMaterial): Promise<void>;
  load(material: KeyMaterial, part: KeyPart): Promise<Key>;
  destroy(key: Key): void;
}

/** The halves of a key version in the HSM; `mac` is the companion secret of an AES key. */
export type KeyPart = 'private' | 'public' | 'mac';

interface Entry {
  material: KeyMaterial;
  verified: Promise<void>;
  handles: Partial<Record<KeyPart, Promise<Key>>>;
  uses: number;
  isEvicted: boolean;
}

/**
 * The key versions that are in the HSM as session objects now: a bounded number, those not used of late giving way,
 * none destroyed while in use. A seal is verified once for each record object: records are immutable, so the same object
 * needs no second look, and another one for the same version does.
 */
export class LoadedKeys {
  readonly #loader: KeyLoader;
  readonly #entries: SieveCache<Entry>;
  #loads = 0;

  constructor(loader: KeyLoader, limit: number) {
    this.#loader = loader;
    this.#entries = new SieveCache<Entry>({
      limit,
      dispose: (entry) => {
        entry.isEvicted = true;
        if (entry.uses === 0) this.#destroy(entry);
      },
    });
  }

  /** Runs `use` with the handle of a part of a key, loading it first where it isn't loaded. */
  async withKey<T>(
    material: KeyMaterial,
    part: KeyPart,
    use: (key: Key) => Promise<T>,
  ): Promise<T> {
    const entry = this.#entry(material);
    entry.uses += 1;
    try {
      await entry.verified;
      let handle = entry.handles[part];
      if (handle === undefined) {
        this.#loads += 1;
        handle = this.#loader.load(material, part);
        entry.handles[part] = handle;
      }
      return await use(await handle);
    } catch (error) {
      // What failed to verify or load must be tried anew by the next caller.
      if (this.#entries.peek(keyOf(material)) === entry && !(await hasLoaded(entry, part)))
        this.#entries.delete(keyOf(material));
      throw error;
    } finally {
      entry.uses -= 1;
      if (entry.uses === 0 && entry.isEvicted) this.#destroy(entry);
    }
  }

  /** @throws ServiceError KeyIntegrityViolation */
  async verify(material: KeyMaterial): Promise<void> {
    await this.#loader.verifySeal(material);
  }

  /** Forgets all handles: they have turned out to be void, or their session ends. */
  clear(): void {
    this.#entries.clear();
  }

  /** How many versions are loaded, and how often a handle was made since the start. */
  get status(): { loaded: number; loads: number } {
    return { loaded: this.#entries.size, loads: this.#loads };
  }

  #entry(material: KeyMaterial): Entry {
    const known = this.#entries.get(keyOf(material));
    if (known !== undefined && isSameBlob(known.material, material)) {
      if (known.material !== material) {
        known.material = material;
        known.verified = this.#verify(material);
      }
      return known;
    }
    const entry: Entry = {
      material,
      verified: this.#verify(material),
      handles: {},
      uses: 0,
      isEvicted: false,
    };
    this.#entries.set(keyOf(material), entry);
    return entry;
  }

  #verify(material: KeyMaterial): Promise<void> {
    const verified = this.#loader.verifySeal(material);
    // Whoever awaits it sees the error; a rejection that nobody awaits any more must not end the process.
    verified.catch(() => undefined);
    return verified;
  }

  #destroy(entry: Entry): void {
    const handles = Object.values(entry.handles);
    entry.handles = {};
    for (const handle of handles)
      handle.then(
        (key) => {
          this.#loader.destroy(key);
        },
        () => undefined,
      );
  }
}

function keyOf({ identity }: KeyMaterial): string {
  return identity.version;
}

/** Handles made from other bytes than these are not this key's. */
function isSameBlob(a: KeyMaterial, b: KeyMaterial): boolean {
  return (
    a === b ||
    (same(a.sealed.blob, b.sealed.blob) &&
      same(a.sealed.macBlob, b.sealed.macBlob) &&
      samePublic(a, b))
  );
}

function samePublic({ publicKey: a }: KeyMaterial, { publicKey: b }: KeyMaterial): boolean {
  if (a === undefined || b === undefined) return a === b;
  if (a.keyType === 'RSA-HSM') return b.keyType === 'RSA-HSM' && same(a.n, b.n) && same(a.e, b.e);
  return b.keyType === 'EC-HSM' && same(a.x, b.x) && same(a.y, b.y);
}

function same(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return Buffer.compare(a, b) === 0;
}

async function hasLoaded(entry: Entry, part: KeyPart): Promise<boolean> {
  try {
    await entry.verified;
    await entry.handles[part];
    return entry.handles[part] !== undefined;
  } catch {
    return false;
  }
}
