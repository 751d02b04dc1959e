-- Backups and restores, under way and done. What is asked of one is answered by its name, and a full restore may put another
-- pool in the place of the one that began it: so its rows go by the pool's name.

create table recovery_job (
  id text primary key check (id ~ '^[0-9a-f]{32}$'),
  pool_id uuid not null references pool,
  pool_name text not null,
  kind text not null check (kind in ('backup', 'backup-check', 'restore', 'restore-check', 'key-restore')),
  status text not null check (status in ('InProgress', 'Succeeded', 'Failed')),
  asked_by text not null check (asked_by in ('caller', 'schedule', 'operator')),
  principal_id text,
  -- Without a token.
  place text,
  folder text,
  key_name text,
  started_at timestamptz not null default now(),
  -- When its process said last that it lives.
  seen_at timestamptz not null default now(),
  ended_at timestamptz,
  keys integer,
  bytes bigint,
  error_code text,
  error_message text,
  check ((status = 'InProgress') = (ended_at is null))
);
create index recovery_job_pool on recovery_job (pool_name, kind, started_at);
create unique index recovery_job_under_way on recovery_job (pool_id) where status = 'InProgress';

grant select, insert on recovery_job to strongroom_service;
grant update (status, seen_at, ended_at, keys, bytes, error_code, error_message) on recovery_job to strongroom_service;
