import { type Kysely, sql } from 'kysely';
import { joinWitnesses } from '../../core/audit/witness-records.ts';
import type { Witness } from '../../core/audit/witness.ts';
import type { Tables } from '../tables.ts';

interface Note extends Pick<Witness, 'table' | 'row' | 'revision'> {
  readonly pool: string;
  readonly before: string | null;
  readonly after: string | null;
}

/** What a transaction has done so far, and how its pool stands at this moment. */
interface Noted {
  readonly witnesses: readonly Witness[];
  readonly pool: { readonly isRestoring: boolean; readonly restores: number };
}

/**
 * What this transaction has done to witnessed rows so far, as the tables' triggers have noted it (sql/0070_witness.sql).
 * @throws Error when it has changed rows of another pool, whose audit log would not know of it
 */
export async function readNoted(trx: Kysely<Tables>, poolId: string): Promise<Noted> {
  const { rows } = await sql<{
    noted: string | null;
    mine: string | null;
    isRestoring: boolean | null;
    restores: number | null;
  }>`
    select current_setting('strongroom.witnessed', true) as noted,
      pg_current_xact_id_if_assigned()::text || ' ' as mine,
      p.restoring_since is not null as "isRestoring", p.restores
    from (select) one left join pool p on p.id = ${poolId}`.execute(trx);
  const [row] = rows;
  if (row === undefined) throw new TypeError('a left join has a row');
  const { noted, mine, isRestoring, restores } = row;
  const pool = { isRestoring: isRestoring === true, restores: restores ?? 0 };
  if (noted === null || mine === null || !noted.startsWith(mine)) return { witnesses: [], pool };
  const notes = JSON.parse(`[${noted.slice(mine.length)}]`) as Note[];
  if (notes.some((note) => note.pool !== poolId))
    throw new Error('A change has touched the rows of another pool.');
  const witnesses = joinWitnesses(
    notes.map(({ table, row: key, revision, before, after }) => ({
      table,
      row: key,
      revision,
      ...(before !== null && { before }),
      ...(after !== null && { after }),
    })),
  );
  return { witnesses, pool };
}
