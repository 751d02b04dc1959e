/**
 * By what a pool may be used though its HSM can be lost: a security domain that its custodians keep; copies that the HSM
 * keeps by itself, as its operator has said; or because it was made for development. `none`: by nothing yet.
 */
export type Activation = 'none' | 'domain' | 'hsm' | 'embedded';

/** Whether key operations are served. @param activation undefined for a pool from before there were security domains */
export function isActive(activation: Activation | undefined): boolean {
  return activation !== 'none';
}
