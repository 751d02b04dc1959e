-- Generations of root keys: new ones are made, and what the old ones sealed is wrapped anew.

-- Those by which rows may be sealed. Of a pool that is older than this table the first start puts its own here.
create table root_generation (
  pool_id uuid not null references pool,
  number integer not null check (number > 0),
  root_check bytea not null check (octet_length(root_check) = 32),
  made_at timestamptz not null default now(),
  -- Stays when nothing is sealed by it any more.
  is_kept boolean not null default false,
  -- There may be backup blobs that nothing else opens.
  opens_backups boolean not null default false,
  primary key (pool_id, number)
);

-- Those by which nothing is sealed any more, and that are destroyed in the HSM or about to be.
create table retired_root_generation (
  pool_id uuid not null references pool,
  number integer not null check (number > 0),
  retired_at timestamptz not null default now(),
  destroyed_at timestamptz,
  -- HMAC by the root keys that came after it: nobody has root keys destroyed who can only write rows.
  proof bytea not null,
  primary key (pool_id, number)
);

-- The keys of backup blobs outlive generations: a sealed AES key and the HMAC key beside it.
create table backup_keys (
  pool_id uuid not null references pool,
  version text not null,
  root_generation integer not null,
  blob bytea not null,
  mac_blob bytea not null,
  seal bytea not null check (octet_length(seal) = 32),
  made_at timestamptz not null default now(),
  primary key (pool_id, version)
);

-- Nothing can be sealed by a generation that is retired, however the two race. Rows that are there aren't looked at, since
-- the generation of theirs has no row yet.
alter table key_version add constraint key_version_root_generation
  foreign key (pool_id, root_generation) references root_generation not valid;
alter table signing_key add constraint signing_key_root_generation
  foreign key (pool_id, root_generation) references root_generation not valid;
alter table statement_key add constraint statement_key_root_generation
  foreign key (pool_id, root_generation) references root_generation not valid;
alter table backup_keys add constraint backup_keys_root_generation
  foreign key (pool_id, root_generation) references root_generation;
create index key_version_root_generation on key_version (pool_id, root_generation);

select witness_table('root_generation', 'number', '');
select witness_table('retired_root_generation', 'number', '');
select witness_table('backup_keys', 'version', 'blob mac_blob seal root_generation');

grant select, insert, delete on root_generation to strongroom_service;
grant update (is_kept) on root_generation to strongroom_service;
grant select, insert on retired_root_generation to strongroom_service;
grant update (destroyed_at) on retired_root_generation to strongroom_service;
grant select, insert on backup_keys to strongroom_service;
grant update (root_generation, blob, mac_blob, seal) on backup_keys to strongroom_service;
grant update (root_generation, root_check) on pool to strongroom_service;
grant update (root_generation, blob, seal) on signing_key, statement_key to strongroom_service;
