import { exportLog } from '../../audit/export.ts';
import { createRecordFormats } from '../../audit/record-formats.ts';
import type { RecordFormats } from '../../core/audit/record.ts';
import { createLog } from '../../observability/log.ts';
import { createAuditReader } from '../../store/audit/audit-store.ts';
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
  const { config } = context.readSettings();
  const store = await openStoreOf(context, createLog(config.logLevel));
  try {
    const serialize = createRecordFormats({ name: store.pool.name, domain: config.domain })[format];
    const written = await exportLog(
      createAuditReader(store.context),
      { ...(from !== undefined && { from }), ...(to !== undefined && { to }) },
      directory,
      serialize,
    );
    context.print(`${String(written.records)} records in ${String(written.files)} files.`);
  } finally {
    await store.close();
  }
}
