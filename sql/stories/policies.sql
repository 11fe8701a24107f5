-- Published stories are for everybody; drafts for their authors; purchases for who made them.
-- app.chapter_texts has no policy and no grant: read_chapter() is the only door.

drop policy if exists stories_select_anon on app.stories;
create policy stories_select_anon on app.stories
for select to anon using (status = 'published');
drop policy if exists stories_select_reader on app.stories;
create policy stories_select_reader on app.stories
for select to authenticated using (
    status = 'published'
    or user_id = (select app.current_user_id())
    or exists (
        select from app.story_entitlements as e
        where e.story_id = stories.id and e.user_id = (select app.current_user_id()) and e.revoked_at is null)
    or exists (
        select from app.story_authors as a
        where a.story_id = stories.id and a.creator_id = (select app.current_user_id()))
);
drop policy if exists stories_select_service on app.stories;
create policy stories_select_service on app.stories
for select to service_role using (true);
grant select on app.stories to anon, authenticated, service_role;

drop policy if exists chapters_select_anon on app.chapters;
create policy chapters_select_anon on app.chapters
for select to anon using (
    status = 'published' and exists (select from app.stories as s where s.id = chapters.story_id)
);
drop policy if exists chapters_select_reader on app.chapters;
create policy chapters_select_reader on app.chapters
for select to authenticated using (
    exists (
        select from app.stories as s
        where s.id = chapters.story_id
            and (chapters.status = 'published' or s.user_id = (select app.current_user_id())))
    or exists (
        select from app.story_authors as a
        where a.story_id = chapters.story_id and a.creator_id = (select app.current_user_id()))
);
drop policy if exists chapters_select_service on app.chapters;
create policy chapters_select_service on app.chapters
for select to service_role using (true);
grant select on app.chapters to anon, authenticated, service_role;

drop policy if exists story_pricing_select_anyone on app.story_pricing;
create policy story_pricing_select_anyone on app.story_pricing
for select to anon, authenticated using (
    exists (select from app.stories as s where s.id = story_pricing.story_id)
);
drop policy if exists story_pricing_select_service on app.story_pricing;
create policy story_pricing_select_service on app.story_pricing
for select to service_role using (true);
grant select on app.story_pricing to anon, authenticated, service_role;

-- Who the authors are is public; how they share is between them: see api.story_splits().
drop policy if exists story_authors_select_anyone on app.story_authors;
create policy story_authors_select_anyone on app.story_authors
for select to anon, authenticated, service_role using (true);
grant select (story_id, creator_id, rank) on app.story_authors to anon, authenticated;
grant select on app.story_authors to service_role;

drop policy if exists story_purchases_select_reader on app.story_purchases;
create policy story_purchases_select_reader on app.story_purchases
for select to authenticated using (user_id = app.current_user_id());
drop policy if exists story_purchases_select_service on app.story_purchases;
create policy story_purchases_select_service on app.story_purchases
for select to service_role using (true);
grant select on app.story_purchases to authenticated, service_role;

drop policy if exists story_entitlements_select_reader on app.story_entitlements;
create policy story_entitlements_select_reader on app.story_entitlements
for select to authenticated using (user_id = app.current_user_id());
drop policy if exists story_entitlements_select_service on app.story_entitlements;
create policy story_entitlements_select_service on app.story_entitlements
for select to service_role using (true);
grant select on app.story_entitlements to authenticated, service_role;
