-- By which the service makes full backups by itself. It stays out of them: where one is restored for a trial, nothing may be
-- written or removed where the pool's own backups are.

create table backup_schedule (
  pool_id uuid not null references pool,
  kind text not null check (kind = 'full'),
  -- Without a token.
  place text not null,
  cron text,
  time_zone text,
  every_seconds integer check (every_seconds >= 60),
  keep_count integer check (keep_count > 0),
  keep_seconds integer check (keep_seconds > 0),
  with_audit_records boolean not null,
  -- From when on it holds, and from when intervals are counted.
  set_at timestamptz not null default now(),
  primary key (pool_id, kind),
  check (num_nonnulls(cron, every_seconds) = 1),
  check ((cron is null) = (time_zone is null))
);

select witness_table('backup_schedule', 'kind', '');

grant select, insert, update, delete on backup_schedule to strongroom_service;
