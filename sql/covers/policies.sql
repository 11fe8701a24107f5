-- Authors see their own jobs; the cover that a story shows is for everybody who sees the story.

drop policy if exists cover_styles_select_anyone on app.cover_styles;
create policy cover_styles_select_anyone on app.cover_styles
for select to anon, authenticated using (is_active);
drop policy if exists cover_styles_select_service on app.cover_styles;
create policy cover_styles_select_service on app.cover_styles
for select to service_role using (true);
grant select on app.cover_styles to anon, authenticated, service_role;

drop policy if exists cover_jobs_select_author on app.cover_jobs;
create policy cover_jobs_select_author on app.cover_jobs
for select to authenticated using (user_id = (select app.current_user_id()));
drop policy if exists cover_jobs_select_service on app.cover_jobs;
create policy cover_jobs_select_service on app.cover_jobs
for select to service_role using (true);
grant select on app.cover_jobs to authenticated, service_role;

-- Which servers there are, and what they say, is for operators.
drop policy if exists cover_attempts_select_service on app.cover_attempts;
create policy cover_attempts_select_service on app.cover_attempts
for select to service_role using (true);
grant select on app.cover_attempts to service_role;

drop policy if exists story_covers_select_anon on app.story_covers;
create policy story_covers_select_anon on app.story_covers
for select to anon using (
    is_primary and exists (select from app.stories as s where s.id = story_covers.story_id)
);
drop policy if exists story_covers_select_reader on app.story_covers;
create policy story_covers_select_reader on app.story_covers
for select to authenticated using (
    removed_at is null
    and (user_id = (select app.current_user_id())
        or (is_primary and exists (select from app.stories as s where s.id = story_covers.story_id)))
);
drop policy if exists story_covers_select_service on app.story_covers;
create policy story_covers_select_service on app.story_covers
for select to service_role using (true);
grant select on app.story_covers to anon, authenticated, service_role;

-- What was paid for does not vanish.
create or replace trigger tg_cover_jobs__no_delete
before delete on app.cover_jobs
for each row execute function app.refuse_change();
create or replace trigger tg_cover_jobs__no_truncate
before truncate on app.cover_jobs
for each statement execute function app.refuse_change();
create or replace trigger tg_cover_attempts__no_delete
before delete on app.cover_attempts
for each row execute function app.refuse_change();
create or replace trigger tg_cover_attempts__no_truncate
before truncate on app.cover_attempts
for each statement execute function app.refuse_change();
create or replace trigger tg_story_covers__no_delete
before delete on app.story_covers
for each row execute function app.refuse_change();
create or replace trigger tg_story_covers__no_truncate
before truncate on app.story_covers
for each statement execute function app.refuse_change();
