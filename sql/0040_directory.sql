-- The rest of the built-in directory: users, groups, and credentials that are no secrets.

create table directory_user (
  pool_id uuid not null references pool,
  id uuid not null,
  display_name text not null,
  user_principal_name text not null,
  enabled boolean not null,
  primary key (pool_id, id)
);
create unique index directory_user_name on directory_user (pool_id, lower(user_principal_name));

-- Who a user is to an external issuer: its tokens with this subject are the user's.
create table user_identity (
  pool_id uuid not null,
  issuer text not null,
  subject text not null,
  user_id uuid not null,
  primary key (pool_id, issuer, subject),
  foreign key (pool_id, user_id) references directory_user on delete cascade
);
create index user_identity_user on user_identity (pool_id, user_id);

create table directory_group (
  pool_id uuid not null references pool,
  id uuid not null,
  display_name text not null,
  description text,
  primary key (pool_id, id)
);
create index directory_group_name on directory_group (pool_id, display_name, id);

-- Members are users, service principals and other groups; whoever removes one removes its memberships.
create table group_member (
  pool_id uuid not null,
  group_id uuid not null,
  member_id uuid not null,
  primary key (pool_id, group_id, member_id),
  foreign key (pool_id, group_id) references directory_group on delete cascade
);
create index group_member_member on group_member (pool_id, member_id, group_id);

-- Graph's keyCredentials: X.509 certificates, which are public.
create table application_certificate (
  pool_id uuid not null,
  application_id uuid not null,
  key_id uuid not null,
  display_name text,
  -- SHA-256 of the certificate in DER.
  thumbprint bytea not null,
  certificate bytea not null,
  starts_at timestamptz not null,
  ends_at timestamptz not null,
  primary key (pool_id, application_id, key_id),
  unique (pool_id, application_id, thumbprint),
  foreign key (pool_id, application_id) references application on delete cascade
);

create table federated_credential (
  pool_id uuid not null,
  application_id uuid not null,
  id uuid not null,
  name text not null,
  issuer text not null,
  subject text not null,
  audience text not null,
  description text,
  primary key (pool_id, application_id, id),
  unique (pool_id, application_id, name),
  unique (pool_id, application_id, issuer, subject),
  foreign key (pool_id, application_id) references application on delete cascade
);

grant select, insert, update, delete on
  directory_user, user_identity, directory_group, group_member, application_certificate, federated_credential
  to strongroom_service;
