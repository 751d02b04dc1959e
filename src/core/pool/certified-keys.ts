import { createHash } from 'node:crypto';
import type { AuditedChange } from '../audit/record.ts';
import { AuditDraft } from '../audit/draft.ts';
import type { Hsm } from '../keys/hsm.ts';
import type { KeyRelease } from '../release/key-release.ts';
import type {
  KeyMaterial,
  KeyName,
  KeyVersionId,
  PublicKey,
  VerifiedMaterial,
} from '../keys/key.ts';
import type { ChangeFeed } from '../caching/change-feed.ts';
import type { Clock } from '../clock.ts';
import { signJws } from '../jws.ts';

/** `root` certifies the others, which sign what their names say. */
export type CertifiedKeyPurpose = 'root' | 'release' | 'attestation' | 'audit';
type SigningPurpose = Exclude<CertifiedKeyPurpose, 'root'>;

interface CertifiedKey<Material extends KeyMaterial = KeyMaterial> {
  readonly purpose: CertifiedKeyPurpose;
  readonly material: Material;
  /** DER. */
  readonly certificate: Uint8Array;
}

type IntactKey = CertifiedKey<VerifiedMaterial>;

export interface CertifiedKeyStore {
  /** The one of that version, or the newest of that purpose. */
  findCertifiedKey(
    purpose: CertifiedKeyPurpose,
    version?: string,
  ): Promise<CertifiedKey | undefined>;
  /** Adds a key; false for a second root, of which nothing is kept. */
  insertCertifiedKey(key: CertifiedKey, change: AuditedChange): Promise<boolean>;
}

/** What becomes of a key's certificate; `sign` is RS256 (RFC 7518 §3.3) by its issuer, over bytes. */
export interface CertificateRequest {
  readonly commonName: string;
  readonly poolId: string;
  readonly publicKey: PublicKey & { readonly keyType: 'RSA-HSM' };
  readonly now: Date;
  /** Absent: it certifies itself, as the authority of others. DER. */
  readonly issuer?: Uint8Array;
  readonly sign: (bytes: Uint8Array) => Promise<Uint8Array>;
}

export interface Certificates {
  /** X.509 v3 (RFC 5280), DER. */
  make(request: CertificateRequest): Promise<Uint8Array>;
  /** Undefined for a certificate of another key than this, or one that `issuer` has not signed. */
  expiryOf(
    certificate: Uint8Array,
    publicKey: PublicKey,
    issuer: PublicKey | undefined,
  ): Date | undefined;
}

/** Signs statements; the chain is DER, the signer's certificate first and the root last. */
export interface JwsSigner {
  readonly chain: readonly Uint8Array[];
  /** A compact JWS (RFC 7515 §7.1), RS256, with the chain in its header. */
  sign(payload: object, type?: string): Promise<string>;
}

export interface CertifiedKeys {
  signer(purpose: SigningPurpose): Promise<JwsSigner>;
  /**
   * The payload of a statement that a key of this pool and purpose has signed, be it an old one; undefined for anything
   * else. The HSM checks, and that the key is one of its own.
   */
  verify(purpose: SigningPurpose, statement: string): Promise<unknown>;
}

export interface CertifiedKeysParts {
  readonly hsm: Hsm & Pick<KeyRelease, 'requireIntact'>;
  readonly store: CertifiedKeyStore;
  readonly certificates: Certificates;
  readonly pool: { readonly id: string; readonly name: string };
  readonly newVersionId: () => KeyVersionId;
  readonly newGuid: () => string;
  readonly clock: Clock;
  /** By which a service hears that its keys were wrapped by other root keys; a command asks once and ends. */
  readonly feed?: Pick<ChangeFeed, 'subscribe'>;
}

const COMMON_NAME: Readonly<Record<CertifiedKeyPurpose, string>> = {
  root: 'attestation root',
  release: 'key release',
  attestation: 'key attestation',
  audit: 'audit log',
};
/** The root outlives what it certifies by far. */
const BITS = { root: 3072, release: 2048, attestation: 2048, audit: 2048 } as const;
/** How long before its end a certificate is renewed: what it signs must be good for a while. */
const RENEW_BEFORE_MS = 90 * 86_400_000;
/** Another process may have renewed it. */
const LOOK_AGAIN_AFTER_MS = 3_600_000;
/** Keys by which old statements are checked; a new one is made every few years. */
const MATERIALS_LIMIT = 50;

interface Held {
  readonly signer: JwsSigner;
  readonly lookAgainAt: number;
}

/**
 * The keys behind what a pool states: made in the HSM when they are first needed, used there, and certified by a root of
 * the pool's own, which whoever relies on statements has to know. Several processes may come to make a leaf at once, which
 * does no harm; of roots the store keeps one.
 */
export function createCertifiedKeys(parts: CertifiedKeysParts): CertifiedKeys {
  const { hsm, store, certificates, pool, newVersionId, newGuid, clock } = parts;
  const held = new Map<SigningPurpose, Held>();
  const materials = new Map<string, VerifiedMaterial>();
  const underWay = new Map<SigningPurpose, Promise<JwsSigner>>();
  /** How often the store has changed what was read of it. */
  let changes = 0;
  parts.feed?.subscribe((change) => {
    if (change !== 'reset' && change.topic !== 'root-keys') return;
    changes += 1;
    held.clear();
    materials.clear();
    underWay.clear();
  });

  function rs256(material: KeyMaterial, bytes: Uint8Array): Promise<Uint8Array> {
    return hsm.sign(material, 'RS256', createHash('sha256').update(bytes).digest());
  }

  async function make(purpose: CertifiedKeyPurpose, issuer?: IntactKey): Promise<void> {
    const material = await hsm.generateKey(
      {
        pool: pool.id,
        // No key of the pool can have such a name, so none can be put in this one's place.
        name: `~${purpose}` as KeyName,
        version: newVersionId(),
        operations: ['sign'],
        exportable: false,
        origin: 'generated',
      },
      { keyType: 'RSA-HSM', bits: BITS[purpose], publicExponent: 65537 },
    );
    const { publicKey } = material;
    if (publicKey?.keyType !== 'RSA-HSM') throw new TypeError('the HSM made no RSA key');
    const certificate = await certificates.make({
      commonName: `Strongroom pool ${pool.name} ${COMMON_NAME[purpose]}`,
      poolId: pool.id,
      publicKey,
      now: clock.now(),
      ...(issuer !== undefined && { issuer: issuer.certificate }),
      sign: (bytes) => rs256(issuer?.material ?? material, bytes),
    });
    const change = new AuditDraft(() => clock.now(), {
      requestId: newGuid(),
      operation: 'StatementKeyCreate',
    });
    change.note({ change: { after: { purpose, version: material.identity.version } } });
    await store.insertCertifiedKey({ purpose, material, certificate }, change);
  }

  /**
   * Undefined for a key that is not there, or whose certificate ends soon. The certificate isn't sealed: it must be of the
   * sealed key, by the pool's own root.
   */
  async function find(
    purpose: CertifiedKeyPurpose,
    issuer?: IntactKey,
  ): Promise<IntactKey | undefined> {
    const found = await store.findCertifiedKey(purpose);
    if (found === undefined) return undefined;
    const { certificate } = found;
    const material = await hsm.requireIntact(found.material);
    const { publicKey } = material;
    const expiry =
      publicKey &&
      certificates.expiryOf(certificate, publicKey, (issuer?.material ?? material).publicKey);
    if (expiry === undefined)
      throw new Error(`the certificate of the ${purpose} key belongs to another key, or issuer`);
    const isGood = expiry.getTime() - clock.now().getTime() > RENEW_BEFORE_MS;
    return isGood ? { ...found, material } : undefined;
  }

  async function ensure(purpose: CertifiedKeyPurpose, issuer?: IntactKey): Promise<IntactKey> {
    const found = await find(purpose, issuer);
    if (found !== undefined) return found;
    await make(purpose, issuer);
    const made = await find(purpose, issuer);
    if (made === undefined) throw new Error(`there is no good ${purpose} key`);
    return made;
  }

  async function prepare(purpose: SigningPurpose): Promise<JwsSigner> {
    const asOf = changes;
    const root = await ensure('root');
    const { material, certificate } = await ensure(purpose, root);
    const signer = toSigner(material, [certificate, root.certificate], rs256, purpose !== 'audit');
    const lookAgainAt = clock.now().getTime() + LOOK_AGAIN_AFTER_MS;
    // What was read before a change may be wrapped by root keys that are about to go.
    if (asOf === changes) held.set(purpose, { signer, lookAgainAt });
    return signer;
  }

  async function materialOf(purpose: SigningPurpose, version: string) {
    const known = materials.get(version);
    if (known !== undefined) return known;
    const asOf = changes;
    const found = await store.findCertifiedKey(purpose, version);
    if (found === undefined) return undefined;
    const material = await hsm.requireIntact(found.material);
    if (asOf === changes && materials.size < MATERIALS_LIMIT) materials.set(version, material);
    return material;
  }

  return {
    async signer(purpose) {
      const ready = held.get(purpose);
      if (ready !== undefined && clock.now().getTime() < ready.lookAgainAt) return ready.signer;
      const known = underWay.get(purpose);
      if (known !== undefined) return known;
      const started = prepare(purpose).finally(() => {
        if (underWay.get(purpose) === started) underWay.delete(purpose);
      });
      underWay.set(purpose, started);
      return started;
    },

    async verify(purpose, statement) {
      const [header, payload, signature, ...more] = statement.split('.').map(fromBase64url);
      if (
        header === undefined ||
        payload === undefined ||
        signature === undefined ||
        more.length > 0
      )
        return undefined;
      const { alg, kid } = (parseJson(header) ?? {}) as Readonly<Record<string, unknown>>;
      if (alg !== 'RS256' || typeof kid !== 'string') return undefined;
      const material = await materialOf(purpose, kid);
      if (material === undefined) return undefined;
      const signed = Buffer.from(statement.slice(0, statement.lastIndexOf('.')));
      const digest = createHash('sha256').update(signed).digest();
      const isGenuine = await hsm.verify(material, 'RS256', digest, signature);
      return isGenuine ? parseJson(payload) : undefined;
    },
  };
}

function fromBase64url(text: string): Buffer {
  return Buffer.from(text, 'base64url');
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString()) as unknown;
  } catch {
    return undefined;
  }
}

function toSigner(
  material: KeyMaterial,
  chain: readonly Uint8Array[],
  rs256: (material: KeyMaterial, bytes: Uint8Array) => Promise<Uint8Array>,
  embedsChain: boolean,
): JwsSigner {
  const [leaf = new Uint8Array()] = chain;
  const header = {
    alg: 'RS256',
    kid: material.identity.version,
    // Base64, not base64url (RFC 7515 §4.1.6). There are many checkpoints of the audit log: they name their key only.
    ...(embedsChain && {
      x5c: chain.map((certificate) => Buffer.from(certificate).toString('base64')),
    }),
    'x5t#S256': createHash('sha256').update(leaf).digest('base64url'),
  };
  return {
    chain,
    sign: (payload, type) =>
      signJws({ ...header, ...(type !== undefined && { typ: type }) }, payload, (bytes) =>
        rs256(material, bytes),
      ),
  };
}
