import { exportLog } from '../../audit/export.ts';
import { openAuditStandby } from '../../compose/audit-standby.ts';
import { createRecordFormats } from '../../audit/record-formats.ts';
import type { RecordFormats } from '../../core/audit/record.ts';
import { createLog } from '../../observability/log.ts';
import { createAuditReader } from '../../store/audit/audit-store.ts';
import { auditOfStandby } from '../../store/audit/standby-audit.ts';
import type { CliContext } from '../cli-context.ts';
import { openStoreOf } from '../open-pool.ts';

export interface ExportOptions {
  readonly directory: string;
  readonly from?: Date;
  readonly to?: Date;
  readonly format: keyof RecordFormats;
}

/** `strongroom audit export` */
export async function exportRecords(
  context: CliContext,
  { from, to, format, directory }: ExportOptions,
): Promise<void> {
  const { config, secrets } = context.readSettings();
  const log = createLog(config.logLevel);
  const store = await openStoreOf(context, log);
  const standby = openAuditStandby(secrets, store.context, log);
  try {
    const serialize = createRecordFormats({ name: store.pool.name, domain: config.domain })[format];
    const reader =
      standby === undefined
        ? createAuditReader(store.context)
        : auditOfStandby(standby.reader, store.context);
    const written = await exportLog(
      reader,
      { ...(from !== undefined && { from }), ...(to !== undefined && { to }) },
      directory,
      serialize,
    );
    context.print(`${String(written.records)} records in ${String(written.files)} files.`);
  } finally {
    await standby?.close();
    await store.close();
  }
}
