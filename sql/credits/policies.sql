-- Everybody sees the packages on sale; operators see all of them.

drop policy if exists credit_packages_select_anyone on app.credit_packages;
create policy credit_packages_select_anyone on app.credit_packages
for select to anon, authenticated using (is_active);
drop policy if exists credit_packages_select_service on app.credit_packages;
create policy credit_packages_select_service on app.credit_packages
for select to service_role using (true);
grant select on app.credit_packages to anon, authenticated, service_role;
