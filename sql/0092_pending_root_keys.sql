-- Expands: versions from before neither write nor read it; root keys of a download of theirs are the current ones at once.
-- Root keys that a download of the security domain has made: they become the pool's current ones once the HSM of each replica
-- holds them. Nothing is sealed by them before, but the pair of backup keys that becomes current with them.

create table pending_root_generation (
  pool_id uuid not null references pool,
  generation integer not null check (generation > 0),
  -- The current one of when they were made.
  after_generation integer not null,
  root_check bytea not null check (octet_length(root_check) = 32),
  -- As in root_generation; what older root keys say of these is in root_voucher.
  retires integer[] not null,
  retirement bytea not null check (octet_length(retirement) = 32),
  -- Null for modules that wrap no HMAC keys.
  pair_version text,
  pair_blob bytea,
  pair_mac_blob bytea,
  pair_seal bytea check (octet_length(pair_seal) = 32),
  made_at timestamptz not null default now(),
  primary key (pool_id, generation),
  check (after_generation < generation)
);
create unique index pending_root_generation_one on pending_root_generation (pool_id);

-- Replicas, by name, that have been seen to lack them.
create table root_key_awaited (
  pool_id uuid not null,
  replica_name text not null,
  seen_at timestamptz not null default now(),
  -- An operator has said that it isn't waited for.
  is_given_up boolean not null default false,
  primary key (pool_id, replica_name)
);

select witness_table('pending_root_generation', 'generation', '');

grant select, insert, delete on pending_root_generation to strongroom_service;
grant select, insert, update, delete on root_key_awaited to strongroom_service;
