import { CompiledQuery, type Kysely } from 'kysely';
import pg from 'pg';
import { fromDriver } from './errors.ts';
import type { Tables } from './tables.ts';

/** Connections, or a share of them. */
export interface Connections {
  query<Row extends pg.QueryResultRow>(config: pg.QueryConfig): Promise<pg.QueryResult<Row>>;
}

/** The connections behind each open database. */
export const POOLS = new WeakMap<Kysely<Tables>, Connections>();

/**
 * PostgreSQL's codes for a statement that is not as it was prepared: a table has a column more since (0A000), or somebody
 * between us and the server gives connections from hand to hand (26000, 42P05). It has not run then.
 */
const NOT_AS_PREPARED = new Set(['0A000', '26000', '42P05']);

/**
 * Runs a statement that comes again and again: PostgreSQL parses and plans it once for each connection.
 * @param name under which connections prepare it; one text each
 * @param db what isn't on a connection of its own pool, such as a transaction, runs it unprepared
 */
export async function runPrepared<Row extends object>(
  db: Kysely<Tables>,
  name: string,
  text: string,
  values: readonly unknown[],
): Promise<readonly Row[]> {
  const pool = POOLS.get(db);
  if (pool !== undefined)
    try {
      return (await pool.query<Row>({ name, text, values: [...values] })).rows;
    } catch (error) {
      if (!(error instanceof pg.DatabaseError && NOT_AS_PREPARED.has(error.code ?? '')))
        throw fromDriver(error);
    }
  return (await db.executeQuery<Row>(CompiledQuery.raw(text, [...values]))).rows;
}

/**
 * A query that Kysely has put together once, for use with other values.
 * @param stands what stands in `query` for each value, by the value's name
 */
export function preparedQuery<Row extends object, Name extends string>(
  name: string,
  { sql: text, parameters }: CompiledQuery<Row>,
  stands: Readonly<Record<Name, string>>,
) {
  const names = Object.entries(stands) as [Name, string][];
  const places = parameters.map((value) => names.find(([, stand]) => stand === value)?.[0]);
  return (db: Kysely<Tables>, given: Readonly<Record<Name, string>>): Promise<readonly Row[]> => {
    const values = parameters.map((value, index) => {
      const place = places[index];
      return place === undefined ? value : given[place];
    });
    return runPrepared<Row>(db, name, text, values);
  };
}
