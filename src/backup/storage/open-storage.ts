import { isAbsolute } from 'node:path';
import { ServiceError } from '../../core/errors.ts';
import type { BackupStorage } from '../../core/recovery/full-backup/ports.ts';
import type {
  AskedBy,
  AskedStorage,
  OpenBackupStorage,
  StorageSettings,
} from '../../core/recovery/jobs/ports.ts';
import { ruleOf } from '../../core/recovery/jobs/storage-hosts.ts';
import { createOneHostAgent, type OneHostOptions } from '../../network/one-host-agent.ts';
import { ANSWER_BOUNDS } from './answer-limits.ts';
import { createFolderStorage } from './folder-storage.ts';
import { readSasToken } from './sas-token.ts';
import { partsOf } from '../../core/recovery/full-backup/storage-path.ts';

const RETRY_DELAY_MS = 500;
const CONNECTION = { idleMs: 30_000, connections: 6, answers: ANSWER_BOUNDS };
/** Azure's rule for names of containers, and S3's for buckets. */
const CONTAINER = /^[a-z0-9](?:[a-z0-9.-]{1,61}[a-z0-9])?$/;

/**
 * Opens where a backup lies or is to lie, if it may be there. The libraries of a kind of storage are loaded when one is asked
 * for.
 * @param now for the end of a SAS token
 */
export function createStorageOpener(settings: StorageSettings, now: () => Date): OpenBackupStorage {
  const { s3, hosts, extraCa } = settings;
  const agentFor = (origin: string, { onlyPublic }: Pick<OneHostOptions, 'onlyPublic'>) =>
    createOneHostAgent({ ...CONNECTION, origin, onlyPublic, extraCa });

  return async (asked, by) => {
    if (isAbsolute(asked.place)) return openFolder(asked.place, by);
    const url = readPlace(asked.place);
    const [container = '', ...prefix] = url.pathname.split('/').filter((part) => part !== '');
    if (!CONTAINER.test(container))
      throw new ServiceError('BadParameter', 'storageResourceUri must name a container.');
    if (prefix.length > 0) partsOf(prefix.join('/'));
    if (s3?.origin === url.origin) {
      requireBucket(asked, container, s3.bucket);
      const { createS3Storage } = await import('./s3-storage.ts');
      return createS3Storage({ ...s3, prefix, agent: agentFor(s3.origin, { onlyPublic: false }) });
    }
    const rule = ruleOf(url, hosts);
    if (rule === undefined)
      throw new ServiceError(
        'StorageRefused',
        `Backups can't be at ${url.origin}: STRONGROOM_BACKUP_HOSTS says where they may be.`,
      );
    const { origin } = url;
    const token = tokenOf(asked, `${origin}/${container}`, by, settings, now());
    const { createAzureStorage } = await import('./azure-storage.ts');
    const retryDelayMs = RETRY_DELAY_MS;
    return createAzureStorage({
      ...{ origin, container, prefix, token, retryDelayMs },
      agent: agentFor(origin, rule),
    });
  };
}

/** @throws ServiceError BadParameter, in words without what was said: there may be a token in it */
function readPlace(place: string): URL {
  const url = URL.canParse(place) ? new URL(place) : undefined;
  const isBare =
    url !== undefined &&
    [url.username, url.password, url.search, url.hash].every((part) => part === '');
  if (isBare && /^https?:$/.test(url.protocol) && !place.includes('%')) return url;
  throw new ServiceError(
    'BadParameter',
    'storageResourceUri must be the URL of a container, with nothing after its path.',
  );
}

function openFolder(path: string, by: AskedBy): BackupStorage {
  if (by !== 'caller') return createFolderStorage(path);
  throw new ServiceError('StorageRefused', 'storageResourceUri must be the URL of a container.');
}

/** The service's own credential is good for what its operator meant it for. */
function requireBucket(asked: AskedStorage, bucket: string, own: string): void {
  if (bucket !== own)
    throw new ServiceError(
      'StorageRefused',
      "Backups can't be in that bucket: STRONGROOM_BACKUP_S3_BUCKET names the one where they can.",
    );
  if (asked.token !== undefined)
    throw new ServiceError(
      'BadParameter',
      'A bucket takes no SAS token: the service has credentials of its own for it (useManagedIdentity).',
    );
}

/** @throws ServiceError BadParameter, StorageRefused */
function tokenOf(
  { token, useManagedIdentity }: AskedStorage,
  container: string,
  by: AskedBy,
  { sas }: StorageSettings,
  now: Date,
): string {
  if (useManagedIdentity === true)
    throw new ServiceError(
      'BadParameter',
      'This pool has no managed identity in Azure (useManagedIdentity): send a SAS token of the container.',
    );
  if (token !== undefined) return readSasToken(token, now);
  if (by === 'caller')
    throw new ServiceError('BadParameter', 'A SAS token of the container (token) is missing.');
  if (sas?.container === container) return readSasToken(sas.token, now);
  if (sas !== undefined)
    throw new ServiceError(
      'StorageRefused',
      'The SAS token of STRONGROOM_BACKUP_SAS_FILE is for another container: STRONGROOM_BACKUP_SAS_CONTAINER names the one to which it goes.',
    );
  throw new ServiceError(
    'StorageRefused',
    'There is no SAS token for that container: STRONGROOM_BACKUP_SAS_FILE names a file that holds one.',
  );
}
