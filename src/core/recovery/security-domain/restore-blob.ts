import { ServiceError } from '../../errors.ts';
import {
  type DomainEntry,
  MASTER_BYTES,
  openEntries,
  type SealedEntry,
  sealEntries,
} from './domain-entries.ts';
import type { Envelopes, UnwrapContentKey } from './envelopes.ts';
import type { RsaCertificate } from './rsa-certificate.ts';
import type { RandomBytes } from './secret-sharing.ts';

/** A security domain as it is uploaded: its entries under a new secret, which the pool that restores it opens alone. */
export interface RestoreBlob {
  readonly wrappedMaster: {
    /** Of the transfer key's certificate: SHA-256 in base64url. */
    readonly thumbprint: string;
    readonly envelope: string;
  };
  readonly entries: readonly SealedEntry[];
}

/** @param transferKey the certificate of the pool's transfer key, which Azure's clients call the exchange key */
export async function sealRestoreBlob(
  { envelopes, randomBytes }: { readonly envelopes: Envelopes; readonly randomBytes: RandomBytes },
  entries: readonly DomainEntry[],
  { thumbprint, publicKey }: RsaCertificate,
): Promise<RestoreBlob> {
  const master = randomBytes(MASTER_BYTES);
  try {
    return {
      wrappedMaster: { thumbprint, envelope: await envelopes.sealTo(publicKey, master) },
      entries: await sealEntries(envelopes, master, entries),
    };
  } finally {
    master.fill(0);
  }
}

/**
 * @param transferKey the pool's, whose private half may be in an HSM
 * @returns what the domain holds; the caller erases it after use (`eraseEntries`)
 * @throws ServiceError BadParameter for a blob that is for another key, or was altered
 */
export async function openRestoreBlob(
  envelopes: Envelopes,
  blob: RestoreBlob,
  transferKey: { readonly thumbprint: string; readonly unwrap: UnwrapContentKey },
): Promise<readonly DomainEntry[]> {
  if (blob.wrappedMaster.thumbprint !== transferKey.thumbprint)
    throw new ServiceError(
      'BadParameter',
      'The security domain was made for another transfer key than the one that this pool has now.',
    );
  const master = await envelopes.openBy(transferKey.unwrap, blob.wrappedMaster.envelope);
  const entries =
    master?.length === MASTER_BYTES
      ? await openEntries(envelopes, master, blob.entries)
      : undefined;
  master?.fill(0);
  if (entries === undefined)
    throw new ServiceError(
      'BadParameter',
      'The security domain does not open with the transfer key: it was cut or altered.',
    );
  return entries;
}
