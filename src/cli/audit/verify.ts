import { readFile } from 'node:fs/promises';
import { createLog } from '../../observability/log.ts';
import type { CliContext } from '../cli-context.ts';
import { openPoolOf } from '../open-pool.ts';
import { describeVerification } from './verification-text.ts';

export interface VerifyOptions {
  readonly from?: Date;
  readonly to?: Date;
  readonly checkpoint?: string;
}

/** As much as a process reads before it says how far it is. */
const RECORDS_AT_ONCE = 100_000;
const ALTERED_STATUS = 2;

/** `strongroom audit verify`: exit status 2 where the log isn't what was written. */
export async function verifyLog(context: CliContext, options: VerifyOptions): Promise<void> {
  const { config } = context.readSettings();
  const known =
    options.checkpoint === undefined
      ? undefined
      : (await readFile(options.checkpoint, 'utf8')).trim();
  const opened = await openPoolOf(context, createLog(config.logLevel));
  const { verifier } = opened.signedLog;
  try {
    let after = options.from === undefined ? 0 : await verifier.startAt(options.from);
    let afterRow: string | undefined;
    const total = { checkpoints: 0, records: 0, unsigned: 0, adopted: 0, rows: 0 };
    for (;;) {
      const report = await verifier.verify({
        after,
        recordLimit: RECORDS_AT_ONCE,
        ...(options.to !== undefined && { to: options.to }),
        ...(known !== undefined && { known }),
        ...(afterRow !== undefined && { afterRow }),
      });
      total.checkpoints += report.checkpoints;
      total.records += report.records;
      total.unsigned += report.unsigned;
      total.adopted += report.adopted;
      total.rows += report.rows;
      if (report.next === undefined) {
        context.print(describeVerification({ ...report, ...total }));
        if (!report.verified) context.setExitStatus(ALTERED_STATUS);
        return;
      }
      after = report.next;
      afterRow = report.nextRow;
    }
  } finally {
    await opened.close();
  }
}
