-- What a full restore needs besides: the pool becomes what it was, or another one takes its place and its name.

grant delete on setting, federated_credential_use to strongroom_service;
grant update (name) on pool to strongroom_service;

-- Restored rows have the numbers that they had elsewhere, and those that are made later must have larger ones. It can only
-- raise them, whoever asks.
create function raise_sequences() returns void
language plpgsql security definer set search_path = pg_catalog, public as $$
declare
  sought record;
  largest bigint;
begin
  for sought in
    select * from (values
      ('key_version', 'ordinal', pg_get_serial_sequence('public.key_version', 'ordinal')),
      ('signing_key', 'ordinal', pg_get_serial_sequence('public.signing_key', 'ordinal')),
      ('statement_key', 'ordinal', pg_get_serial_sequence('public.statement_key', 'ordinal')),
      ('audit_chain', 'number', pg_get_serial_sequence('public.audit_chain', 'number')),
      ('audit_witness', 'revision', 'public.audit_witness_revision')
    ) as known (source, counter, sequence)
  loop
    execute format('select max(%I) from public.%I', sought.counter, sought.source) into largest;
    if largest > nextval(sought.sequence) then
      perform setval(sought.sequence, largest);
    end if;
  end loop;
end $$;
revoke execute on function raise_sequences() from public;
grant execute on function raise_sequences() to strongroom_service;
