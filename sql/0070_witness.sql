-- What the HSM's seal can't cover, since it changes, is witnessed by the audit trail: the record of each change holds the
-- digests of the rows that it changed, as they were before and after, so that rows can be held against signed records.

alter table audit_event add column witnessed jsonb;

-- Which record witnesses which state of which row. An index over the records only: what counts is what was signed.
create table audit_witness (
  pool_id uuid not null references pool,
  -- The row's table, and the values of its primary key but for the pool, as a JSON array.
  source text collate "C" not null,
  row_key text collate "C" not null,
  -- Grows with each change of a row.
  revision bigint not null,
  -- Digests; null where the row wasn't there.
  before text,
  after text,
  -- Where the record tells of no change, but of a state that was found.
  found text check (found in ('upgrade', 'retention')),
  -- The record.
  chain uuid not null,
  sequence bigint not null,
  time timestamptz not null,
  primary key (pool_id, source, row_key, revision, chain, sequence)
);
create index audit_witness_record on audit_witness (pool_id, chain, sequence);

-- Taken after a row is locked: of two changes of one row the later has the larger. Never rolled back, so with gaps.
create sequence audit_witness_revision;

-- Rows from before there were witnesses: the first start of the service puts them on record.
create table audit_witness_pending (
  pool_id uuid not null references pool,
  source text collate "C" not null,
  row_key text collate "C" not null,
  revision bigint not null,
  after text not null,
  primary key (pool_id, source, row_key)
);

/*
 * What is witnessed of a row: SHA-256, base64url without padding, over the text of a jsonb object of its columns, without
 * those that are null and the `skipped` ones. A column that a later migration adds must be null in the rows that are there.
 * Times and bytes have one text for timezone = UTC and bytea_output = hex.
 */
create function witness_state(state jsonb, keys text[], skipped text[],
  out pool_id uuid, out row_key text, out digest text)
language sql immutable as $$
  select coalesce(state ->> 'pool_id', state ->> 'id')::uuid,
    coalesce((select jsonb_agg(state -> name order by place)
      from unnest(keys) with ordinality as k (name, place)), '[]')::text,
    translate(rtrim(encode(sha256(convert_to(
      (select jsonb_object_agg(key, value)::text
        from jsonb_each(state - skipped) where value <> 'null'), 'UTF8')), 'base64'), '='), '+/', '-_')
$$;

/*
 * Notes what a statement has done to a witnessed table's rows, for the record that the transaction writes at its end: in a
 * setting that ends with the transaction. Nothing can change a row past it, `on delete cascade` neither.
 * Arguments: the primary key's columns but for the pool, and the skipped columns, each list separated by spaces.
 */
create function witness() returns trigger language plpgsql
set timezone = 'UTC' set bytea_output = 'hex' set search_path = pg_catalog, public as $$
declare
  keys constant text[] := string_to_array(tg_argv[0], ' ');
  skipped constant text[] := string_to_array(tg_argv[1], ' ');
  mine constant text := pg_current_xact_id()::text || ' ';
  noted text := current_setting('strongroom.witnessed', true);
  said text;
begin
  if tg_op = 'INSERT' then
    select string_agg(witness_note(tg_table_name, s.pool_id, s.row_key, null, s.digest), ',') into said
    from new_rows r cross join lateral witness_state(to_jsonb(r), keys, skipped) s;
  elsif tg_op = 'DELETE' then
    select string_agg(witness_note(tg_table_name, s.pool_id, s.row_key, s.digest, null), ',') into said
    from old_rows r cross join lateral witness_state(to_jsonb(r), keys, skipped) s;
  else
    select string_agg(witness_note(tg_table_name, pool_id, row_key, before, after), ',') into said
    from (
      select pool_id, row_key, max(before) as before, max(after) as after
      from (
        select s.pool_id, s.row_key, s.digest as before, null as after
        from old_rows r cross join lateral witness_state(to_jsonb(r), keys, skipped) s
        union all
        select s.pool_id, s.row_key, null, s.digest
        from new_rows r cross join lateral witness_state(to_jsonb(r), keys, skipped) s) as states
      group by pool_id, row_key) as changes
    where before is distinct from after;
  end if;
  if said is not null then
    -- What another transaction has left there, or somebody has set as a default, isn't gone on with.
    if noted is null or not starts_with(noted, mine) then
      perform set_config('strongroom.witnessed', mine || said, true);
    else
      perform set_config('strongroom.witnessed', noted || ',' || said, true);
    end if;
  end if;
  return null;
end $$;

create function witness_note(source name, pool_id uuid, row_key text, before text, after text) returns text
language sql volatile as $$
  select jsonb_build_object('pool', pool_id, 'table', source, 'row', row_key,
    'revision', nextval('public.audit_witness_revision'), 'before', before, 'after', after)::text
$$;

/* From here on the table's rows are witnessed; those that it has are to be put on record. */
create function witness_table(source text, keys text, skipped text) returns void language plpgsql
set timezone = 'UTC' set bytea_output = 'hex' as $$
begin
  execute format('create trigger witness_insert after insert on %I referencing new table as new_rows
    for each statement execute function witness(%L, %L)', source, keys, skipped);
  execute format('create trigger witness_update after update on %I
    referencing old table as old_rows new table as new_rows
    for each statement execute function witness(%L, %L)', source, keys, skipped);
  execute format('create trigger witness_delete after delete on %I referencing old table as old_rows
    for each statement execute function witness(%L, %L)', source, keys, skipped);
  execute format('insert into audit_witness_pending (pool_id, source, row_key, revision, after)
    select s.pool_id, %L, s.row_key, nextval(''public.audit_witness_revision''), s.digest
    from %I r cross join lateral witness_state(to_jsonb(r), string_to_array(%L, '' ''), string_to_array(%L, '' '')) s',
    source, source, keys, skipped);
end $$;
revoke execute on function witness_table(text, text, text) from public;

-- The seal covers blobs, and they are wrapped anew when there are new root keys.
select witness_table('pool', '', '');
select witness_table('key', 'name_key', '');
select witness_table('key_version', 'name_key version', 'blob mac_blob seal root_generation');
select witness_table('signing_key', 'version', 'blob seal root_generation');
select witness_table('statement_key', 'version', 'blob seal root_generation');
-- Who works on a rotation that is due writes no record of that alone.
select witness_table('rotation_policy', 'name_key', 'claimed_until');
select witness_table('setting', 'name', '');
select witness_table('role_definition', 'id', '');
select witness_table('role_permission', 'role_id action', '');
select witness_table('role_assignment', 'id', '');
select witness_table('application', 'id', '');
select witness_table('application_password', 'application_id key_id', '');
select witness_table('application_certificate', 'application_id key_id', '');
select witness_table('federated_credential', 'application_id id', '');
select witness_table('service_principal', 'id', '');
select witness_table('directory_user', 'id', '');
select witness_table('user_identity', 'issuer subject', '');
select witness_table('directory_group', 'id', '');
select witness_table('group_member', 'group_id member_id', '');

grant select, insert on audit_witness to strongroom_service;
grant select, delete on audit_witness_pending to strongroom_service;
grant usage on sequence audit_witness_revision to strongroom_service;
