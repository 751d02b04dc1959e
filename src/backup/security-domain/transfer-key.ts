import { z } from 'zod';
import { ServiceError } from '../../core/errors.ts';
import {
  readRsaCertificate,
  type RsaCertificate,
} from '../../core/recovery/security-domain/rsa-certificate.ts';
import { readCertificateJwk } from './certificate-jwk.ts';

const Answer = z.object({ transfer_key: z.unknown() });

/**
 * The certificate of a pool's transfer key, which Azure's clients call the exchange key, in any form in which it comes: a
 * certificate (PEM as `az … init-recovery` writes it, or DER), the pool's answer to GET /securitydomain/upload, or the JSON
 * Web Key in that, which some versions answer as a text.
 * @throws ServiceError BadParameter
 */
export function readTransferKey(bytes: Uint8Array): RsaCertificate {
  const text = Buffer.from(bytes).toString('utf8').trim();
  if (!text.startsWith('{')) return readRsaCertificate(bytes);
  let jwk: unknown;
  try {
    const read: unknown = JSON.parse(text);
    jwk = Answer.safeParse(read).data?.transfer_key ?? read;
    if (typeof jwk === 'string') jwk = JSON.parse(jwk);
  } catch {
    throw new ServiceError('BadParameter', 'It is no JSON, or was cut.');
  }
  return readCertificateJwk(jwk);
}
