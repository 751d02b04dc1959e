-- The built-in directory: applications, their secrets (hashes only) and service principals, in Microsoft Graph's words.

create table application (
  pool_id uuid not null references pool,
  id uuid not null,
  app_id uuid not null,
  display_name text not null,
  created_at timestamptz not null,
  primary key (pool_id, id),
  unique (pool_id, app_id)
);
create index application_name on application (pool_id, display_name, id);

create table application_password (
  pool_id uuid not null,
  application_id uuid not null,
  key_id uuid not null,
  display_name text,
  hint text not null,
  hash text not null,
  starts_at timestamptz not null,
  ends_at timestamptz not null,
  primary key (pool_id, application_id, key_id),
  foreign key (pool_id, application_id) references application on delete cascade
);

create table service_principal (
  pool_id uuid not null,
  id uuid not null,
  app_id uuid not null,
  display_name text not null,
  enabled boolean not null,
  primary key (pool_id, id),
  unique (pool_id, app_id),
  foreign key (pool_id, app_id) references application (pool_id, app_id) on delete cascade
);
create index service_principal_name on service_principal (pool_id, display_name, id);
