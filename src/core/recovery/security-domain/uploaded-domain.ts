import { createHmac, timingSafeEqual } from 'node:crypto';
import { unpackBytes } from '../../keys/packed-bytes.ts';
import type { ImportedRootKeys, SecurityDomainStore } from './ports.ts';

/** What an HSM proves uploads by. */
export interface UploadProver {
  /** 32 bytes that this pool's HSM alone gives, whatever its root keys are. */
  uploadKey(): Promise<Uint8Array>;
}

/**
 * Says that this pool has taken the domain from its custodians: whoever can only write rows opens nobody's backups by them,
 * though the HSM may hold that pool's root keys.
 */
export async function proveUpload(
  hsm: UploadProver,
  { poolId, generation, rootCheck, backupKeys }: ImportedRootKeys,
): Promise<Uint8Array> {
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
  const pairs = backupKeys.map(({ identity: { version }, sealed }) => [
    version,
    ...[sealed.blob, sealed.macBlob, sealed.seal].map((bytes) =>
      bytes === undefined ? null : hex(unpackBytes(bytes)),
    ),
  ]);
  return createHmac('sha256', await hsm.uploadKey())
    .update(JSON.stringify([poolId, generation, hex(rootCheck), pairs]))
    .digest();
}

/** The uploaded domain; undefined where there is none, or where its rows aren't what the service has written. */
export async function findProvenUpload(
  hsm: UploadProver,
  store: Pick<SecurityDomainStore, 'findUpload'>,
): Promise<ImportedRootKeys | undefined> {
  const found = await store.findUpload();
  if (found?.proof === undefined) return undefined;
  const { proof, ...domain } = found;
  const wanted = await proveUpload(hsm, domain);
  return proof.length === wanted.length && timingSafeEqual(proof, wanted) ? domain : undefined;
}
