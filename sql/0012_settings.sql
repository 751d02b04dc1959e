-- What an administrator can switch, where it isn't as it was by default; and how often keys have encrypted with AES-GCM.

create table setting (
  pool_id uuid not null references pool,
  name text not null,
  value text not null check (value in ('true', 'false')),
  primary key (pool_id, name)
);

-- Not bound to key_version: a key that is purged and restored goes on counting where it was.
create table gcm_use (
  pool_id uuid not null references pool,
  version text not null check (version ~ '^[0-9a-f]{32}$'),
  -- Encryptions that processes have set aside for themselves: as many as were made, or a few more.
  reserved bigint not null check (reserved >= 0),
  primary key (pool_id, version)
);

grant select, insert, update on setting, gcm_use to strongroom_service;
