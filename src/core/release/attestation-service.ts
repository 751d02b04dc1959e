import { createHash, createPublicKey } from 'node:crypto';
import { CURVE, type ParameterSet } from '../operations/algorithms.ts';
import type { KeyReference, Recorder } from '../operations/crypto-service.ts';
import type { KeyInspector } from './key-inspection.ts';
import type { KeyMaterial, VerifiedKey, VerifiedMaterial } from '../keys/key.ts';
import { keyNotFound } from '../keys/key-refusals.ts';
import { memberOf } from '../keys/key-shape.ts';
import { mlDsaPublicKeyInfo } from '../keys/ml-dsa-encoding.ts';
import type { Clock } from '../clock.ts';
import type { KeyReader } from '../keys/ports.ts';
import type { CertifiedKeys } from '../pool/certified-keys.ts';

/** The form of the statements; see the README for their members. */
export const ATTESTATION_VERSION = 'STRONGROOM-1';
const TYPE = 'strongroom-key-attestation+jwt';

export interface KeyAttestation {
  readonly key: VerifiedKey;
  /** DER, the signer's certificate first and the pool's root last. */
  readonly certificates: readonly Uint8Array[];
  /** Compact JWS. */
  readonly privateStatement: string;
  /** Absent for AES keys, which have no public half. */
  readonly publicStatement?: string;
}

export interface AttestationServiceParts {
  readonly hsm: KeyInspector;
  readonly keys: Pick<KeyReader<VerifiedKey>, 'findKey'>;
  readonly certifiedKeys: CertifiedKeys;
  readonly pool: { readonly id: string; readonly name: string };
  readonly clock: Clock;
}

export type AttestationService = ReturnType<typeof createAttestationService>;

/** Statements about keys for those who were not there: what the HSM says of a key, signed inside it. */
export function createAttestationService(parts: AttestationServiceParts) {
  const { hsm, keys, certifiedKeys: statements, pool, clock } = parts;
  return {
    /**
     * @param keyIdOf the key's identifier as the caller knows it
     * @throws ServiceError KeyNotFound, KeyIntegrityViolation, and what KeyInspector throws
     */
    async attest(
      reference: KeyReference,
      keyIdOf: (material: KeyMaterial) => string,
      note: Recorder,
    ): Promise<KeyAttestation> {
      note({ keyName: reference.name });
      const key = await keys.findKey(reference.name, reference.version);
      if (key === undefined) throw keyNotFound(reference.name, reference.version);
      const { material } = key;
      const { identity, spec } = material;
      note({ keyName: identity.name, keyVersion: identity.version });
      const { object, module, publicHalfMatches } = await hsm.inspect(material);
      const publicDigest = publicKeyDigest(material);
      const common = {
        iat: Math.floor(clock.now().getTime() / 1000),
        version: ATTESTATION_VERSION,
        kid: keyIdOf(material),
        pool: { ...pool, rootGeneration: material.sealed.rootGeneration },
        key: {
          name: identity.name,
          version: identity.version,
          kty: spec.keyType,
          ...memberOf(spec),
          ...(publicDigest !== undefined && { publicKeySha256: publicDigest }),
        },
        module,
      };
      const signer = await statements.signer('attestation');
      const privateStatement = await signer.sign(
        {
          ...common,
          subject: 'private',
          object,
          // From the record that the HSM has sealed when the key came to be, verified there just now.
          sealed: {
            origin: identity.origin,
            exportable: identity.exportable,
            operations: identity.operations,
            ...(identity.releasePolicy !== undefined && {
              releasePolicySha256: sha256(Buffer.from(identity.releasePolicy.data)),
              releasePolicyImmutable: identity.releasePolicy.immutable,
            }),
          },
        },
        TYPE,
      );
      return {
        key,
        certificates: signer.chain,
        privateStatement,
        ...(publicDigest !== undefined && {
          publicStatement: await signer.sign(
            { ...common, subject: 'public', matchesPrivateKey: publicHalfMatches },
            TYPE,
          ),
        }),
      };
    },
  };
}

/** SHA-256 of the SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) in base64url: `openssl pkey -pubin -outform DER | sha256sum`. */
function publicKeyDigest({ publicKey, spec }: VerifiedMaterial): string | undefined {
  if (publicKey === undefined) return undefined;
  if (publicKey.keyType === 'AKP-HSM')
    return sha256(mlDsaPublicKeyInfo(parameterSetOf(spec), publicKey.pub));
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url');
  const jwk =
    publicKey.keyType === 'RSA-HSM'
      ? { kty: 'RSA', n: text(publicKey.n), e: text(publicKey.e) }
      : { kty: 'EC', crv: curveName(spec), x: text(publicKey.x), y: text(publicKey.y) };
  return sha256(
    createPublicKey({ key: jwk, format: 'jwk' }).export({ format: 'der', type: 'spki' }),
  );
}

function parameterSetOf(spec: KeyMaterial['spec']): ParameterSet {
  if (spec.keyType !== 'AKP-HSM') throw new TypeError('an ML-DSA key of another type');
  return spec.parameterSet;
}

function curveName(spec: KeyMaterial['spec']): string {
  if (spec.keyType !== 'EC-HSM') throw new TypeError('an EC key of another type');
  return CURVE[spec.curve].jwk;
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('base64url');
}
