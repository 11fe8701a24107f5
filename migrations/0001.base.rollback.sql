-- Roles stay: other databases of the same server may use them.
alter default privileges for role app_owner grant execute on functions to public;
drop schema api cascade;
drop schema app cascade;
drop schema ledger cascade;
