-- Readers see what they asked for; nobody on the web sees the files.

drop policy if exists exports_select_reader on app.exports;
create policy exports_select_reader on app.exports
for select to authenticated using (user_id = (select app.current_user_id()));
drop policy if exists exports_select_service on app.exports;
create policy exports_select_service on app.exports
for select to service_role using (true);
grant select on app.exports to authenticated, service_role;

-- What was paid for does not vanish; only its file does.
create or replace trigger tg_exports__no_delete
before delete on app.exports
for each row execute function app.refuse_change();
create or replace trigger tg_exports__no_truncate
before truncate on app.exports
for each statement execute function app.refuse_change();
