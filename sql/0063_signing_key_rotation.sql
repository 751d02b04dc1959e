-- The directory's signing keys are rotated: how old each is, and which one it came after. Two processes that find the same
-- key due can't both put one after it.
alter table signing_key add column created_at timestamptz not null default now();
alter table signing_key add column after_version text;
alter table signing_key add unique (pool_id, after_version);
