import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { SingleBar } from 'cli-progress';
import type { OpenPool } from '../../compose/pool.ts';
import { LIMITS } from '../../compose/limits.ts';
import {
  followRootKeys,
  openPromoter,
  openRootKeyRotation,
  rotationLock,
} from '../../compose/root-keys.ts';
import type { Promoter } from '../../core/recovery/root-keys/pending-generation.ts';
import { ServiceError } from '../../core/errors.ts';
import { OperatorError } from '../../core/operator-error.ts';
import type { RootKeyState } from '../../core/recovery/root-keys/ports.ts';
import { currentOf, type RotationEnd } from '../../core/recovery/root-keys/root-key-rotation.ts';
import { createLog } from '../../observability/log.ts';
import { withLockIfFree } from '../../store/pool/pool-store.ts';
import { createSecurityDomainStore } from '../../store/recovery/security-domain/security-domain-store.ts';
import type { CliContext } from '../cli-context.ts';
import { openPoolOf } from '../open-pool.ts';

export interface RotateOptions {
  readonly keep?: true;
  readonly destroyBackupsKey?: true;
  /** Names. */
  readonly withoutReplica?: readonly string[];
}

const LOOK_EVERY_MS = 1_000;

/** `strongroom root-keys rotate`: begins a rotation, or goes on with one that was cut off, and sees it through. */
export async function rotateRootKeys(context: CliContext, options: RotateOptions): Promise<void> {
  const { config } = context.readSettings();
  const log = createLog(config.logLevel);
  const opened = await openPoolOf(context, log);
  try {
    if (opened.pool.keeping === 'resident')
      throw new OperatorError(
        `The keys of the pool "${opened.pool.name}" (STRONGROOM_POOL) are objects of the HSM, which no root key wraps: new root keys would change nothing.`,
      );
    await rotate(context, opened, options).catch((error: unknown) => {
      // A restore that has closed the pool meanwhile, for one.
      throw error instanceof ServiceError
        ? new OperatorError(`${error.message} Run it again.`, { cause: error })
        : error;
    });
    if (opened.context.chain.grown() > 0) {
      opened.context.chain.end();
      await opened.signedLog.checkpoints([opened.context.chain]).sign();
    }
  } finally {
    await opened.close();
  }
}

async function rotate(
  { print, setExitStatus }: CliContext,
  { context, pool, hsm }: OpenPool,
  { keep, destroyBackupsKey, withoutReplica }: RotateOptions,
): Promise<void> {
  const progress = new Progress();
  const rotation = openRootKeyRotation(context, hsm, {
    onRows: (rows) => {
      progress.add(rows);
    },
  });
  const work = async () => {
    // Who was at a rotation meanwhile has destroyed the root keys that this process knows.
    const use = await followRootKeys({ context, pool }, hsm);
    if (use?.isVouched === false)
      throw new OperatorError(
        `The root keys of generation ${use.generation}, which the database names, aren't those that have come after the ones of before: \`strongroom audit verify\` may say more.`,
      );
    if (use?.isHeld === false)
      throw new OperatorError(
        `The HSM here does not hold the root keys of generation ${use.generation}, which are the pool's current ones.`,
      );
    const isPromoted = await promote(
      openPromoter(context, hsm, { isAlone: false }),
      withoutReplica ?? [],
    );
    let state = await rotation.readState();
    if (isPromoted)
      print(
        `New keys are sealed by generation ${currentOf(state.generations).number}, of the newest security domain.`,
      );
    else if (await rotation.isUnfinished())
      print(
        `An earlier rotation was cut off: everything is wrapped by generation ${currentOf(state.generations).number}.`,
      );
    else {
      state = await rotation.begin({
        keeps: keep === true,
        givesBackupsUp: destroyBackupsKey === true,
      });
      print(`New keys are sealed by generation ${currentOf(state.generations).number}.`);
    }
    progress.begin(rowsLeft(state));
    const end = await rotation.finish();
    progress.end();
    return end;
  };
  for (let looks = 0; ; looks += 1) {
    const end = await withLockIfFree(context.db, rotationLock(pool), work);
    if (end !== undefined) {
      const state = await rotation.readState();
      describeEnd(state, end).forEach(print);
      const domain = await createSecurityDomainStore(context).findDownload();
      if (domain !== undefined && domain.generation < currentOf(state.generations).number)
        print(
          'The security domain from before opens nothing that these root keys seal: download a new one (`strongroom security-domain download`).',
        );
      if (!end.isOver) setExitStatus(1);
      return;
    }
    if (looks === 0)
      print('Another process is at a rotation: this one goes on where that one ends.');
    await delay(LOOK_EVERY_MS);
  }
}

/**
 * Root keys of a security domain that wait for replicas come before all others.
 * @returns whether they are the current ones now
 */
async function promote(promoter: Promoter, without: readonly string[]): Promise<boolean> {
  if (without.length > 0) {
    if ((await promoter.find()) === undefined)
      throw new OperatorError(
        'No root keys wait for a replica (--without-replica): `strongroom root-keys status` says which there are.',
      );
    await promoter.giveUp(without);
  }
  const promotion = await promoter.attempt(LIMITS.downloadAgreesMs);
  if (promotion.kind !== 'waiting') return promotion.kind === 'current';
  const { generation, awaited } = promotion;
  throw new OperatorError(
    awaited.length > 0
      ? `The root keys of generation ${generation}, of the newest security domain, wait for replicas whose HSM does not hold them: ${awaited.join(', ')}. Restore that domain there (\`strongroom security-domain restore\`); or go on without them (--without-replica), and they serve nothing until they have it.`
      : `The root keys of generation ${generation}, of the newest security domain, can't become the current ones now: the HSM here does not hold them, or a backup or a restore is under way.`,
  );
}

function rowsLeft({ generations }: RootKeyState): number {
  return generations.reduce((sum, { isCurrent, rows }) => sum + (isCurrent ? 0 : rows), 0);
}

function describeEnd(
  { generations }: RootKeyState,
  { broken, isOver }: RotationEnd,
): readonly string[] {
  const current = currentOf(generations);
  if (broken > 0)
    return [
      `The seals of ${broken} keys do not verify: they stay as they are, and so do the old root keys. \`strongroom audit verify\` says more.`,
    ];
  if (!isOver)
    return [
      'Keys were changed as fast as they were wrapped: the service goes on by itself, or run the command again.',
    ];
  const kept = generations.filter(({ isCurrent }) => !isCurrent);
  return [
    `Everything is sealed by generation ${current.number}.`,
    ...kept.map(({ number, opensBackups }) =>
      opensBackups
        ? `Generation ${number} stays in the HSM: backup blobs may exist that nothing else opens. Once you need none of them, rotate with --destroy-backups-key.`
        : `Generation ${number} stays in the HSM (--keep).`,
    ),
    ...(kept.length === 0 ? ['The old root keys are destroyed.'] : []),
  ];
}

/** A bar where people look on; nothing where they don't. */
class Progress {
  readonly #bar = new SingleBar({
    format: '{bar} {percentage} % | {value} of {total} keys | {eta_formatted} left',
    stream: process.stderr,
    hideCursor: true,
  });

  begin(total: number): void {
    this.#bar.start(total, 0);
  }

  add(rows: number): void {
    this.#bar.increment(rows);
  }

  end(): void {
    this.#bar.stop();
  }
}
