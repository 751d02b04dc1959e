-- What the running service may do. It adds to the trail and reads it, and can neither change nor remove a record.

do $$
begin
  -- Asked first: CREATE ROLE refuses whoever may not make roles before it looks whether the role is there.
  if not exists (select from pg_roles where rolname = 'strongroom_service') then
    create role strongroom_service nologin;
  end if;
exception
  when duplicate_object or unique_violation then null;
  when insufficient_privilege then
    raise exception 'the role strongroom_service is missing and this user may not create it: '
      'let an administrator run CREATE ROLE strongroom_service NOLOGIN';
end $$;

grant usage on schema public to strongroom_service;
grant select on schema_migration to strongroom_service;
grant select, insert on pool to strongroom_service;
grant update (purge_protection) on pool to strongroom_service;
grant select, insert, update, delete on
  key, key_version, role_definition, role_permission, role_assignment,
  application, application_password, service_principal
  to strongroom_service;
grant select, insert, delete on signing_key to strongroom_service;
grant select, insert on audit_event to strongroom_service;
