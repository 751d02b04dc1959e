-- The audit trail: append-only (see the grants). Each writing process has a writer id: its own records are in the order of
-- their ids.

create table audit_event (
  id bigint generated always as identity primary key,
  pool_id uuid not null references pool,
  writer uuid not null,
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
  duration_ms double precision not null,
  change jsonb
);
create index audit_event_pool on audit_event (pool_id, id desc);
create index audit_event_time on audit_event (pool_id, time);
create index audit_event_principal on audit_event (pool_id, principal_id, id desc);
create index audit_event_key on audit_event (pool_id, lower(key_name), id desc);
