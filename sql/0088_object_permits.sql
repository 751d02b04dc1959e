-- An object of the HSM is destroyed only by a permit: whoever can write rows alone has nothing destroyed.

-- The HSM's word on it, by the pool's root key: that the object was begun at that time and may be destroyed where no row
-- comes to tell of it (making), or that its key was removed and it may be destroyed from that time on (removal). Null where
-- there is none, as in rows from before: these are for people to decide.
alter table hsm_object_intent
  add column permit text check (permit in ('making', 'removal')),
  -- Seconds since 1970-01-01 UTC.
  add column permit_time bigint,
  -- HMAC-SHA256.
  add column permit_proof bytea check (octet_length(permit_proof) = 32),
  add check ((permit is null) = (permit_time is null) and (permit is null) = (permit_proof is null));

-- Retained: a row tells of the object still, whose key is deleted and will be purged.
alter table hsm_object_intent drop constraint hsm_object_intent_state_check;
alter table hsm_object_intent add check (state in ('creating', 'destroying', 'retained'));
