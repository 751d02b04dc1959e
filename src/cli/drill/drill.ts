import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Logger } from 'pino';
import { openFullBackupStore } from '../../compose/full-backup.ts';
import { openPool, type OpenPool } from '../../compose/pool.ts';
import { openSecurityDomain } from '../../compose/security-domain.ts';
import { AuditDraft } from '../../core/audit/draft.ts';
import { systemClock } from '../../core/clock.ts';
import { type KeyTrial, tryKeys } from '../../core/recovery/full-backup/key-trial.ts';
import { createLog } from '../../observability/log.ts';
import { inSentences } from '../backup/backup-command.ts';
import { operatorJobs } from '../backup/operator-job.ts';
import type { CliContext } from '../cli-context.ts';
import { makeRestoreBlob, withDomain } from '../security-domain/restore-blob.ts';
import { type DrillPlace, makeDrillPlace } from './place.ts';

export interface DrillOptions {
  readonly domain: string;
  readonly key: readonly string[];
  readonly passphraseFile?: readonly string[];
  readonly folder: string;
}

const BROKEN_STATUS = 2;

/**
 * `strongroom drill`: restores a backup as after a disaster, on a token and a database that it makes in a folder, and tries
 * every key. It reads the backup and the custodians' files, and nothing of the pool that was backed up.
 */
export async function drill(
  context: CliContext,
  backup: string,
  options: DrillOptions,
): Promise<void> {
  await inSentences(context, async () => {
    const log = createLog('fatal');
    const timed = createTimes(context.print);
    // Before anything is made, which takes longer.
    await withDomain(options.domain, options, () => undefined);
    const place = await timed('A new token, a new database and a fresh pool are there', () =>
      makeDrillPlace(resolve(options.folder), context, log),
    );
    try {
      await timed('The security domain opened with the keys of its custodians', () =>
        takeDomain(context, place, options, log),
      );
      await timed('The pool is restored', () =>
        inPool(place, log, async (opened) => {
          const path = resolve(backup);
          await operatorJobs(opened, {}).run(
            { kind: 'restore', storage: { place: dirname(path) }, folder: basename(path) },
            newChange('FullRestoreStart'),
          );
        }),
      );
      const trial = await timed('Every key was tried', () => tryRestored(place, log));
      report(context, trial);
      const verified = await timed('The audit log was verified', () =>
        inPool(place, log, ({ signedLog }) =>
          signedLog.verifier.verify({ after: 0, recordLimit: Number.MAX_SAFE_INTEGER }),
        ),
      );
      if (!verified.verified) {
        context.warn('The audit log that was restored does not verify.');
        context.setExitStatus(BROKEN_STATUS);
      }
      context.print(
        `The drill is over: its token, which held root keys of the pool, and its database are removed.`,
      );
    } finally {
      await place.close();
    }
  });
}

async function takeDomain(
  context: CliContext,
  place: DrillPlace,
  { domain, key, passphraseFile }: DrillOptions,
  log: Logger,
): Promise<void> {
  await inPool(place, log, async ({ context: store, pool, hsm, clearCeremony }) => {
    const service = openSecurityDomain({
      context: store,
      pool,
      hsm,
      clear: clearCeremony,
      on: {
        onNewRootKeys: () => undefined,
        // The pool is opened anew for the restore.
        onUploaded: () => Promise.resolve(),
        onFault: () => undefined,
      },
    });
    const transferKey = join(place.folder, 'transfer-key.json');
    const out = join(place.folder, 'restore-blob.json');
    await writeFile(
      transferKey,
      JSON.stringify(await service.transferKey(newChange('SecurityDomainTransferKey'))),
    );
    const files = {
      transferKey,
      key,
      out,
      ...(passphraseFile !== undefined && { passphraseFile }),
    };
    await makeRestoreBlob({ ...context, print: () => undefined }, domain, files);
    await service.upload(await readFile(out, 'utf8'), newChange('SecurityDomainUpload'));
  });
}

async function tryRestored(place: DrillPlace, log: Logger): Promise<KeyTrial> {
  return inPool(place, log, ({ context, hsm }) =>
    tryKeys({ hsm, store: openFullBackupStore(context, place.settings, log) }),
  );
}

function report({ print, warn, setExitStatus }: CliContext, { opened, used, broken }: KeyTrial) {
  print(`${opened} keys opened; of these kinds one was used: ${used.join(', ')}.`);
  if (broken.length === 0) return;
  warn(`${broken.length} keys do not open, or do not work: ${broken.slice(0, 10).join(', ')}.`);
  setExitStatus(BROKEN_STATUS);
}

async function inPool<T>(
  { settings }: DrillPlace,
  log: Logger,
  work: (opened: OpenPool) => Promise<T>,
): Promise<T> {
  const opened = await openPool(settings, log);
  try {
    return await work(opened);
  } finally {
    await opened.close();
  }
}

/** Says of each step that it is done, and how long it took. */
function createTimes(print: CliContext['print']) {
  return async <T>(what: string, step: () => Promise<T>): Promise<T> => {
    const began = performance.now();
    const result = await step();
    print(`${what}: ${((performance.now() - began) / 1_000).toFixed(1)} s.`);
    return result;
  };
}

function newChange(operation: string): AuditDraft {
  return new AuditDraft(systemClock.now, { requestId: randomUUID(), operation });
}
