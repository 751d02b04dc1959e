-- Role definitions with their permissions (Casbin's p lines) and role assignments (its g lines).

create table role_definition (
  pool_id uuid not null references pool,
  id uuid not null,
  role_name text not null,
  description text not null,
  kind text not null check (kind in ('built-in', 'custom')),
  -- As defined; role_permission holds what they come to.
  data_actions text[] not null,
  not_data_actions text[] not null,
  assignable_scopes text[] not null,
  -- Of the built-in ones, which Azure lists in a fixed order.
  position integer not null default 0,
  primary key (pool_id, id)
);

create table role_permission (
  pool_id uuid not null,
  role_id uuid not null,
  action text not null,
  primary key (pool_id, role_id, action),
  foreign key (pool_id, role_id) references role_definition on delete cascade
);

create table role_assignment (
  pool_id uuid not null references pool,
  id uuid not null,
  principal_id text not null,
  role_id uuid not null,
  -- '/', '/keys' or '/keys/{name in lower case}'.
  scope text not null check (scope = '/' or scope = '/keys' or scope ~ '^/keys/[0-9a-z-]{1,127}$'),
  primary key (pool_id, id),
  -- Principal first: decisions read one caller's lines.
  unique (pool_id, principal_id, role_id, scope)
);
create index role_assignment_scope on role_assignment (pool_id, scope, id);
