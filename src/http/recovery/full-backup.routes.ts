import { action } from '../../core/access/actions.ts';
import { keyScope } from '../../core/access/role.ts';
import type { Clock } from '../../core/clock.ts';
import { parseKeyName } from '../../core/keys/key.ts';
import type { JobKind } from '../../core/recovery/jobs/ports.ts';
import type { JobRequest, RecoveryJobs } from '../../core/recovery/jobs/recovery-jobs.ts';
import type { RequestContext } from '../context.ts';
import { keyNameOf, keyOf, keyScopeOf } from '../keys/key-params.ts';
import { route } from '../route.ts';
import type { Routes } from '../routes.ts';
import { begun, underWay } from '../values/long-running.ts';
import {
  BackupRequest,
  jobNotFound,
  jobOf,
  KeyRestoreRequest,
  PreBackupRequest,
  PreRestoreRequest,
  RestoreRequest,
  serializeJob,
} from './full-backup.schema.ts';

const pool = {
  scope: () => '/' as const,
  key: null,
  keyMaterial: 'none',
  params: () => ({}),
} as const;
const job = { ...pool, params: jobOf } as const;
const BACKUPS: readonly JobKind[] = ['backup', 'backup-check'];

interface FullBackupRouteParts {
  readonly recoveryJobs: RecoveryJobs;
  /** What Azure's API has no word for. */
  readonly fullBackups: { readonly withAuditRecords: boolean };
  readonly clock: Clock;
}

/** Full backups and restores, in the form of Azure/azure-rest-api-specs, data-plane/BackupRestore. */
export function addFullBackupRoutes(routes: Routes, parts: FullBackupRouteParts): void {
  const { recoveryJobs: jobs, fullBackups, clock } = parts;
  async function begin(request: JobRequest, context: RequestContext) {
    const { job: started } = await jobs.start(request, 'caller', context.audit);
    const of = BACKUPS.includes(started.kind) ? 'backup' : 'restore';
    return begun(context, `/${of}/${started.id}/pending`, serializeJob(started, clock.now()));
  }

  /** Jobs of the one kind aren't asked for as the other. */
  async function readStatus(id: string, isBackup: boolean) {
    const found = await jobs.find(id);
    if (found === undefined || BACKUPS.includes(found.kind) !== isBackup) throw jobNotFound();
    return underWay(serializeJob(found, found.startedAt));
  }

  route(routes, {
    ...pool,
    method: 'post',
    path: '/backup',
    operation: 'FullBackupStart',
    action: action('backup/start/action'),
    body: BackupRequest,
    status: 202,
    handler: ({ body, context }) =>
      begin({ kind: 'backup', storage: body, ...fullBackups }, context),
  });

  route(routes, {
    ...pool,
    method: 'post',
    path: '/prebackup',
    operation: 'PreBackupStart',
    action: action('backup/start/action'),
    body: PreBackupRequest,
    status: 202,
    handler: ({ body, context }) => begin({ kind: 'backup-check', storage: body }, context),
  });

  route(routes, {
    ...job,
    method: 'get',
    path: '/backup/:jobId/pending',
    operation: 'FullBackupStatusGet',
    action: action('backup/status/action'),
    handler: ({ params }) => readStatus(params.id, true),
  });

  route(routes, {
    ...pool,
    method: 'put',
    path: '/restore',
    operation: 'FullRestoreStart',
    action: action('restore/start/action'),
    body: RestoreRequest,
    status: 202,
    handler: ({ body, context }) =>
      begin(
        { kind: 'restore', storage: body.sasTokenParameters, folder: body.folderToRestore },
        context,
      ),
  });

  route(routes, {
    ...pool,
    method: 'put',
    path: '/prerestore',
    operation: 'PreRestoreStart',
    action: action('restore/start/action'),
    body: PreRestoreRequest,
    status: 202,
    handler: ({ body, context }) =>
      begin(
        {
          kind: 'restore-check',
          storage: body.sasTokenParameters ?? undefined,
          folder: body.folderToRestore ?? undefined,
        },
        context,
      ),
  });

  route(routes, {
    method: 'put',
    path: '/keys/:name/restore',
    operation: 'SelectiveKeyRestoreStart',
    keyMaterial: 'none',
    action: action('restore/start/action'),
    params: keyOf,
    scope: keyScopeOf,
    key: keyNameOf,
    body: KeyRestoreRequest,
    status: 202,
    handler: ({ params, body, context }) =>
      begin(
        {
          kind: 'key-restore',
          storage: body.sasTokenParameters,
          folder: body.folder,
          keyName: params.name,
        },
        context,
      ),
  });

  route(routes, {
    ...job,
    // Whoever may restore one key alone sees how far that has come.
    scope: async ({ id }) => {
      const keyName = (await jobs.find(id))?.keyName;
      return keyName === undefined ? '/' : keyScope(parseKeyName(keyName));
    },
    method: 'get',
    path: '/restore/:jobId/pending',
    operation: 'FullRestoreStatusGet',
    action: action('restore/status/action'),
    whileRestoring: true,
    handler: ({ params }) => readStatus(params.id, false),
  });
}
