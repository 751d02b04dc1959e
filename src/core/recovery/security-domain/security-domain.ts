import type { KeyObject } from 'node:crypto';
import { ServiceError } from '../../errors.ts';
import {
  type DomainEntry,
  MASTER_BYTES,
  openEntries,
  type SealedEntry,
  sealEntries,
} from './domain-entries.ts';
import type { Envelopes } from './envelopes.ts';
import { requireQuorum } from './quorum.ts';
import { requireRsa, type RsaCertificate } from './rsa-certificate.ts';
import { combineShares, type RandomBytes, type Share, splitSecret } from './secret-sharing.ts';
import { decodeShare, encodeShare } from './share-bytes.ts';

/** As it is downloaded: entries under a secret of which each custodian has a share. */
export interface SecurityDomain {
  /** How many custodians open it together. */
  readonly required: number;
  readonly shares: readonly SealedShare[];
  readonly entries: readonly SealedEntry[];
}

interface SealedShare {
  /** Of the custodian's certificate: SHA-256 in base64url. */
  readonly thumbprint: string;
  readonly envelope: string;
}

/** A custodian's share, opened. Whoever has it erases its values after use. */
export interface OpenedShare extends Share {
  readonly thumbprint: string;
}

/** az reads the header of an entry as ASCII. */
const TAG = /^[\x21-\x7e]{1,128}$/;

/**
 * @param entries with tags in ASCII
 * @param custodians 3 to 10, each with a key of its own
 * @param required how many of them open it
 * @throws ServiceError BadParameter
 */
export async function sealDomain(
  { envelopes, randomBytes }: { readonly envelopes: Envelopes; readonly randomBytes: RandomBytes },
  entries: readonly DomainEntry[],
  custodians: readonly RsaCertificate[],
  required: number,
): Promise<SecurityDomain> {
  requireCustodians(custodians, required);
  if (!entries.every(({ tag }) => TAG.test(tag)))
    throw new RangeError("The tag of an entry has characters that Azure's clients do not read.");
  const master = randomBytes(MASTER_BYTES);
  const shares = splitSecret(master, { shares: custodians.length, required }, randomBytes);
  try {
    const sealed: SealedShare[] = [];
    for (const [index, share] of shares.entries())
      for (const { thumbprint, publicKey } of custodians.slice(index, index + 1)) {
        const bytes = encodeShare(share);
        sealed.push({ thumbprint, envelope: await envelopes.sealTo(publicKey, bytes) });
        bytes.fill(0);
      }
    return { required, shares: sealed, entries: await sealEntries(envelopes, master, entries) };
  } finally {
    master.fill(0);
    for (const { values } of shares) values.fill(0);
  }
}

/**
 * The share that a custodian's key opens. No certificate is needed for that: each share is tried.
 * @throws ServiceError BadParameter where it opens none
 */
export async function openShare(
  envelopes: Envelopes,
  domain: SecurityDomain,
  privateKey: KeyObject,
): Promise<OpenedShare> {
  requireRsa(privateKey);
  for (const { thumbprint, envelope } of domain.shares) {
    const bytes = await envelopes.openWith(privateKey, envelope);
    if (bytes === undefined) continue;
    const share = decodeShare(bytes, MASTER_BYTES);
    bytes.fill(0);
    if (share === undefined)
      throw new ServiceError(
        'BadParameter',
        `It opens what stands for the certificate ${thumbprint} in the security domain, but that is no share.`,
      );
    return { ...share, thumbprint };
  }
  throw new ServiceError(
    'BadParameter',
    "It opens no share of this security domain: it is another domain's, or its share was altered.",
  );
}

/**
 * @param shares of different custodians
 * @returns what the domain holds; the caller erases it after use (`eraseEntries`)
 * @throws ServiceError BadParameter where there are too few, or where they don't open it
 */
export async function openDomain(
  envelopes: Envelopes,
  domain: SecurityDomain,
  shares: readonly OpenedShare[],
): Promise<readonly DomainEntry[]> {
  const numbers = new Set(shares.map(({ number }) => number));
  if (numbers.size < shares.length)
    throw new ServiceError('BadParameter', 'The same share is there twice.');
  if (shares.length < domain.required)
    throw new ServiceError(
      'BadParameter',
      `The security domain needs the keys of ${domain.required} custodians; there are ${shares.length}.`,
    );
  const master = combineShares(shares, domain.required);
  if (master === undefined)
    throw new ServiceError('BadParameter', `The shares do not belong together. ${ALTERED}`);
  const entries = await openEntries(envelopes, master, domain.entries);
  master.fill(0);
  if (entries === undefined)
    throw new ServiceError('BadParameter', `The shares do not open the domain. ${ALTERED}`);
  return entries;
}

const ALTERED =
  'A share or an entry of the security domain is from another domain, or was altered.';

/**
 * Whether a domain can be sealed for them. Somebody with two shares would be two custodians.
 * @throws ServiceError BadParameter
 */
export function requireCustodians(custodians: readonly RsaCertificate[], required: number): void {
  requireQuorum(custodians.length, required);
  const keys = custodians.map(({ publicKey }) =>
    publicKey.export({ type: 'spki', format: 'der' }).toString('hex'),
  );
  if (new Set(keys).size < keys.length)
    throw new ServiceError(
      'BadParameter',
      'Two of the certificates have the same key: each custodian needs a key of their own.',
    );
}
