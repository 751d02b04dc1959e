-- Principals are named without regard to case, and kept in lower case from now on. Of two assignments that come to be the
-- same by it, the one that lasts longer stays.

delete from role_assignment a using role_assignment b
where a.pool_id = b.pool_id and a.role_id = b.role_id and a.scope = b.scope and a.id <> b.id
  and lower(a.principal_id collate "C") = lower(b.principal_id collate "C")
  and (coalesce(a.expires_on, 9223372036854775807), a.id) < (coalesce(b.expires_on, 9223372036854775807), b.id);

update role_assignment set principal_id = lower(principal_id collate "C")
where principal_id <> lower(principal_id collate "C");
