-- Expands: versions from before neither write nor read it.
-- New root keys that are to become a pool's: each process that serves it says, in replica_process, whether its HSM holds
-- them. Nothing is decided by this row, and nothing sealed by what it names.
create table root_key_offer (
  pool_id uuid primary key,
  generation integer not null check (generation > 0),
  root_check bytea not null check (octet_length(root_check) = 32),
  offered_at timestamptz not null default now()
);

grant select, insert, update, delete on root_key_offer to strongroom_service;
