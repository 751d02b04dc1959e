import { ServiceError } from '../core/errors.ts';

/** Versions of the Key Vault and Managed HSM data plane whose key operations look alike on the wire. */
export const NEWEST_API_VERSION = '2025-07-01';
const KNOWN = new Set([
  // The first generation of clients (Azure/kubernetes-kms still sends it).
  '2016-10-01',
  '7.0',
  '7.1',
  '7.2-preview',
  '7.2',
  '7.3-preview',
  '7.3',
  '7.4-preview.1',
  '7.4',
  '7.5-preview.1',
  '7.5',
  '7.6-preview.1',
  '7.6-preview.2',
  '7.6',
  '2025-06-01-preview',
  NEWEST_API_VERSION,
]);

/**
 * Some of Microsoft's own clients send no version, so none means the newest.
 * @throws ServiceError UnsupportedApiVersion
 */
export function requireApiVersion(value: unknown): void {
  if (value === undefined || (typeof value === 'string' && KNOWN.has(value))) return;
  const named =
    typeof value === 'string' ? value.slice(0, 40).replace(/[^\w.-]/g, '?') : 'repeated';
  throw new ServiceError(
    'UnsupportedApiVersion',
    `The specified version (${named}) is not recognized. Consider using the latest supported version (${NEWEST_API_VERSION}).`,
  );
}
