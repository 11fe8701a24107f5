-- Who may see what of the base tables. Nobody writes them directly.

drop policy if exists economy_select_anyone on app.economy;
create policy economy_select_anyone on app.economy
for select to anon, authenticated, service_role using (true);
grant select on app.economy to anon, authenticated, service_role;

drop policy if exists profiles_select_anyone on app.profiles;
create policy profiles_select_anyone on app.profiles
for select to anon, authenticated, service_role using (true);
grant select on app.profiles to anon, authenticated, service_role;

drop policy if exists audit_log_select_service on app.audit_log;
create policy audit_log_select_service on app.audit_log
for select to service_role using (true);
grant select on app.audit_log to service_role;
