-- The security domain: whether a pool may be used without one, what was given to custodians, and what was taken from them.

-- Null: from before there were security domains.
alter table pool add column activation text check (activation in ('none', 'domain', 'hsm', 'embedded'));
-- While a full restore puts other rows in the place of the pool's: nothing is served then.
alter table pool add column restoring_since timestamptz;

create table security_domain_download (
  pool_id uuid not null references pool,
  -- Of the root keys that it holds, which were made for it.
  generation integer not null check (generation > 0),
  made_at timestamptz not null default now(),
  required integer not null check (required > 1),
  -- Whoever holds a share: SHA-256 of their certificates, in base64url.
  custodians text[] not null check (cardinality(custodians) >= required),
  primary key (pool_id, generation)
);

-- To which a security domain is encrypted on its way here: sealed like any other key, but not among the pool's keys.
create table transfer_key (
  pool_id uuid not null references pool,
  version text not null check (version ~ '^[0-9a-f]{32}$'),
  bits integer not null,
  public_exponent bigint not null,
  public_1 bytea not null,
  public_2 bytea not null,
  root_generation integer not null,
  blob bytea not null,
  seal bytea not null check (octet_length(seal) = 32),
  certificate bytea not null,
  expires_at timestamptz not null,
  primary key (pool_id, version),
  foreign key (pool_id, root_generation) references root_generation
);
create unique index transfer_key_one on transfer_key (pool_id);

-- Another pool's domain, whose root keys are in the HSM.
create table uploaded_domain (
  pool_id uuid not null references pool,
  -- It need not be in this database.
  of_pool_id uuid not null check (of_pool_id <> pool_id),
  generation integer not null check (generation > 0),
  root_check bytea not null check (octet_length(root_check) = 32),
  uploaded_at timestamptz not null default now(),
  primary key (pool_id, of_pool_id)
);
create unique index uploaded_domain_one on uploaded_domain (pool_id);

-- The keys of that pool's backups, sealed by its root keys.
create table uploaded_backup_keys (
  pool_id uuid not null,
  of_pool_id uuid not null,
  version text not null,
  -- Oldest first.
  ordinal integer not null,
  blob bytea not null,
  mac_blob bytea not null,
  seal bytea not null check (octet_length(seal) = 32),
  primary key (pool_id, of_pool_id, version),
  foreign key (pool_id, of_pool_id) references uploaded_domain on delete cascade
);

select witness_table('security_domain_download', 'generation', '');
select witness_table('transfer_key', 'version', 'blob seal root_generation');
select witness_table('uploaded_domain', 'of_pool_id', '');
select witness_table('uploaded_backup_keys', 'of_pool_id version', '');

grant update (activation, restoring_since) on pool to strongroom_service;
grant select, insert on security_domain_download to strongroom_service;
grant select, insert, delete on transfer_key, uploaded_domain, uploaded_backup_keys to strongroom_service;
grant update (root_generation, blob, seal) on transfer_key to strongroom_service;
