-- Full restores against who knows the pool as it was before.

-- How often a full restore has made the pool another. Every process remembers the number of its start, and writes nothing
-- once there is another one. Null: never.
alter table pool add column restores integer check (restores > 0);
grant update (restores) on pool to strongroom_service;

-- Those that ended long ago, and those that somebody fills the table with.
grant delete on recovery_job to strongroom_service;
