import type { AuditRecord } from './record.ts';
import type { Witness } from './witness.ts';

/** Of one record: some 10 KB. */
const WITNESSES_LIMIT = 50;

/** One witness for each row, of all that a transaction has done to it; none for rows that are as they were. */
export function joinWitnesses(witnesses: readonly Witness[]): readonly Witness[] {
  const rows = new Map<string, Witness>();
  for (const witness of witnesses) {
    const { table, row, revision, after } = witness;
    const { before } = rows.get(`${table} ${row}`) ?? witness;
    rows.set(`${table} ${row}`, {
      table,
      row,
      revision,
      ...(before !== undefined && { before }),
      ...(after !== undefined && { after }),
    });
  }
  return [...rows.values()].filter(({ before, after }) => before !== after);
}

/** A change's record with what it witnesses; where that is much, records that hold the rest of it follow. */
export function withWitnesses(
  record: AuditRecord,
  witnesses: readonly Witness[],
): readonly AuditRecord[] {
  const own = witnesses.slice(0, WITNESSES_LIMIT);
  if (own.length === 0) return [record];
  const { time, requestId } = record;
  return [
    { ...record, witnessed: own },
    ...stateRecords({ time, requestId }, witnesses.slice(WITNESSES_LIMIT)),
  ];
}

/** Records that hold nothing but witnesses. */
export function stateRecords(
  { time, requestId }: Pick<AuditRecord, 'time' | 'requestId'>,
  witnesses: readonly Witness[],
): readonly AuditRecord[] {
  const count = Math.ceil(witnesses.length / WITNESSES_LIMIT);
  return Array.from({ length: count }, (_, index) => ({
    time,
    requestId,
    operation: 'StateWitnessed',
    outcome: 'success',
    status: 200,
    durationMs: 0,
    witnessed: witnesses.slice(index * WITNESSES_LIMIT, (index + 1) * WITNESSES_LIMIT),
  }));
}
