import { createHash } from 'node:crypto';
import type { AuditedChange } from '../../audit/record.ts';
import type { Clock } from '../../clock.ts';
import { ServiceError } from '../../errors.ts';
import type { Hsm } from '../../keys/hsm.ts';
import type { KeyMaterial, KeyVersionId, VerifiedMaterial } from '../../keys/key.ts';
import type { RsaSize } from '../../operations/algorithms.ts';
import type { Certificates } from '../../pool/certified-keys.ts';
import type { KeyRelease } from '../../release/key-release.ts';
import type { SecurityDomainStore } from './ports.ts';
import type { UnwrapContentKey } from './envelopes.ts';
import { TRANSFER_KEY } from './transfer-key.ts';
import { readRsaCertificate, type RsaCertificate } from './rsa-certificate.ts';

export interface TransferKeysParts {
  readonly hsm: Pick<Hsm, 'generateKey' | 'sign'> & Pick<KeyRelease, 'requireIntact'>;
  readonly store: Pick<SecurityDomainStore, 'findTransferKey' | 'putTransferKey'>;
  readonly certificates: Certificates;
  readonly poolId: string;
  /** Of the key; Managed HSM's has 4,096. */
  readonly bits: RsaSize;
  readonly newVersionId: () => KeyVersionId;
  readonly clock: Clock;
}

export type TransferKeys = ReturnType<typeof createTransferKeys>;

/** Custodians may have to be brought together first. */
const LIFETIME_MS = 14 * 86_400_000;

/** The key to which a security domain is encrypted for this pool. It is made in the HSM, and good for one upload. */
export function createTransferKeys(parts: TransferKeysParts) {
  const { hsm, store, certificates, poolId, bits, newVersionId, clock } = parts;

  /** Undefined where another process was faster. */
  async function make(change: AuditedChange): Promise<RsaCertificate | undefined> {
    const material = await hsm.generateKey(
      { ...TRANSFER_KEY.identity, pool: poolId, version: newVersionId() },
      { keyType: 'RSA-HSM', bits, publicExponent: 65537 },
    );
    const { publicKey } = material;
    if (publicKey?.keyType !== 'RSA-HSM') throw new TypeError('the HSM made no RSA key');
    const now = clock.now();
    const der = await certificates.make({
      commonName: 'transfer-key',
      poolId,
      publicKey,
      now,
      sign: (bytes) => hsm.sign(material, 'RS256', createHash('sha256').update(bytes).digest()),
    });
    const certificate = readRsaCertificate(der);
    change.note({ change: { after: { transferKey: certificate.thumbprint } } });
    const expiresAt = new Date(now.getTime() + LIFETIME_MS);
    const isPut = await store.putTransferKey({ material, certificate: der, expiresAt }, change);
    return isPut ? certificate : undefined;
  }

  /** The certificate isn't sealed: it has to be of the sealed key. */
  async function find() {
    const found = await store.findTransferKey();
    if (found === undefined || found.expiresAt <= clock.now()) return undefined;
    const material: VerifiedMaterial = await hsm.requireIntact(found.material);
    const certificate = readRsaCertificate(found.certificate);
    if (
      material.publicKey === undefined ||
      certificates.expiryOf(found.certificate, material.publicKey, material.publicKey) === undefined
    )
      throw new Error('the certificate of the transfer key belongs to another key');
    return { material, certificate };
  }

  async function required() {
    const found = await find();
    if (found !== undefined) return found;
    throw new ServiceError(
      'BadParameter',
      'This pool has no transfer key now: get a new one, and encrypt the security domain to it.',
    );
  }

  return {
    /** The one that there is, or a new one. */
    async current(change: AuditedChange): Promise<RsaCertificate> {
      const certificate = (await find())?.certificate ?? (await make(change));
      return certificate ?? (await required()).certificate;
    },

    /** @throws ServiceError BadParameter where there is none, or only one that has expired */
    async required(): Promise<{
      readonly thumbprint: string;
      readonly material: VerifiedMaterial;
    }> {
      const { material, certificate } = await required();
      return { thumbprint: certificate.thumbprint, material };
    },
  };
}

/** Opens what was encrypted to an RSA key of the HSM, which does that inside. */
export function unwrapInHsm(hsm: Pick<Hsm, 'decrypt'>, key: KeyMaterial): UnwrapContentKey {
  return async (wrapped) => {
    try {
      return await hsm.decrypt(key, 'RSA-OAEP-256', { value: wrapped }, {});
    } catch (error) {
      if (error instanceof ServiceError && error.code === 'DecryptionFailed') return undefined;
      throw error;
    }
  };
}
