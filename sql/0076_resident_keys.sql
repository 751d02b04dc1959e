-- Resident pools: keys are token objects of the HSM. In the place of a wrapped key a row has the object's CKA_ID.

-- Null: from before there was a choice, and therefore sealed.
alter table pool add column key_keeping text check (key_keeping in ('sealed', 'resident'));

create or replace function keep_pool_promises() returns trigger language plpgsql as $$
begin
  if old.purge_protection and not new.purge_protection then
    raise exception 'purge protection cannot be switched off';
  end if;
  if old.soft_delete_days <> new.soft_delete_days then
    raise exception 'the retention of deleted keys is fixed when a pool is made';
  end if;
  if coalesce(old.key_keeping, 'sealed') <> coalesce(new.key_keeping, 'sealed') then
    raise exception 'where a pool keeps its keys is fixed when it is made';
  end if;
  return new;
end $$;

-- Objects of which no key's row tells: those that are being made, and those of rows that are gone. Written before the HSM
-- is asked, so that a crash leaves no object of which nobody knows.
create table hsm_object_intent (
  pool_id uuid not null references pool,
  -- CKA_ID.
  object_id text not null check (object_id ~ '^[0-9a-f]{32}$'),
  -- The key's version, and its name as it was asked for.
  version text not null,
  key_name text not null,
  state text not null check (state in ('creating', 'destroying')),
  since timestamptz not null default now(),
  -- Who is at it, for people.
  process text not null,
  -- Whoever destroys it has until then.
  claimed_until timestamptz not null default '-infinity',
  primary key (pool_id, object_id)
);
create index hsm_object_intent_version on hsm_object_intent (pool_id, version);

-- An object of which a row tells is never destroyed.
create index key_version_object on key_version (pool_id, blob) where octet_length(blob) = 17;
create index key_version_mac_object on key_version (pool_id, mac_blob) where octet_length(mac_blob) = 17;

grant select, insert, update, delete on hsm_object_intent to strongroom_service;
