-- Federated credentials that somebody has signed in with. Of one that nobody has, only a sign-in shows whether its issuer,
-- subject and audience are anybody's: it isn't the way in of the last Administrator.
create table federated_credential_use (
  pool_id uuid not null,
  application_id uuid not null,
  id uuid not null,
  first_used_at timestamptz not null default now(),
  primary key (pool_id, application_id, id),
  foreign key (pool_id, application_id, id) references federated_credential on delete cascade
);

grant select, insert on federated_credential_use to strongroom_service;
