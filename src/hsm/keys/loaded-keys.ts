import { type KeyMaterial, publicMembers } from '../../core/keys/key.ts';
import { packBytes, type PackedBytes, unpackBytes } from '../../core/keys/packed-bytes.ts';
import { SieveCache } from '../../core/caching/sieve-cache.ts';
import type { Handle } from '../module/calls.ts';

/** How the handles of a version come to be; each is asked for once, when first needed. */
export interface KeyLoader {
  /** @throws ServiceError KeyIntegrityViolation */
  verifySeal(material: KeyMaterial): Promise<void>;
  load(material: KeyMaterial, part: KeyPart): Promise<Handle>;
  /** The handle isn't used any more. */
  giveUp(key: Handle, part: KeyPart): void;
}

/** The halves of a key version in the HSM; `mac` is the companion secret of an AES key. */
export type KeyPart = 'private' | 'public' | 'mac';

interface Entry {
  material: KeyMaterial;
  /** Its seal, while that is being verified; once it has been, nothing. */
  verifying: Promise<void> | undefined;
  /** Each while it is being made, and then packed: the binding's has a piece of memory of its own. */
  handles: Partial<Record<KeyPart, PackedBytes | Promise<Handle>>>;
  uses: number;
  isEvicted: boolean;
}

/**
 * The key versions whose handles are at hand now, in a sealed pool as session objects: a bounded number of objects, the
 * versions not used of late giving way, none while in use. A seal is verified once for each record object: records are immutable, so the
 * same object needs no second look, and another one for the same version does.
 */
export class LoadedKeys {
  readonly #loader: KeyLoader;
  readonly #entries: SieveCache<Entry>;
  #loads = 0;

  /** @param limit of objects: a version has one for each part of it that is used */
  constructor(loader: KeyLoader, limit: number) {
    this.#loader = loader;
    this.#entries = new SieveCache<Entry>({
      limit,
      weigh: ({ handles }) => Math.max(1, Object.keys(handles).length),
      dispose: (entry) => {
        entry.isEvicted = true;
        if (entry.uses === 0) this.#giveUp(entry);
      },
    });
  }

  /** Runs `use` with the handle of a part of a key, loading it first where it isn't loaded. */
  async withKey<T>(
    material: KeyMaterial,
    part: KeyPart,
    use: (key: Handle) => Promise<T>,
  ): Promise<T> {
    const entry = this.#entry(material);
    entry.uses += 1;
    try {
      // Most uses find what was verified and loaded long ago: no promise of it is kept, and none awaited.
      if (entry.verifying !== undefined) await entry.verifying;
      const handle = entry.handles[part] ?? this.#load(entry, material, part);
      return await use(handle instanceof Promise ? await handle : unpackBytes(handle));
    } catch (error) {
      // What failed to verify or load must be tried anew by the next caller.
      if (this.#entries.peek(keyOf(material)) === entry && !hasLoaded(entry, part))
        this.#entries.delete(keyOf(material));
      throw error;
    } finally {
      entry.uses -= 1;
      if (entry.uses === 0 && entry.isEvicted) this.#giveUp(entry);
    }
  }

  /** @throws ServiceError KeyIntegrityViolation */
  async verify(material: KeyMaterial): Promise<void> {
    await this.#loader.verifySeal(material);
  }

  /** Forgets the handles of one version: they have turned out to be void. */
  forget(material: KeyMaterial): void {
    this.#entries.delete(keyOf(material));
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
        this.#verify(known);
      }
      return known;
    }
    const entry: Entry = {
      material,
      verifying: undefined,
      handles: {},
      uses: 0,
      isEvicted: false,
    };
    this.#verify(entry);
    this.#entries.set(keyOf(material), entry);
    return entry;
  }

  #verify(entry: Entry): void {
    const verifying = this.#loader.verifySeal(entry.material).then(() => {
      if (entry.verifying === verifying) entry.verifying = undefined;
    });
    entry.verifying = verifying;
    // Whoever awaits it sees the error; a rejection that nobody awaits any more must not end the process.
    verifying.catch(() => undefined);
  }

  /** By the record that the caller has seen verified: the entry's may be another's by now. */
  #load(entry: Entry, material: KeyMaterial, part: KeyPart): Promise<Handle> {
    this.#loads += 1;
    const loading = this.#loader.load(material, part);
    entry.handles[part] = loading;
    this.#entries.reweigh(keyOf(material));
    return loading.then((key) => {
      if (entry.handles[part] === loading) entry.handles[part] = packBytes(key);
      return key;
    });
  }

  #giveUp(entry: Entry): void {
    const handles = Object.entries(entry.handles);
    entry.handles = {};
    for (const [name, handle] of handles) {
      const giveUp = (key: Handle) => {
        this.#loader.giveUp(key, name as KeyPart);
      };
      if (handle instanceof Promise) handle.then(giveUp, () => undefined);
      else giveUp(unpackBytes(handle));
    }
  }
}

function keyOf({ identity }: KeyMaterial): string {
  return identity.version;
}

/** Handles made from other bytes than these are not this key's. */
function isSameBlob(a: KeyMaterial, b: KeyMaterial): boolean {
  return (
    a === b ||
    (a.sealed.blob === b.sealed.blob && a.sealed.macBlob === b.sealed.macBlob && samePublic(a, b))
  );
}

function samePublic({ publicKey: a }: KeyMaterial, { publicKey: b }: KeyMaterial): boolean {
  if (a === undefined || b === undefined) return a === b;
  const [ofA, ofB] = [publicMembers(a), publicMembers(b)];
  return a.keyType === b.keyType && same(ofA[0], ofB[0]) && same(ofA[1], ofB[1]);
}

function same(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return Buffer.compare(a, b) === 0;
}

function hasLoaded({ verifying, handles }: Entry, part: KeyPart): boolean {
  const handle = handles[part];
  return verifying === undefined && handle !== undefined && !(handle instanceof Promise);
}
