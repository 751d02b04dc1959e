import { createHash } from 'node:crypto';
import { type Hsm } from './hsm.ts';
import { type KeyMaterial, type KeyVersionId, parseKeyName } from './key.ts';
import { type SigningKeyStore } from './ports.ts';

const NAME = parseKeyName('directory-signing');

/** A public key of the directory, as JWK (RFC 7517); `kid` names the key that signed a token. */
export interface DirectoryKey {
  readonly kid: string;
  readonly n: Uint8Array;
  readonly e: Uint8Array;
}

export interface SigningKeys {
  /** Makes the first key where there is none. The caller lets no other process do the same meanwhile. */
  ensure(): Promise<void>;
  /** The keys by which tokens are to be checked, newest first; `sought` makes it look for a key it doesn't know yet. */
  publicKeys(sought?: string): Promise<readonly DirectoryKey[]>;
  /** The key that signs now. */
  currentKeyId(): Promise<string>;
  /** RS256 (RFC 7518 §3.3) over the bytes, by the key of that id, inside the HSM. */
  sign(keyId: string, bytes: Uint8Array): Promise<Uint8Array>;
}

export interface SigningKeysParts {
  readonly hsm: Hsm;
  readonly store: SigningKeyStore;
  readonly poolId: string;
  readonly newVersionId: () => KeyVersionId;
  /** Milliseconds on any steady clock. */
  readonly steadyMs: () => number;
}

/** Another process may have made a newer key: how old what we know of them may be. */
const REFRESH_AFTER_MS = 60_000;
/** A token names a key that isn't known: it may be new. Made-up names must not cost a query each. */
const LOOK_AGAIN_AFTER_MS = 1_000;

/** The keys that sign the directory's tokens: made and used inside the HSM, and sealed like the pool's keys. */
export function createSigningKeys(parts: SigningKeysParts): SigningKeys {
  const { hsm, store, poolId, newVersionId, steadyMs } = parts;
  let known: readonly KeyMaterial[] = [];
  let readAt = Number.NEGATIVE_INFINITY;
  let reading: Promise<readonly KeyMaterial[]> | undefined;

  async function keys(sought?: string): Promise<readonly KeyMaterial[]> {
    const isKnown =
      sought === undefined || known.some(({ identity }) => identity.version === sought);
    const limit = isKnown ? REFRESH_AFTER_MS : LOOK_AGAIN_AFTER_MS;
    if (known.length > 0 && steadyMs() - readAt <= limit) return known;
    // Those who come while it is read wait for the same answer.
    reading ??= read().finally(() => {
      reading = undefined;
    });
    return reading;
  }

  async function read(): Promise<readonly KeyMaterial[]> {
    known = await store.listSigningKeys();
    readAt = steadyMs();
    return known;
  }

  return {
    async ensure() {
      if ((await store.listSigningKeys()).length > 0) return;
      const material = await hsm.generateKey(
        {
          pool: poolId,
          name: NAME,
          version: newVersionId(),
          operations: ['sign', 'verify'],
          exportable: false,
          origin: 'generated',
        },
        { keyType: 'RSA-HSM', bits: 2048, publicExponent: 65537 },
      );
      await store.insertSigningKey(material);
    },

    async publicKeys(sought) {
      return (await keys(sought)).flatMap(({ identity, publicKey }) =>
        publicKey?.keyType === 'RSA-HSM'
          ? [{ kid: identity.version, n: publicKey.n, e: publicKey.e }]
          : [],
      );
    },

    async currentKeyId() {
      const [newest] = await keys();
      if (newest === undefined) throw new Error('the directory has no signing key');
      return newest.identity.version;
    },

    async sign(keyId, bytes) {
      const material = (await keys(keyId)).find(({ identity }) => identity.version === keyId);
      if (material === undefined) throw new Error('the directory has no such signing key');
      return hsm.sign(material, 'RS256', createHash('sha256').update(bytes).digest());
    },
  };
}
