-- Pools, keys and their versions. Every table carries pool_id: one pool today, several later.
-- Times in bigint columns are seconds since 1970-01-01 UTC, as they stand on the wire.

create table pool (
  id uuid primary key,
  name text not null unique,
  tenant_id uuid not null,
  created_at timestamptz not null default now(),
  soft_delete_days integer not null check (soft_delete_days between 7 and 90),
  purge_protection boolean not null,
  root_generation integer not null check (root_generation > 0),
  -- What only this pool's root keys give: another token behind the same settings is noticed at start.
  root_check bytea not null check (octet_length(root_check) = 32)
);

create function keep_pool_promises() returns trigger language plpgsql as $$
begin
  if old.purge_protection and not new.purge_protection then
    raise exception 'purge protection cannot be switched off';
  end if;
  if old.soft_delete_days <> new.soft_delete_days then
    raise exception 'the retention of deleted keys is fixed when a pool is made';
  end if;
  return new;
end $$;
create trigger keep_pool_promises before update on pool
  for each row execute function keep_pool_promises();

create table key (
  pool_id uuid not null references pool,
  -- Lower case: names are compared without regard to case.
  name_key text not null check (name_key ~ '^[0-9a-z-]{1,127}$'),
  -- As its creator wrote it.
  name text not null check (lower(name) = name_key),
  -- The version that answers for the bare name: the newest enabled one, else the newest.
  current_version text not null,
  deleted_at bigint,
  purge_at bigint check (purge_at >= deleted_at),
  check ((deleted_at is null) = (purge_at is null)),
  primary key (pool_id, name_key)
);
create index key_deleted on key (pool_id, name_key) where deleted_at is not null;
create index key_active on key (pool_id, name_key) where deleted_at is null;

create table key_version (
  pool_id uuid not null,
  name_key text not null,
  version text not null check (version ~ '^[0-9a-f]{32}$'),
  -- Grows with each version: the newest has the largest.
  ordinal bigint generated always as identity,
  key_type text not null check (key_type in ('RSA-HSM', 'EC-HSM', 'oct-HSM')),
  bits integer,
  curve text,
  public_exponent bigint,
  operations text[] not null,
  exportable boolean not null,
  enabled boolean not null,
  not_before bigint,
  expires bigint,
  created bigint not null,
  updated bigint not null,
  tags jsonb not null,
  -- n and e, or x and y; none for oct-HSM.
  public_1 bytea,
  public_2 bytea,
  root_generation integer not null,
  blob bytea not null,
  mac_blob bytea,
  seal bytea not null check (octet_length(seal) = 32),
  primary key (pool_id, name_key, version),
  foreign key (pool_id, name_key) references key on delete cascade,
  check ((public_1 is null) = (key_type = 'oct-HSM') and (public_1 is null) = (public_2 is null)),
  check ((curve is null) = (key_type <> 'EC-HSM') and (bits is null) = (key_type = 'EC-HSM')),
  check ((mac_blob is null) = (key_type <> 'oct-HSM'))
);
create unique index key_version_order on key_version (pool_id, name_key, ordinal);
alter table key add foreign key (pool_id, name_key, current_version) references key_version
  deferrable initially deferred;

-- The keys that sign the built-in directory's tokens: sealed like any other, but not among the pool's keys.
create table signing_key (
  pool_id uuid not null references pool,
  version text not null,
  ordinal bigint generated always as identity,
  name text not null,
  bits integer not null,
  public_exponent bigint not null,
  operations text[] not null,
  public_1 bytea not null,
  public_2 bytea not null,
  root_generation integer not null,
  blob bytea not null,
  seal bytea not null,
  primary key (pool_id, version)
);
