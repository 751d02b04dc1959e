import { ServiceError } from '../../core/errors.ts';

const LENGTH_LIMIT = 4096;
/** What a query has, percent-encoded: no fragment, no blank. */
const FORM = /^\??[\w.~!$&'()*+,;=:@/?%-]+$/;

/**
 * A SAS token for Azure Blob storage, without a question mark before it. What it may, and whether it is genuine, the storage
 * says itself.
 * @throws ServiceError StorageRefused (400) for one that says no end, or whose end has come, as Managed HSM does
 */
export function readSasToken(text: string, now: Date): string {
  const token = text.trim().replace(/^\?/, '');
  if (token.length > LENGTH_LIMIT || !FORM.test(token))
    throw refused('The SAS token has an invalid form.');
  const fields = new URLSearchParams(token);
  if (!fields.has('sig')) throw refused('The SAS token does not contain the signature field.');
  const expiry = fields.get('se');
  if (expiry === null) throw refused('The SAS token does not contain the expiry field.');
  const end = Date.parse(expiry);
  if (Number.isNaN(end)) throw refused('The expiry field of the SAS token is not a date.');
  if (end <= now.getTime()) throw refused('The SAS token has expired.');
  return token;
}

function refused(message: string): ServiceError {
  return new ServiceError('StorageRefused', message);
}
