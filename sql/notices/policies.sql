-- What people are told is between them and us: operators see what happened, not the mail about it.

drop policy if exists notices_select_owner on app.notices;
create policy notices_select_owner on app.notices
for select to authenticated using (user_id = (select app.current_user_id()));
grant select on app.notices to authenticated;

drop policy if exists notice_settings_select_owner on app.notice_settings;
create policy notice_settings_select_owner on app.notice_settings
for select to authenticated using (user_id = (select app.current_user_id()));
grant select on app.notice_settings to authenticated;
