import { sql } from 'kysely';
import { reading, type StoreContext } from '../database.ts';

/** What PostgreSQL's clock says now, and not when some transaction began. */
export async function readStoreTime(context: Pick<StoreContext, 'db'>): Promise<Date> {
  return reading(context, async (db) => {
    const { rows } = await sql<{ time: Date }>`select clock_timestamp() as time`.execute(db);
    const [row] = rows;
    if (row === undefined) throw new Error('PostgreSQL did not say what time it is');
    return row.time;
  });
}
