-- The trail as chains: each writing process links its records (SHA-256 over a record and the hash before it), and signs the
-- heads of its chains by a key in the HSM. Partitions by month, so that old months can go as a whole.

-- Written before there were chains: kept as it is, and neither shown nor extended.
alter table audit_event rename to audit_event_unchained;
alter index audit_event_pkey rename to audit_event_unchained_pkey;
drop index audit_event_pool, audit_event_time, audit_event_principal, audit_event_key;
revoke insert on audit_event_unchained from strongroom_service;

create table audit_chain (
  pool_id uuid not null references pool,
  chain uuid not null,
  -- In the order in which chains were begun.
  number bigint generated always as identity,
  begun_at timestamptz not null,
  primary key (pool_id, chain)
);
create unique index audit_chain_number on audit_chain (number);

create table audit_event (
  pool_id uuid not null,
  chain uuid not null,
  -- From 1 on, without a gap.
  sequence bigint not null check (sequence > 0),
  -- When the record was made; it never goes back within a chain.
  time timestamptz not null,
  request_id uuid not null,
  client_request_id text,
  tenant_id text,
  principal_id text,
  application_id text,
  principal_name text,
  client_address text,
  user_agent text,
  operation text not null,
  action text,
  scope text,
  key_name text,
  key_version text,
  algorithm text,
  outcome text not null check (outcome in ('success', 'failure')),
  status integer not null,
  error_code text,
  reason text,
  duration_ms double precision not null,
  change jsonb,
  hash bytea not null check (octet_length(hash) = 32),
  primary key (chain, sequence, time)
) partition by range (time);
create index audit_event_time on audit_event (pool_id, time, chain, sequence);
create index audit_event_principal on audit_event (pool_id, principal_id, time);
create index audit_event_key on audit_event (pool_id, lower(key_name), time);

-- What a process vouches for: statements signed in the HSM, each with the digest of the one before.
create table audit_checkpoint (
  pool_id uuid not null references pool,
  number bigint not null check (number > 0),
  time timestamptz not null,
  -- A compact JWS (RFC 7515).
  statement text not null,
  is_retention boolean not null,
  primary key (pool_id, number)
);
create index audit_checkpoint_time on audit_checkpoint (pool_id, time);
-- Which checkpoint speaks of which chain: an index only, what counts is what was signed.
create table audit_checkpoint_head (
  pool_id uuid not null,
  chain uuid not null,
  number bigint not null,
  sequence bigint not null,
  ends boolean not null,
  primary key (pool_id, chain, number),
  foreign key (pool_id, number) references audit_checkpoint on delete cascade
);

-- The service's role can't make tables, and the months go on: this makes the partitions from this month to `months` ahead.
create function make_audit_partitions(months integer) returns void
language plpgsql security definer set search_path = pg_catalog, public as $$
declare
  first date;
begin
  -- Two at once would both find a month missing.
  perform pg_advisory_xact_lock(1465076801);
  for first in
    select generate_series(
      date_trunc('month', now() at time zone 'utc'),
      date_trunc('month', now() at time zone 'utc') + make_interval(months => least(months, 24)),
      interval '1 month')::date
  loop
    if to_regclass('public.audit_event_' || to_char(first, 'YYYY_MM')) is null then
      begin
        execute format(
          'create table public.audit_event_%s partition of public.audit_event for values from (%L) to (%L)',
          to_char(first, 'YYYY_MM'),
          first::timestamp at time zone 'utc',
          (first + interval '1 month')::timestamp at time zone 'utc');
      exception when check_violation then
        raise warning 'records of % stand in audit_event_else: they stay there', to_char(first, 'YYYY-MM');
      end;
    end if;
  end loop;
end $$;
revoke execute on function make_audit_partitions(integer) from public;
grant execute on function make_audit_partitions(integer) to strongroom_service;
-- Clocks can be wrong, and a record that has no place would be a request without an answer.
create table audit_event_else partition of audit_event default;
select make_audit_partitions(3);

grant select, insert on audit_chain, audit_event, audit_checkpoint, audit_checkpoint_head
  to strongroom_service;

alter table statement_key drop constraint statement_key_purpose_check;
alter table statement_key add constraint statement_key_purpose_check
  check (purpose in ('root', 'release', 'attestation', 'audit'));
