import { sql } from 'kysely';
import type { AuditRecord } from '../../core/audit/record.ts';
import { stateRecords } from '../../core/audit/witness-records.ts';
import type { Witness } from '../../core/audit/witness.ts';
import { createAuditWriter } from '../audit/audit-store.ts';
import { reading, type StoreContext } from '../database.ts';

/** Rows of one commit. */
const BATCH = 1_000;

/**
 * Puts on record once more, of every row, the last state that records from before that time witness: they can be taken
 * away then, and the row's history goes on from there. The records must have been verified, and the rows by them.
 */
export async function witnessAgain(
  context: StoreContext,
  before: Date,
  record: Pick<AuditRecord, 'time' | 'requestId'>,
): Promise<void> {
  const writer = createAuditWriter(context);
  let place: readonly [string, string] = ['', ''];
  for (;;) {
    const rows = await reading(context, async (db) => {
      const found = await sql<{
        source: string;
        row_key: string;
        revision: string;
        after: string | null;
      }>`
        select distinct on (source, row_key) source, row_key, revision, after
        from audit_witness
        where pool_id = ${context.poolId} and time < ${before}
          and (source, row_key) > (${place[0]}, ${place[1]})
        order by source, row_key, revision desc
        limit ${BATCH}`.execute(db);
      return found.rows;
    });
    const last = rows.at(-1);
    if (last === undefined) return;
    const witnesses = rows.flatMap(({ source, row_key, revision, after }): Witness[] =>
      after === null
        ? []
        : [
            {
              table: source,
              row: row_key,
              revision: Number(revision),
              after,
              found: 'retention',
            },
          ],
    );
    if (witnesses.length > 0) await writer.write(stateRecords(record, witnesses));
    place = [last.source, last.row_key];
  }
}
