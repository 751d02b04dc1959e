-- Processes that serve a pool, on whatever machines: each says every few seconds how it is. A row says nothing of keys, is worth
-- nothing when its time is past, and goes with its process; so it refers to no pool, which a full restore may replace.

create table replica_process (
  id uuid primary key,
  pool_id uuid not null,
  -- One start of `strongroom serve`, which has several processes.
  replica_id uuid not null,
  replica_name text not null check (length(replica_name) between 1 and 253),
  version text not null,
  -- The newest migration that it knows.
  schema text not null,
  -- Root keys that its HSM holds, of those that the pool needs.
  root_generations integer[] not null,
  is_ready boolean not null,
  reason text,
  feed_lag_ms integer,
  clock_difference_ms integer,
  started_at timestamptz not null,
  seen_at timestamptz not null default now()
);
create index replica_process_pool on replica_process (pool_id, seen_at);

grant select, insert, update, delete on replica_process to strongroom_service;
