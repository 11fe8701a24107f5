-- What somebody reads, and what they think of it, is nobody else's business.

drop policy if exists user_library_select_reader on app.user_library;
create policy user_library_select_reader on app.user_library
for select to authenticated using (user_id = (select app.current_user_id()));
grant select on app.user_library to authenticated;

drop policy if exists reading_progress_select_reader on app.reading_progress;
create policy reading_progress_select_reader on app.reading_progress
for select to authenticated using (user_id = (select app.current_user_id()));
grant select on app.reading_progress to authenticated;
