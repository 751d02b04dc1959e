-- How often each principal did what with which key, by hour and by day (UTC): counted from the trail as it grows. It can be
-- made anew from the trail at any time, so it is no evidence itself.
create table audit_usage (
  pool_id uuid not null references pool,
  period text not null check (period in ('hour', 'day')),
  start timestamptz not null,
  -- Lower case; '' for what isn't about a key, and for callers that nobody knows.
  key_name text not null,
  principal_id text not null,
  operation text not null,
  succeeded bigint not null,
  failed bigint not null,
  last_at timestamptz not null,
  primary key (pool_id, period, start, key_name, principal_id, operation)
);
create index audit_usage_key on audit_usage (pool_id, period, key_name, start);
create index audit_usage_principal on audit_usage (pool_id, period, principal_id, start);

-- When each key was last used with success for what keys are for.
create table audit_key_use (
  pool_id uuid not null references pool,
  key_name text not null,
  last_used_at timestamptz not null,
  primary key (pool_id, key_name)
);

-- Up to which record of each chain all that is counted.
create table audit_usage_position (
  pool_id uuid not null references pool,
  chain uuid not null,
  sequence bigint not null,
  is_over boolean not null,
  primary key (pool_id, chain)
);

grant select, insert, update on audit_usage, audit_key_use, audit_usage_position
  to strongroom_service;
