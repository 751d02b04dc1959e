-- What a generation of root keys is, said by HMACs of root keys: whoever can only write rows has the service move to no root
-- keys of theirs, and has none destroyed.

-- An older generation says that a newer one comes after it.
create table root_voucher (
  pool_id uuid not null references pool,
  by_generation integer not null check (by_generation > 0),
  generation integer not null,
  proof bytea not null check (octet_length(proof) = 32),
  primary key (pool_id, by_generation, generation),
  check (by_generation < generation)
);

-- A generation says which older ones go once nothing is sealed by them; the others stay. Null: from before there were such,
-- or the pool's first.
alter table root_generation add column retires integer[];
alter table root_generation add column retirement bytea check (octet_length(retirement) = 32);

select witness_table('root_voucher', 'by_generation generation', '');

grant select, insert, update on root_voucher to strongroom_service;
grant update (retires, retirement) on root_generation to strongroom_service;
