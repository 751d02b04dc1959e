import type { IAlgorithm } from 'graphene-pk11';
import type { ParameterSet } from '../../core/operations/algorithms.ts';
import type { SigningParameters } from '../../core/keys/hsm.ts';

/** ML-DSA (FIPS 204) in PKCS#11 v3.2 §6.67, for which the binding has no names. */

/** CKK_ML_DSA. */
export const ML_DSA_KEY_TYPE = 0x4a;
export const ML_DSA_KEY_PAIR_GEN: IAlgorithm = { name: 0x1c, params: null };
/** Also what tells modules that make no such keys from those whose keys can't be kept. */
export const ML_DSA_KEY_PAIR_GEN_NAME = 'CKM_ML_DSA_KEY_PAIR_GEN';
const CKM_ML_DSA = 0x1d;
/** Allocated for PKCS#11 3.3. */
const CKM_ML_DSA_EXTERNAL_MU = 0x403c;

/** CKP_ML_DSA_44 and so on. */
export const PARAMETER_SET_NUMBER: Readonly<Record<ParameterSet, number>> = {
  'ML-DSA-44': 1,
  'ML-DSA-65': 2,
  'ML-DSA-87': 3,
};

/** A module that can't draw random numbers fails, rather than that it signs without them (FIPS 204 §3.4). */
const CKH_HEDGE_REQUIRED = 1;

/**
 * CK_PARAMS_DES_CBC_ENCRYPT_DATA. The binding can't give CK_SIGN_ADDITIONAL_CONTEXT, which is CK_ULONG hedgeVariant,
 * CK_BYTE_PTR pContext, CK_ULONG ulContextLen; but CK_DES_CBC_ENCRYPT_DATA_PARAMS, which is CK_BYTE iv[8], CK_BYTE_PTR
 * pData, CK_ULONG length: on machines of 64 bits the same bytes.
 */
const SAME_LAYOUT = 20;
const HEDGED = Buffer.alloc(8);
HEDGED.writeUInt32LE(CKH_HEDGE_REQUIRED);

/** Signing and verifying; whether it is hedged is of no matter to the latter. */
export function mlDsaMechanism({ context, isMu }: SigningParameters = {}): IAlgorithm {
  const additional = {
    type: SAME_LAYOUT,
    iv: HEDGED,
    ...(context !== undefined && { data: Buffer.from(context) }),
  };
  return {
    name: isMu === true ? CKM_ML_DSA_EXTERNAL_MU : CKM_ML_DSA,
    params: { toCKI: () => additional },
  };
}
