import { type FileHandle, mkdir, open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { AuditEvent, AuditFilter } from '../core/audit/record.ts';
import type { AuditReader } from '../core/audit/ports.ts';

const PAGE = 1_000;

/**
 * Writes records to files, oldest first: `audit-2026-01-31.ndjson` for each day (UTC) that has any, one record a line. A
 * file has its name once it is complete, and is for its owner only.
 */
export async function exportLog(
  reader: AuditReader,
  filter: AuditFilter,
  directory: string,
  present: (event: AuditEvent) => object,
): Promise<{ readonly records: number; readonly files: number }> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  let current: { readonly day: string; readonly file: FileHandle } | undefined;
  let records = 0;
  let files = 0;

  async function finish(): Promise<void> {
    if (current === undefined) return;
    await current.file.sync();
    await current.file.close();
    await rename(pathOf(current.day, '.part'), pathOf(current.day));
    current = undefined;
    files += 1;
  }

  function pathOf(day: string, suffix = ''): string {
    return join(directory, `audit-${day}.ndjson${suffix}`);
  }

  async function write(day: string, lines: string): Promise<void> {
    if (current?.day !== day) {
      await finish();
      current = { day, file: await open(pathOf(day, '.part'), 'w', 0o600) };
    }
    await current.file.appendFile(lines);
  }

  try {
    let after: string | undefined;
    do {
      const page = await reader.listEvents(
        { ...filter, oldestFirst: true },
        { limit: PAGE, ...(after !== undefined && { after }) },
      );
      const lines = new Map<string, string>();
      for (const event of page.items) {
        const day = dayOf(event);
        lines.set(day, `${lines.get(day) ?? ''}${JSON.stringify(present(event))}\n`);
      }
      for (const [day, text] of lines) await write(day, text);
      records += page.items.length;
      after = page.next;
    } while (after !== undefined);
    await finish();
    return { records, files };
  } catch (error) {
    await current?.file.close();
    throw error;
  }
}

function dayOf({ time }: AuditEvent): string {
  return time.toISOString().slice(0, 10);
}
