import { ServiceError } from '../../errors.ts';
import type { Hsm } from '../../keys/hsm.ts';
import type { KeyMaterial } from '../../keys/key.ts';
import type { UnwrapContentKey } from './ports.ts';

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
