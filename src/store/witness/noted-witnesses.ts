import { type Kysely, sql } from 'kysely';
import { joinWitnesses } from '../../core/audit/witness-records.ts';
import type { Witness } from '../../core/audit/witness.ts';
import type { Tables } from '../tables.ts';

interface Note extends Pick<Witness, 'table' | 'row' | 'revision'> {
  readonly pool: string;
  readonly before: string | null;
  readonly after: string | null;
}

/**
 * What this transaction has done to witnessed rows so far, as the tables' triggers have noted it (sql/0070_witness.sql).
 * @throws Error when it has changed rows of another pool, whose audit log would not know of it
 */
export async function readNotedWitnesses(
  trx: Kysely<Tables>,
  poolId: string,
): Promise<readonly Witness[]> {
  const { rows } = await sql<{ noted: string | null; mine: string | null }>`
    select current_setting('strongroom.witnessed', true) as noted,
      pg_current_xact_id_if_assigned()::text || ' ' as mine`.execute(trx);
  const [{ noted, mine } = { noted: null, mine: null }] = rows;
  if (noted === null || mine === null || !noted.startsWith(mine)) return [];
  const notes = JSON.parse(`[${noted.slice(mine.length)}]`) as Note[];
  if (notes.some(({ pool }) => pool !== poolId))
    throw new Error('A change has touched the rows of another pool.');
  return joinWitnesses(
    notes.map(({ table, row, revision, before, after }) => ({
      table,
      row,
      revision,
      ...(before !== null && { before }),
      ...(after !== null && { after }),
    })),
  );
}
