-- Custom roles have any number of permissions, each with its own exclusions; assignments may end by themselves.

alter table role_definition add column permissions jsonb;
update role_definition set permissions = jsonb_build_array(
  jsonb_build_object('dataActions', to_jsonb(data_actions), 'notDataActions', to_jsonb(not_data_actions)));
alter table role_definition
  alter column permissions set not null,
  drop column data_actions,
  drop column not_data_actions;
create index role_definition_order on role_definition (pool_id, kind, position, id);

alter table role_assignment
  add column description text,
  -- Seconds since 1970-01-01 UTC; null: until it is removed.
  add column expires_on bigint;
create index role_assignment_role on role_assignment (pool_id, role_id);
