import type { CliContext } from '../../cli-context.ts';
import { newScheduleChange, withSchedule } from './schedule-command.ts';

/** `strongroom backup schedule off` */
export async function endSchedule(context: CliContext): Promise<void> {
  await withSchedule(context, async (store) => {
    const { schedule } = await store.readState();
    const change = newScheduleChange('BackupScheduleDelete');
    if (schedule !== undefined) change.note({ change: { before: { ...schedule } } });
    await store.remove(change);
    context.print('No backups are planned.');
  });
}
