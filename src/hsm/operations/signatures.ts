import { CURVE, ML_DSA, type SigningAlgorithm } from '../../core/operations/algorithms.ts';
import type { SigningParameters } from '../../core/keys/hsm.ts';
import type { KeySpec } from '../../core/keys/key.ts';
import { type Handle, type ModuleSession, verify } from '../module/calls.ts';
import { decryptionFailed, faultOf } from '../module/errors.ts';
import { SIGNING, signingMechanism } from './mechanisms.ts';

const MAC_BYTES: Readonly<Partial<Record<SigningAlgorithm, number>>> = {
  HS256: 32,
  HS384: 48,
  HS512: 64,
};

/** Whether a signature has the one length that signatures of this key and algorithm have. */
export function signatureFits(
  spec: KeySpec,
  algorithm: SigningAlgorithm,
  signature: Uint8Array,
): boolean {
  switch (spec.keyType) {
    case 'RSA-HSM':
      return signature.length === spec.bits / 8;
    case 'EC-HSM':
      return signature.length === 2 * CURVE[spec.curve].bytes;
    case 'oct-HSM':
      return signature.length === MAC_BYTES[algorithm];
    case 'AKP-HSM':
      return signature.length === ML_DSA[spec.parameterSet].signatureBytes;
  }
}

/**
 * Verifies in the HSM; the signature's length has been checked.
 * @throws ServiceError DecryptionFailed where the module refuses the signature by an answer that a lost token may give as
 * well (SoftHSM 2.6.1 says CKR_GENERAL_ERROR to RSA signatures that aren't below the modulus): it isn't valid if the token is well
 */
export function verifySignature(
  session: ModuleSession,
  key: Handle,
  algorithm: SigningAlgorithm,
  digest: Uint8Array,
  signature: Uint8Array,
  parameters: SigningParameters | undefined,
): boolean {
  const mechanism = signingMechanism(SIGNING[algorithm], parameters);
  const { input } = SIGNING[algorithm];
  const progress = { hasBegun: false };
  try {
    return verify(session, mechanism, key, input(digest), Buffer.from(signature), () => {
      progress.hasBegun = true;
    });
  } catch (error) {
    const fault = progress.hasBegun ? faultOf(error) : undefined;
    if (fault === 'input') return false;
    throw fault === undefined ? error : decryptionFailed(error);
  }
}
