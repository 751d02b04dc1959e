-- Intents that take no place in the HSM, or can be struck off at once.

-- Nobody makes the object any more: where it isn't there, it won't come.
alter table hsm_object_intent add column is_over boolean not null default false;
-- It was looked for and isn't there, but may yet come.
alter table hsm_object_intent add column is_absent boolean not null default false;

update hsm_object_intent set is_over = true where state = 'destroying' and process = 'removal';
