import { createHash } from 'node:crypto';
import type { AuditedChange } from '../audit/record.ts';
import { ServiceError } from '../errors.ts';
import type { Hsm } from '../keys/hsm.ts';
import type { KeyRelease } from '../release/key-release.ts';
import {
  type KeyMaterial,
  type KeyVersionId,
  parseKeyName,
  type VerifiedMaterial,
} from '../keys/key.ts';
import type { ChangeFeed } from '../caching/change-feed.ts';
import type { Clock } from '../clock.ts';
import type { TokenSigningKey, TokenSigningKeyStore } from './ports.ts';

const NAME = parseKeyName('directory-signing');

/** A public key of the directory, as JWK (RFC 7517); `kid` names the key that signed a token. */
export interface DirectoryKey {
  readonly kid: string;
  readonly n: Uint8Array;
  readonly e: Uint8Array;
}

export interface TokenSigningKeys {
  /** Makes the first key where there is none. The caller lets no other process do the same meanwhile. */
  ensure(change: AuditedChange): Promise<void>;
  /** Puts a new key after one that has grown too old; the one before that goes. False where nothing is due. */
  rotateDue(change: AuditedChange): Promise<boolean>;
  /** The keys by which tokens are to be checked, newest first; `sought` makes it look for a key it doesn't know yet. */
  publicKeys(sought?: string): Promise<readonly DirectoryKey[]>;
  /** The key that signs now. */
  currentKeyId(): Promise<string>;
  /** RS256 (RFC 7518 §3.3) over the bytes, by the key of that id, inside the HSM. */
  sign(keyId: string, bytes: Uint8Array): Promise<Uint8Array>;
}

export interface TokenSigningKeysParts {
  readonly hsm: Pick<Hsm, 'generateKey' | 'sign'> & Pick<KeyRelease, 'requireIntact'>;
  readonly store: TokenSigningKeyStore;
  readonly poolId: string;
  readonly newVersionId: () => KeyVersionId;
  /** Age at which a key is followed by a new one. */
  readonly rotateAfterDays: number;
  readonly feed: Pick<ChangeFeed, 'subscribe'>;
  readonly clock: Clock;
  /** Milliseconds on any steady clock. */
  readonly steadyMs: () => number;
  /** What the database holds as a key of the directory isn't what the HSM has sealed: it is used for nothing. */
  readonly onBroken: (keyId: string) => void;
}

/** How old what is known of the keys may be where no word of a newer one came. */
const REFRESH_AFTER_MS = 60_000;
/** A token names a key that isn't known: it may be new. Made-up names must not cost a query each. */
const LOOK_AGAIN_AFTER_MS = 1_000;
/** A new key is published for so long before it signs: those who check tokens elsewhere keep what they have read. */
const PUBLISHED_BEFORE_USE_MS = 10 * 60_000;
const DAY_MS = 86_400_000;

interface IntactKey extends TokenSigningKey {
  readonly material: VerifiedMaterial;
}

/** The keys that sign the directory's tokens: made and used inside the HSM, and sealed like the pool's keys. */
export function createTokenSigningKeys(parts: TokenSigningKeysParts): TokenSigningKeys {
  const { hsm, store, poolId, newVersionId, clock, steadyMs, onBroken } = parts;
  let known: readonly IntactKey[] = [];
  let readAt = Number.NEGATIVE_INFINITY;
  let reading: Promise<readonly IntactKey[]> | undefined;
  let isStale = false;
  parts.feed.subscribe((change) => {
    if (change === 'reset' || change.topic === 'signing-key') isStale = true;
  });

  async function keys(sought?: string): Promise<readonly IntactKey[]> {
    const isKnown = sought === undefined || known.some(({ material }) => idOf(material) === sought);
    const limit = isKnown ? REFRESH_AFTER_MS : LOOK_AGAIN_AFTER_MS;
    if (known.length > 0 && !isStale && steadyMs() - readAt <= limit) return known;
    // Those who come while it is read wait for the same answer.
    reading ??= read().finally(() => {
      reading = undefined;
    });
    return reading;
  }

  /** Whoever writes to the database must not be believed as a signer: only what the HSM has sealed is. */
  async function read(): Promise<readonly IntactKey[]> {
    // What changes meanwhile is read again.
    isStale = false;
    const intact: IntactKey[] = [];
    for (const key of await store.listSigningKeys()) {
      const material = await intactMaterial(key.material);
      if (material === undefined) onBroken(idOf(key.material));
      else intact.push({ ...key, material });
    }
    known = intact;
    readAt = steadyMs();
    return known;
  }

  async function intactMaterial(material: KeyMaterial): Promise<VerifiedMaterial | undefined> {
    if (material.identity.name !== NAME) return undefined;
    try {
      return await hsm.requireIntact(material);
    } catch (error) {
      if (error instanceof ServiceError && error.code === 'KeyIntegrityViolation') return undefined;
      throw error;
    }
  }

  const generate = () =>
    hsm.generateKey(
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
  const ageMs = ({ createdAt }: TokenSigningKey) => clock.now().getTime() - createdAt.getTime();

  return {
    async ensure(change) {
      if ((await store.listSigningKeys()).length > 0) return;
      const material = await generate();
      change.note({ change: { after: { keyId: idOf(material) } } });
      await store.insertSigningKey({ material, createdAt: clock.now() }, undefined, change);
    },

    async rotateDue(change) {
      const [newest] = await store.listSigningKeys();
      if (newest === undefined || ageMs(newest) < parts.rotateAfterDays * DAY_MS) return false;
      const before = newest.material.identity.version;
      const material = await generate();
      change.note({ change: { before: { keyId: before }, after: { keyId: idOf(material) } } });
      return store.insertSigningKey({ material, createdAt: clock.now() }, before, change);
    },

    async publicKeys(sought) {
      return (await keys(sought)).flatMap(({ material: { identity, publicKey } }) =>
        publicKey?.keyType === 'RSA-HSM'
          ? [{ kid: identity.version, n: publicKey.n, e: publicKey.e }]
          : [],
      );
    },

    async currentKeyId() {
      const [newest, before] = await keys();
      if (newest === undefined) throw new Error('the directory has no signing key');
      const isNew = before !== undefined && ageMs(newest) < PUBLISHED_BEFORE_USE_MS;
      return idOf((isNew ? before : newest).material);
    },

    async sign(keyId, bytes) {
      const key = (await keys(keyId)).find(({ material }) => idOf(material) === keyId);
      if (key === undefined) throw new Error('the directory has no such signing key');
      return hsm.sign(key.material, 'RS256', createHash('sha256').update(bytes).digest());
    },
  };
}

function idOf({ identity }: KeyMaterial): string {
  return identity.version;
}
