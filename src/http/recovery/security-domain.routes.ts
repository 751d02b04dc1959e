import { z } from 'zod';
import { action } from '../../core/access/actions.ts';
import type { CeremonyStatus } from '../../core/recovery/security-domain/ports.ts';
import { CUSTODIANS, LEAST_REQUIRED } from '../../core/recovery/security-domain/quorum.ts';
import type { SecurityDomainService } from '../../core/recovery/security-domain/security-domain-service.ts';
import { apiVersionOf } from '../context.ts';
import { route } from '../route.ts';
import type { Routes } from '../routes.ts';
import { createJsonReader } from '../values/json-body.ts';
import { begun, underWay } from '../values/long-running.ts';
import { text } from '../values/text.ts';

const UPLOAD_LIMIT = 1024 ** 2;

/** An object, whose members are read by the service: it alone knows what makes a custodian. */
const JsonWebKey = z.custom<object>((value) => typeof value === 'object' && value !== null);
const DownloadRequest = z.object({
  certificates: z.array(JsonWebKey).min(CUSTODIANS.least).max(CUSTODIANS.most),
  required: z.int().min(LEAST_REQUIRED).max(CUSTODIANS.most).default(LEAST_REQUIRED),
});
const UploadRequest = z.object({ value: text(UPLOAD_LIMIT) });

const pool = {
  scope: () => '/' as const,
  key: null,
  keyMaterial: 'none',
  params: () => ({}),
} as const;
const PENDING = {
  download: '/securitydomain/download/pending',
  upload: '/securitydomain/upload/pending',
};

/** The security domain, in the form of Azure/azure-rest-api-specs, data-plane/SecurityDomain. */
export function addSecurityDomainRoutes(routes: Routes, domain: SecurityDomainService): void {
  route(routes, {
    ...pool,
    method: 'post',
    path: '/securitydomain/download',
    operation: 'SecurityDomainBackup',
    keyMaterial: 'wrapped',
    action: action('securitydomain/download/action'),
    body: DownloadRequest,
    status: 202,
    handler: async ({ body, context }) =>
      begun(context, PENDING.download, { value: await domain.download(body, context.audit) }),
  });

  route(routes, {
    ...pool,
    method: 'get',
    path: PENDING.download,
    operation: 'SecurityDomainBackupStatusGet',
    action: action('securitydomain/download/read'),
    handler: async () => {
      const { status, awaited } = await domain.downloadStatus();
      return underWay(serializeStatus(status, awaited));
    },
  });

  route(routes, {
    ...pool,
    method: 'get',
    path: '/securitydomain/upload',
    operation: 'SecurityDomainTransferKeyGet',
    keyMaterial: 'public',
    action: action('securitydomain/transferkey/read'),
    handler: async ({ context }) => {
      const jwk = await domain.transferKey(context.audit);
      const isObject = apiVersionOf(context).has('transferKeyObject');
      return { key_format: 'jwk', transfer_key: isObject ? jwk : JSON.stringify(jwk) };
    },
  });

  route(routes, {
    ...pool,
    method: 'post',
    path: '/securitydomain/upload',
    operation: 'SecurityDomainRestore',
    action: action('securitydomain/upload/action'),
    body: UploadRequest,
    readBody: createJsonReader(UPLOAD_LIMIT),
    status: 202,
    handler: async ({ body, context }) => {
      await domain.upload(body.value, context.audit);
      return begun(context, PENDING.upload, serializeStatus('InProgress'));
    },
  });

  route(routes, {
    ...pool,
    method: 'get',
    path: PENDING.upload,
    operation: 'SecurityDomainRestoreStatusGet',
    action: action('securitydomain/upload/read'),
    handler: async () => underWay(serializeStatus(await domain.uploadStatus())),
  });
}

const DETAILS: Readonly<Record<CeremonyStatus, string>> = {
  InProgress: 'The security domain operation is in progress.',
  Success: 'The security domain operation is complete.',
  Failed: 'The security domain operation has failed.',
};

/** Older clients read statusDetails. */
function serializeStatus(status: CeremonyStatus, awaited: readonly string[] = []) {
  const details =
    awaited.length === 0
      ? DETAILS[status]
      : `The new root keys wait for replicas whose HSM does not hold them: ${awaited.join(', ')}. Bring them in there by \`strongroom security-domain restore\` of the new security domain.`;
  return { status, status_details: details, statusDetails: details };
}
