-- Secure key release and attestation.

-- What must be attested before a key leaves, as JSON in our own spelling: text, since the seal covers its bytes.
alter table key_version
  add column release_policy text,
  add column release_content_type text,
  add column release_immutable boolean,
  add check (num_nulls(release_policy, release_content_type, release_immutable) in (0, 3)),
  add check (exportable = (release_policy is not null));

-- The keys that sign what the pool states of its keys, and of what it releases: sealed like any other key, but not among
-- the pool's keys. `root` is the certificate authority of the others.
create table statement_key (
  pool_id uuid not null references pool,
  purpose text not null check (purpose in ('root', 'release', 'attestation')),
  version text not null check (version ~ '^[0-9a-f]{32}$'),
  ordinal bigint generated always as identity,
  bits integer not null,
  public_exponent bigint not null,
  public_1 bytea not null,
  public_2 bytea not null,
  root_generation integer not null,
  blob bytea not null,
  seal bytea not null check (octet_length(seal) = 32),
  certificate bytea not null,
  primary key (pool_id, version)
);
-- Whoever trusts the pool has pinned its authority: there is one.
create unique index statement_key_root on statement_key (pool_id) where purpose = 'root';
create index statement_key_newest on statement_key (pool_id, purpose, ordinal);

grant select, insert on statement_key to strongroom_service;
