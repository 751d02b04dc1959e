-- Callers and operations are sought without regard to case, as key names are.
create index audit_event_principal_lower on audit_event (pool_id, lower(principal_id), time);
drop index audit_event_principal;
create index audit_usage_principal_lower on audit_usage (pool_id, period, lower(principal_id), start);
drop index audit_usage_principal;
