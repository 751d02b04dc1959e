import type { Endorsement } from '../../src/core/recovery/root-keys/ports.ts';

/** Of a generation, as no root keys have said it. */
export function endorsementOf(...retires: readonly number[]): Endorsement {
  return { vouchers: [], retirement: { retires, proof: Buffer.alloc(32, 7) } };
}
