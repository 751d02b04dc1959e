-- Expands: versions from before neither write nor read it.
-- What of the audit log is read on a standby: a process writes a number here, on the primary, and reads on a standby only
-- where it finds that number. What was committed before it is there then, however replication got it there.
create table standby_mark (
  pool_id uuid not null references pool,
  process uuid not null,
  number bigint not null,
  written_at timestamptz not null default now(),
  primary key (pool_id, process)
);

grant select, insert, update, delete on standby_mark to strongroom_service;
