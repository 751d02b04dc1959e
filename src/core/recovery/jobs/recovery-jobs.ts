import { AuditDraft } from '../../audit/draft.ts';
import type { AuditedChange } from '../../audit/record.ts';
import type { Clock } from '../../clock.ts';
import { ServiceError } from '../../errors.ts';
import type { KeyName } from '../../keys/key.ts';
import { repeat } from '../../repeating.ts';
import type {
  BackupStorage,
  BackupSummary,
  FullBackupOptions,
  FullBackups,
  RecoveryProgress,
} from '../full-backup/ports.ts';
import { withReadLimit } from '../full-backup/read-limit.ts';
import { partsOf } from '../full-backup/storage-path.ts';
import type { Exclusively } from '../security-domain/ports.ts';
import type {
  AskedBy,
  AskedStorage,
  JobFailure,
  JobStore,
  NewJob,
  OpenBackupStorage,
  RecoveryJob,
} from './ports.ts';

export interface RecoveryJobParts {
  readonly store: JobStore;
  readonly exclusively: Exclusively;
  readonly backups: FullBackups;
  readonly openStorage: OpenBackupStorage;
  readonly clock: Clock;
  /** Of a job: 32 hex digits. */
  readonly newId: () => string;
  readonly newGuid: () => string;
  readonly keepAliveMs: number;
  /** Of a job as a whole, and of a storage from which nothing comes. */
  readonly limitsMs: { readonly job: number; readonly silence: number };
  /** Something of ours failed, in a job or at its end. */
  readonly onFault: (error: unknown) => void;
}

/** What is to be done, and where. */
export type JobRequest =
  | {
      readonly kind: 'backup';
      readonly storage: AskedStorage;
      readonly withAuditRecords: boolean;
      /** What belongs to it before its end: where that throws, the job has failed. */
      readonly onMade?: (
        storage: BackupStorage,
        made: BackupSummary,
        signal: AbortSignal,
      ) => Promise<void>;
    }
  | { readonly kind: 'backup-check'; readonly storage: AskedStorage | undefined }
  | {
      readonly kind: 'restore-check';
      readonly storage: AskedStorage | undefined;
      readonly folder: string | undefined;
    }
  | { readonly kind: 'restore'; readonly storage: AskedStorage; readonly folder: string }
  | {
      readonly kind: 'key-restore';
      readonly storage: AskedStorage;
      readonly folder: string;
      readonly keyName: KeyName;
    };

/** What the audit log calls what a job has done. */
const OPERATIONS = {
  backup: 'FullBackup',
  'backup-check': 'PreBackup',
  restore: 'FullRestore',
  'restore-check': 'PreRestore',
  'key-restore': 'SelectiveKeyRestore',
} as const;

const INTERRUPTED: JobFailure = {
  code: 'Interrupted',
  message: 'The process that was at it has ended, or was cut off from the database. Begin anew.',
};

const TOO_LONG: JobFailure = {
  code: 'Interrupted',
  message: 'It took longer than a backup or a restore may, and was broken off.',
};

/** What a job has come to; `backup` is absent where it was to find something out. */
export type JobOutcome =
  { readonly backup: BackupSummary | undefined } | { readonly error: unknown };

export type RecoveryJobs = ReturnType<typeof createRecoveryJobs>;

/** Backups and restores, one at a time in a pool: each is begun by a request, and goes on when that has been answered. */
export function createRecoveryJobs(parts: RecoveryJobParts) {
  const { store, exclusively, backups, openStorage, clock, newId, newGuid, onFault } = parts;
  const running = new Map<AbortController, Promise<unknown>>();
  let isClosing = false;

  /**
   * @param change of the request: it is on record before anything is done
   * @returns the job that has begun, and what it has come to; that never rejects
   * @throws ServiceError Conflict where another is under way, BadParameter, StorageRefused
   */
  async function start(
    request: JobRequest,
    askedBy: AskedBy,
    change: AuditedChange,
    onProgress?: (progress: RecoveryProgress) => void,
  ): Promise<{ readonly job: NewJob; readonly ended: Promise<JobOutcome> }> {
    const named = 'folder' in request ? request.folder : undefined;
    if (named !== undefined) partsOf(named);
    const opened = request.storage && (await openStorage(request.storage, askedBy));
    const storage = opened && withReadLimit(opened, parts.limitsMs.silence);
    const job: NewJob = {
      id: newId(),
      kind: request.kind,
      place: storage?.place,
      folder: request.kind === 'backup' ? backups.newFolder() : named,
      keyName: request.kind === 'key-restore' ? request.keyName : undefined,
      principalId: change.principalId,
      askedBy,
    };
    const { place, folder } = job;
    change.note({ change: { after: { job: job.id, storage: place, folder } } });
    if (isClosing) {
      await storage?.close();
      throw new ServiceError('Conflict', 'This process is ending: ask again.');
    }
    const control = new AbortController();
    let isBegun = false;
    let sayBegun = (): void => undefined;
    const begun = new Promise<void>((resolve) => {
      sayBegun = resolve;
    });
    const work = exclusively(async () => {
      // Whoever has the lock is the only one: no other job is under way, whatever its row says.
      if (await store.hasUnfinished()) await endAbandoned();
      await store.begin(job, change);
      isBegun = true;
      sayBegun();
      return await see(job, request, { storage, control, onProgress });
    }).finally(async () => {
      running.delete(control);
      await storage?.close();
    });
    const ended = work.catch((error: unknown): JobOutcome => {
      if (isBegun) onFault(error);
      return { error };
    });
    running.set(control, ended);
    await Promise.race([begun, work]);
    return { job, ended };
  }

  /** Sees a job through to its end, whatever happens. */
  async function see(
    job: NewJob,
    request: JobRequest,
    { storage, control, onProgress }: Means,
  ): Promise<JobOutcome> {
    let cutOff = INTERRUPTED;
    const stop = repeat(
      async () => {
        if (!(await store.keepAlive(job.id))) control.abort(interrupted());
      },
      parts.keepAliveMs,
      () => 0.5,
      onFault,
    );
    const limit = setTimeout(() => {
      cutOff = TOO_LONG;
      control.abort(interrupted());
    }, parts.limitsMs.job);
    const options = { signal: control.signal, ...(onProgress !== undefined && { onProgress }) };
    const done = draftOf(job, OPERATIONS[job.kind]);
    const outcome = await act(request, job, storage, options, done).then(
      (backup): JobOutcome => ({ backup }),
      (error: unknown): JobOutcome => ({ error }),
    );
    clearTimeout(limit);
    await stop();
    if ('backup' in outcome) {
      const { keys, bytes } = outcome.backup ?? NOTHING;
      await store.end(job.id, { keys, bytes }, undefined);
      return outcome;
    }
    const failure = control.signal.aborted ? cutOff : failureOf(outcome.error);
    if (failure.code === INTERNAL) onFault(outcome.error);
    const failed = failedChange(draftOf(job, OPERATIONS[job.kind]), failure);
    if (await store.end(job.id, { failure }, failed)) return outcome;
    // A restore that has taken its place has succeeded, whatever failed afterwards.
    return (await store.find(job.id))?.status === 'Succeeded' ? { backup: undefined } : outcome;
  }

  async function act(
    request: JobRequest,
    job: NewJob,
    storage: BackupStorage | undefined,
    options: Pick<FullBackupOptions, 'onProgress'> & { readonly signal: AbortSignal },
    change: AuditedChange,
  ): Promise<BackupSummary | undefined> {
    const { id, askedBy, folder = '' } = job;
    if (storage === undefined) return undefined;
    switch (request.kind) {
      case 'backup': {
        const { withAuditRecords } = request;
        const made = await backups.create(
          storage,
          folder,
          { ...options, withAuditRecords, madeBy: { askedBy, job: id } },
          change,
        );
        await request.onMade?.(storage, made, options.signal);
        return made;
      }
      case 'backup-check':
        await storage.check();
        return undefined;
      case 'restore-check':
        return request.folder === undefined ? undefined : backups.verify(storage, folder, options);
      case 'restore': {
        const closePool = () => store.closePool(id, draftOf(job, 'FullRestoreClose'));
        return backups.restore(storage, folder, options, { id, closePool }, change);
      }
      case 'key-restore':
        return backups.restoreKey(storage, folder, request.keyName, options, change);
    }
  }

  function draftOf({ id, place, folder, keyName, principalId }: NewJob, operation: string) {
    return new AuditDraft(() => clock.now(), {
      requestId: newGuid(),
      operation,
      principalId,
      keyName,
      scope: '/',
      change: { after: { job: id, storage: place, folder } },
    });
  }

  const endAbandoned = () =>
    store.endAbandoned(
      INTERRUPTED,
      new AuditDraft(() => clock.now(), {
        requestId: newGuid(),
        operation: 'RecoveryJobInterrupted',
        scope: '/',
      }),
    );

  return {
    start,
    find: (id: string): Promise<RecoveryJob | undefined> => store.find(id),

    /** Ends what a process that died has left: in seconds the pool serves again, as it was. */
    async look(): Promise<void> {
      if (running.size > 0 || !(await store.hasUnfinished())) return;
      await exclusively(async () => {
        if (await store.hasUnfinished()) await endAbandoned();
      }).catch((error: unknown) => {
        // It is under way in another process.
        if (!(error instanceof ServiceError && error.code === 'Conflict')) throw error;
      });
    },

    /** Lets a job that is under way end within a time, or breaks it off. */
    async close(limitMs: number): Promise<void> {
      isClosing = true;
      if (running.size === 0) return;
      const timer = setTimeout(() => {
        for (const control of running.keys()) control.abort(interrupted());
      }, limitMs);
      await Promise.all(running.values());
      clearTimeout(timer);
    },
  };
}

interface Means {
  readonly storage: BackupStorage | undefined;
  readonly control: AbortController;
  readonly onProgress: ((progress: RecoveryProgress) => void) | undefined;
}

const NOTHING = { keys: 0, bytes: 0 };
const INTERNAL = 'InternalServerError';

function interrupted(): ServiceError {
  return new ServiceError('StoreUnavailable', INTERRUPTED.message);
}

function failureOf(error: unknown): JobFailure {
  return error instanceof ServiceError
    ? { code: error.code, message: error.message }
    : { code: INTERNAL, message: 'An unexpected error occurred.' };
}

/** A change of which the record tells that something failed. */
function failedChange(draft: AuditDraft, { code, message }: JobFailure): AuditedChange {
  return {
    principalId: draft.principalId,
    note: (notes) => {
      draft.note(notes);
    },
    toRecord: () => draft.finish({ status: 500, errorCode: code, reason: message }),
    committed: () => {
      draft.committed();
    },
  };
}
