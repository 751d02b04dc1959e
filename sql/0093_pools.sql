-- Expands: versions from before serve the one pool of their setting, and know nothing of others.

-- Whether the pool keeps the directory of its tenant: applications, users, groups, and the keys that sign tokens. The other
-- pools of a tenant go by it. Null in rows from before, which do.
alter table pool add column is_home boolean;
create unique index pool_home on pool (tenant_id) where is_home is not false;

-- The label of the pool's PKCS#11 token; null for the one that the service's settings name.
alter table pool add column token_label text;

-- When it was deleted, and when it is purged: until then it can be recovered. One that gave its place to a backup's is never.
alter table pool add column deleted_at timestamptz;
alter table pool add column purge_at timestamptz;
alter table pool add constraint pool_deletion check (deleted_at is not null or purge_at is null);
grant update (deleted_at, purge_at) on pool to strongroom_service;
