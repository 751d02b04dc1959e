import { sql } from 'kysely';
import type { AddedCode } from '../../core/audit/ports.ts';
import type { Trx } from '../database.ts';
import { UNWITNESSED_TABLES, WITNESSED_TABLES } from './witnessed-tables.ts';

const TABLES = [...WITNESSED_TABLES.map(({ name }) => name), ...Object.keys(UNWITNESSED_TABLES)];
/** Table, trigger and function of each trigger that the files of sql/ make. */
const TRIGGERS = [
  'pool.keep_pool_promises keep_pool_promises',
  ...WITNESSED_TABLES.flatMap(({ name }) =>
    ['insert', 'update', 'delete'].map((event) => `${name}.witness_${event} witness`),
  ),
];
/** What these functions do and how they are called, as SHA-256: the triggers are worth what they are. */
const FUNCTIONS = {
  keep_pool_promises: 'f317377959096036bd97685a988fa7bb849420a94fa501a593dceef7befff853',
  witness: 'a26b80c3d5e48d34059fb5274aae0e6b520dbd8621db0bf8475957a860935f02',
  witness_note: '816b027c135a89aa0cff032bb1564c5a6b44f11544e4cfdf7436b7bf39dcd5f1',
  witness_state: 'c0b7092bffb88c482b8de05b2989e3899e7e36b30b45fb3d02d7ecbfdbda4e59',
};

/**
 * Code in the database that the files of sql/ don't have, and that decides what the service reads or writes there: a
 * table's owner can have added it. Only what is kept with tables is looked at, not what concerns a database as a whole.
 */
export async function findAddedCode(trx: Trx): Promise<AddedCode | undefined> {
  const { rows } = await sql<AddedCode>`
    with recursive ours (oid, name) as (
      select c.oid, c.relname::text from pg_class c
      where c.relnamespace = 'public'::regnamespace and c.relname = any(${TABLES}::text[])
      union
      select i.inhrelid, c.relname::text from pg_inherits i join ours on ours.oid = i.inhparent
      join pg_class c on c.oid = i.inhrelid
    )
    select 'trigger added' as kind, ours.name || '.' || t.tgname as name
    from pg_trigger t join ours on ours.oid = t.tgrelid join pg_proc p on p.oid = t.tgfoid
    where not t.tgisinternal and (p.pronamespace <> 'public'::regnamespace
      or not ours.name || '.' || t.tgname || ' ' || p.proname = any(${TRIGGERS}::text[]))
    union all
    select 'rule added', ours.name || '.' || r.rulename
    from pg_rewrite r join ours on ours.oid = r.ev_class
    union all
    select 'row policy added', ours.name || '.' || p.polname
    from pg_policy p join ours on ours.oid = p.polrelid
    union all
    select 'row policy added', ours.name
    from pg_class c join ours on ours.oid = c.oid where c.relrowsecurity
    union all
    select 'table replaced', wanted.name
    from unnest(${TABLES}::text[]) wanted (name)
    where not exists (
      select from pg_class c where c.relnamespace = 'public'::regnamespace and c.relname = wanted.name
        and c.relkind in ('r', 'p'))
    union all
    select 'function changed', p.proname::text
    from pg_proc p join pg_language l on l.oid = p.prolang
    join unnest(${Object.keys(FUNCTIONS)}::text[], ${Object.values(FUNCTIONS)}::text[]) known (name, digest)
      on known.name = p.proname
    where p.pronamespace = 'public'::regnamespace and known.digest <> encode(sha256(convert_to(
      jsonb_build_array(p.prosrc, p.proargtypes::text, p.proconfig, l.lanname, p.prosecdef)::text, 'UTF8')), 'hex')
    order by kind, name
    limit 1`.execute(trx);
  return rows[0];
}
