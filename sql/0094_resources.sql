-- Expands: versions from before neither write nor read it.
-- The control plane: what Azure Resource Manager's clients make and manage. It belongs to a tenant, whose home pool's id is in
-- pool_id; the pool behind a Managed HSM has an id of its own, and is found by its name.

create table subscription (
  pool_id uuid not null references pool,
  id uuid not null,
  display_name text not null,
  primary key (pool_id, id)
);

create table resource_group (
  pool_id uuid not null references pool,
  subscription_id uuid not null,
  -- The name in lower case.
  name_key text collate "C" not null,
  name text not null,
  location text not null,
  tags jsonb not null,
  primary key (pool_id, subscription_id, name_key),
  foreign key (pool_id, subscription_id) references subscription
);

create table managed_hsm (
  pool_id uuid not null references pool,
  -- The name in lower case, which is its pool's.
  name_key text collate "C" not null,
  name text not null,
  -- Its group may be gone while it is soft-deleted.
  subscription_id uuid not null,
  group_key text collate "C" not null,
  group_name text not null,
  location text not null,
  sku_family text not null,
  sku_name text not null,
  tags jsonb not null,
  soft_delete_days integer not null check (soft_delete_days between 7 and 90),
  purge_protection boolean not null,
  administrators text[] not null,
  network jsonb not null,
  state text not null check (state in ('Succeeded', 'Failed', 'Provisioning', 'Updating', 'Deleting')),
  status_message text not null,
  deleted_at timestamptz,
  purge_at timestamptz,
  primary key (pool_id, name_key),
  foreign key (pool_id, subscription_id) references subscription,
  check ((deleted_at is null) = (purge_at is null))
);
create index managed_hsm_group on managed_hsm (pool_id, subscription_id, group_key);

create table control_assignment (
  pool_id uuid not null references pool,
  id uuid not null,
  principal_id text not null,
  role_id uuid not null,
  -- Names in it are in lower case.
  scope text collate "C" not null,
  primary key (pool_id, id),
  unique (pool_id, principal_id, role_id, scope)
);

-- What is done to the pool behind a Managed HSM, by whichever process has claimed it. What of it counts is on record.
create table managed_hsm_operation (
  pool_id uuid not null references pool,
  id uuid not null,
  kind text not null check (kind in ('create', 'update', 'delete', 'recover', 'purge')),
  subscription_id uuid not null,
  group_name text not null,
  name_key text collate "C" not null,
  name text not null,
  status text not null check (status in ('running', 'succeeded', 'failed')),
  error_code text,
  error_message text,
  started_at timestamptz not null default now(),
  claimed_until timestamptz not null default now(),
  ended_at timestamptz,
  primary key (pool_id, id)
);
create unique index managed_hsm_operation_running on managed_hsm_operation (pool_id, name_key)
  where status = 'running';

-- From where a pool's data plane is used; null: from anywhere.
alter table pool add column network jsonb;
grant update (network) on pool to strongroom_service;

select witness_table('subscription', 'id', '');
select witness_table('resource_group', 'subscription_id name_key', '');
select witness_table('managed_hsm', 'name_key', '');
select witness_table('control_assignment', 'id', '');

grant select, insert, update, delete on subscription, resource_group, managed_hsm, control_assignment,
  managed_hsm_operation to strongroom_service;
