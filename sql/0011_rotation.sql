-- When keys get a new version by themselves, and when their keepers are told that it is time.

create table rotation_policy (
  pool_id uuid not null,
  name_key text not null,
  -- [{type, trigger, time}], as core/rotation.ts has them.
  actions jsonb not null,
  expiry_time text,
  created bigint not null,
  updated bigint not null,
  -- What the policy comes to for the newest version; worked out anew when either changes.
  rotate_at bigint,
  notify_at bigint,
  -- Of which version, and due when, its keepers have been told.
  notified_version text,
  notified_for bigint,
  -- A process that makes a new version has so long to do it before another one tries.
  claimed_until bigint not null default 0,
  primary key (pool_id, name_key),
  foreign key (pool_id, name_key) references key on delete cascade
);
create index rotation_policy_rotate on rotation_policy (pool_id, rotate_at) where rotate_at is not null;
create index rotation_policy_notify on rotation_policy (pool_id, notify_at) where notify_at is not null;

-- Deleted keys by the end of their retention.
create index key_purge on key (pool_id, purge_at) where purge_at is not null;

grant select, insert, update, delete on rotation_policy to strongroom_service;
