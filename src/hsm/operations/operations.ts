import graphene, { type Key, type Session } from 'graphene-pk11';
import {
  type CipherAlgorithm,
  type Curve,
  type SigningAlgorithm,
} from '../../core/operations/algorithms.ts';
import { type Ciphertext, type CipherParameters } from '../../core/keys/hsm.ts';
import { type RecipientKey, type ReleaseWrap } from '../../core/release/key-release.ts';
import { type LoadedObject } from '../../core/release/key-inspection.ts';
import {
  type KeyIdentity,
  type KeyMaterial,
  type KeySpec,
  type PublicKey,
} from '../../core/keys/key.ts';
import { type PlainKey } from '../../core/keys/import/plain-key.ts';
import { type SecureWrapAlgorithm } from '../../core/release/secure-wrap.ts';
import { type Capabilities } from '../module/capabilities.ts';
import { CIPHERS } from './ciphers.ts';
import * as direct from '../module/calls.ts';
import { emptyMessage } from './empty-message.ts';
import { returnValue } from '../module/return-values.ts';
import { type GeneratedKey, generateWrapped } from '../keys/key-generation.ts';
import { type ImportedKey, importPlain, importTransferred } from '../keys/key-import.ts';
import { describeObject } from '../keys/key-inspection.ts';
import { releaseKey } from '../keys/key-release.ts';
import { HMAC_SHA256, KEY_WRAP_PADDED, SIGNING } from './mechanisms.ts';
import { type NativeCalls } from '../module/native-calls.ts';
import { type RootKeys } from '../keys/root-keys.ts';
import { type PooledSession } from '../module/session-pool.ts';
import { rewrapForRecipient, wrapFreshKey } from './secure-wrap.ts';
import { verifySignature } from './signatures.ts';
import { loadedMac, loadedPrivate, loadedPublic } from '../keys/templates.ts';

/** RSA-4096's. */
const SIGNATURE_LIMIT_BYTES = 512;
/** Of HMAC-SHA256. */
const MAC_BYTES = 32;

/** Where work is done: a leased session, in the thread that it belongs to. */
export interface OperationContext {
  readonly session: Session;
  /** Owns the keys that are loaded: session objects vanish with their session, and this one isn't given up before the connection is. */
  readonly keeper: () => Session;
  readonly calls: NativeCalls;
  readonly capabilities: Capabilities;
  readonly isSoftware: boolean;
  readonly keyGenerationDeadlineMs: number;
}

/** All that is done on a session, by name, so that it can be done in another thread: each from its Init to its final call. */
const OPERATIONS = {
  encrypt(
    { session, calls, capabilities }: OperationContext,
    key: Key,
    spec: KeySpec,
    algorithm: CipherAlgorithm,
    plaintext: Uint8Array,
    parameters: CipherParameters,
  ): Promise<Ciphertext> {
    return CIPHERS[algorithm].encrypt(
      { session, key, spec, calls, capabilities },
      Buffer.from(plaintext),
      parameters,
    );
  },

  decrypt(
    { session, calls, capabilities }: OperationContext,
    key: Key,
    spec: KeySpec,
    algorithm: CipherAlgorithm,
    ciphertext: Ciphertext,
    parameters: CipherParameters,
  ): Promise<Buffer> {
    return CIPHERS[algorithm].decrypt(
      { session, key, spec, calls, capabilities },
      ciphertext,
      parameters,
    );
  },

  sign(
    { session, calls }: OperationContext,
    key: Key,
    spec: KeySpec,
    algorithm: SigningAlgorithm,
    digest: Uint8Array,
  ): Promise<Buffer> {
    const { mechanism, input, label: mechanismLabel, expected } = SIGNING[algorithm];
    const label = spec.keyType === 'RSA-HSM' ? `${mechanismLabel} ${spec.bits}` : mechanismLabel;
    const data = input(digest);
    if (data.length === 0)
      return calls.run(
        `sign ${label}`,
        expected,
        emptyMessage(() => session.createSign(mechanism, key).final()),
      );
    return calls.run(`sign ${label}`, expected, {
      inline: () => direct.sign(session, mechanism, key, data, SIGNATURE_LIMIT_BYTES),
      offLoop: (done) => {
        session.createSign(mechanism, key).once(data, done);
      },
    });
  },

  verify(
    { session, calls }: OperationContext,
    key: Key,
    algorithm: SigningAlgorithm,
    digest: Uint8Array,
    signature: Uint8Array,
  ): Promise<boolean> {
    return verifySignature(session, key, calls, algorithm, digest, signature);
  },

  random({ session }: OperationContext, count: number): Promise<Buffer> {
    return Promise.resolve(session.generateRandom(count));
  },

  generate(
    site: OperationContext,
    rootKeys: RootKeys,
    identity: KeyIdentity,
    spec: KeySpec,
  ): Promise<GeneratedKey> {
    return generateWrapped(generationAt(site, rootKeys), identity, spec);
  },

  importPlain(
    site: OperationContext,
    rootKeys: RootKeys,
    identity: KeyIdentity,
    key: PlainKey,
  ): Promise<ImportedKey> {
    return importPlain(generationAt(site, rootKeys), identity, key);
  },

  importTransferred(
    site: OperationContext,
    rootKeys: RootKeys,
    identity: KeyIdentity,
    exchangeKey: Key,
    modulusBytes: number,
    wrapped: Uint8Array,
    expected: { readonly keyType: KeySpec['keyType']; readonly curve?: Curve },
  ): Promise<ImportedKey> {
    return importTransferred(
      { ...generationAt(site, rootKeys), isSoftware: site.isSoftware },
      identity,
      exchangeKey,
      modulusBytes,
      Buffer.from(wrapped),
      expected,
    );
  },

  wrapForRecipient(
    { session, calls, capabilities, isSoftware }: OperationContext,
    rootKeys: RootKeys,
    material: KeyMaterial,
    recipient: RecipientKey,
    wrap: ReleaseWrap,
  ): Promise<Buffer> {
    return releaseKey(
      { session, rootKeys, calls, capabilities, isSoftware },
      material,
      recipient,
      wrap,
    );
  },

  wrapFreshKey(
    { session, calls, capabilities, isSoftware }: OperationContext,
    rootKeys: RootKeys,
    material: KeyMaterial,
    algorithm: SecureWrapAlgorithm,
  ): Promise<Buffer> {
    const context = { session, rootKeys, calls, capabilities, isSoftware };
    return wrapFreshKey(context, material, algorithm);
  },

  rewrapForRecipient(
    { session, calls, capabilities, isSoftware }: OperationContext,
    rootKeys: RootKeys,
    material: KeyMaterial,
    algorithm: SecureWrapAlgorithm,
    wrapped: Uint8Array,
    recipient: RecipientKey,
  ): Promise<Buffer> {
    return rewrapForRecipient(
      { session, rootKeys, calls, capabilities, isSoftware },
      material,
      algorithm,
      Buffer.from(wrapped),
      recipient,
    );
  },

  describe(_site: OperationContext, key: Key): Promise<LoadedObject> {
    return Promise.resolve(describeObject(key));
  },

  /** HMAC-SHA256 by `root-seal`. */
  mac({ session, calls }: OperationContext, { seal }: RootKeys, data: Buffer): Promise<Buffer> {
    return calls.run('sign seal', 'fast', {
      inline: () => direct.sign(session, HMAC_SHA256, seal, data, MAC_BYTES),
      offLoop: (done) => {
        session.createSign(HMAC_SHA256, seal).once(data, done);
      },
    });
  },

  async verifyMac(
    { session, calls }: OperationContext,
    { seal }: RootKeys,
    data: Buffer,
    mac: Buffer,
  ): Promise<boolean> {
    try {
      return await calls.run('verify seal', 'fast', {
        inline: () => direct.verify(session, HMAC_SHA256, seal, data, mac),
        offLoop: (done) => {
          session.createVerify(HMAC_SHA256, seal).once(data, mac, done);
        },
      });
    } catch (error) {
      if (returnValue(error) === 'CKR_SIGNATURE_INVALID') return false;
      throw error;
    }
  },

  /** A private or secret key, or the companion secret of an AES key. */
  load(
    { keeper, calls }: OperationContext,
    rootKeys: RootKeys,
    identity: KeyIdentity,
    spec: KeySpec,
    part: 'private' | 'mac',
    blob: Buffer,
  ): Promise<Key> {
    const owner = keeper();
    const template = part === 'private' ? loadedPrivate(identity, spec) : loadedMac(identity);
    return calls.run(`load ${spec.keyType}`, spec.keyType === 'oct-HSM' ? 'fast' : 'brief', {
      inline: () => {
        const attributes = direct.toAttributes(template);
        const handle = direct.unwrap(owner, KEY_WRAP_PADDED, rootKeys.wrap, blob, attributes);
        return new graphene.Key(handle, owner, owner.lib);
      },
      offLoop: (done) => {
        owner.unwrapKey(KEY_WRAP_PADDED, rootKeys.wrap, blob, template, done);
      },
    });
  },

  loadPublic({ keeper }: OperationContext, spec: KeySpec, publicKey: PublicKey): Promise<Key> {
    return Promise.resolve(keeper().create(loadedPublic(spec, publicKey)).toType<Key>());
  },

  destroy(_site: OperationContext, key: Key): Promise<void> {
    key.destroy();
    return Promise.resolve();
  },
};

function generationAt(
  { session, calls, keyGenerationDeadlineMs }: OperationContext,
  rootKeys: RootKeys,
): Parameters<typeof generateWrapped>[0] {
  return { session, rootKeys, calls, deadlineMs: keyGenerationDeadlineMs };
}

export type OperationName = keyof typeof OPERATIONS;
/** What a piece of work is given besides its site. */
export type Input<Name extends OperationName> =
  Parameters<(typeof OPERATIONS)[Name]> extends [OperationContext, ...infer Rest] ? Rest : never;
export type Output<Name extends OperationName> = Awaited<ReturnType<(typeof OPERATIONS)[Name]>>;

/** A session as the pool leases it, and the place where it is worked on. */
export interface OperationSession extends PooledSession {
  run<Name extends OperationName>(name: Name, ...given: Input<Name>): Promise<Output<Name>>;
}

/** Runs work by its name, at a site of this thread. */
export function runOperation<Name extends OperationName>(
  site: OperationContext,
  name: Name,
  given: Input<Name>,
): Promise<Output<Name>> {
  const work = OPERATIONS[name] as (
    site: OperationContext,
    ...given: unknown[]
  ) => Promise<Output<Name>>;
  return work(site, ...given);
}

/** A session of this thread. */
export function inlineSession(site: OperationContext): OperationSession {
  return {
    run: (name, ...given) => runOperation(site, name, given),
    close: () => {
      site.session.close();
    },
  };
}
