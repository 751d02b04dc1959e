import { STATUS_CODES } from 'node:http';
import type { AuditEvent, RecordFormats } from '../core/audit/record.ts';

/** Where the records come from, as Azure's name it. */
interface AuditedPool {
  /** Of the pool. */
  readonly name: string;
  /** Parent domain of the pools. */
  readonly domain: string;
}

/**
 * A record as Managed HSM's diagnostic logs have it (category AuditEvent), so that what reads those reads these.
 * `identity` is JSON in a string there, too. What has no counterpart here says so in Azure's own way.
 * Source: Azure's documentation of Managed HSM logging.
 */
function toAzureRecord(event: AuditEvent, { name, domain }: AuditedPool) {
  const path =
    event.keyName === undefined
      ? ''
      : `/keys/${event.keyName}${event.keyVersion === undefined ? '' : `/${event.keyVersion}`}`;
  const claims = {
    ...(event.applicationId !== undefined && { appid: event.applicationId }),
    ...(event.principalId !== undefined && { [OBJECT_ID]: event.principalId }),
    ...(event.principalName !== undefined && { [NAME]: event.principalName }),
  };
  return {
    TenantId: event.tenantId ?? '',
    time: event.time.toISOString(),
    resourceId: `/SUBSCRIPTIONS/STRONGROOM/RESOURCEGROUPS/STRONGROOM/PROVIDERS/MICROSOFT.KEYVAULT/MANAGEDHSMS/${name.toUpperCase()}`,
    operationName: event.operation,
    operationVersion: '7.5',
    category: 'AuditEvent',
    resultType: event.outcome === 'success' ? 'Success' : 'Failed',
    resultSignature: STATUS_CODES[event.status] ?? String(event.status),
    resultDescription: event.errorCode ?? '',
    properties: { PoolType: 'M-HSM', sku_Family: 'B', sku_Name: 'Standard_B1' },
    durationMs: String(Math.round(event.durationMs)),
    callerIpAddress: event.clientAddress ?? '',
    identity: JSON.stringify({ claim: claims }),
    clientInfo: event.userAgent ?? '',
    correlationId: event.requestId,
    subnetId: '(unknown)',
    httpStatusCode: event.status,
    PoolName: name,
    requestUri: `https://${name}.${domain}${path}`,
    resourceGroup: 'strongroom',
    resourceProvider: 'MICROSOFT.KEYVAULT',
    resource: name,
    resourceType: 'managedHSMs',
  };
}

const OBJECT_ID = 'http://schemas.microsoft.com/identity/claims/objectidentifier';
const NAME = 'http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name';

/** A record as it is told here: RFC 3339 time, base64url hash. */
function presentEvent({ time, hash, ...event }: AuditEvent) {
  return { ...event, time: time.toISOString(), hash: Buffer.from(hash).toString('base64url') };
}

/** The forms in which records are given out. */
export function createRecordFormats(pool: AuditedPool): RecordFormats {
  return { strongroom: presentEvent, azure: (event) => toAzureRecord(event, pool) };
}
