-- How many credentials were refused in the last minute, and who has signed in from where in the last day: counted over all
-- processes. Keys are digests, which tell neither application nor address. In the form that rate-limiter-flexible has.
create table sign_in_counter (
  key text primary key,
  points integer not null default 0,
  expire bigint,
  -- What stands before the first colon of a key.
  pool_id uuid not null generated always as (split_part(key, ':', 1)::uuid) stored
);
create index sign_in_counter_expire on sign_in_counter (expire);

grant select, insert, update, delete on sign_in_counter to strongroom_service;
