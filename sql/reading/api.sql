-- The public contract of reading.

create or replace view api.reading_progress with (security_invoker = true) as
select
    p.id, p.user_id, p.story_id, c.id as chapter_id, p.progress_percentage::integer as progress_percentage,
    p.last_read_at, (p.reading_seconds / 60)::integer as reading_time_minutes, p.created_at, p.updated_at,
    p.chapter_number
from app.reading_progress as p
inner join app.chapters as c on c.story_id = p.story_id and c.chapter_number = p.chapter_number;
comment on view api.reading_progress is $$How far the caller is in each chapter

Save it with save_progress(); reading_state has one row a story.$$;
comment on column api.reading_progress.id is 'Time-ordered id.';
comment on column api.reading_progress.user_id is 'The caller.';
comment on column api.reading_progress.story_id is 'The story.';
comment on column api.reading_progress.chapter_id is 'The chapter.';
comment on column api.reading_progress.progress_percentage is 'Per cent of the chapter.';
comment on column api.reading_progress.last_read_at is 'When they last read in it.';
comment on column api.reading_progress.reading_time_minutes is 'Minutes spent on it, as the devices said.';
comment on column api.reading_progress.created_at is 'When they began it.';
comment on column api.reading_progress.updated_at is 'When it last changed.';
comment on column api.reading_progress.chapter_number is 'From 1.';
grant select on api.reading_progress to authenticated;
create or replace trigger tg_reading_progress__read_only
instead of insert or update or delete on api.reading_progress
for each row execute function app.refuse_change();

create or replace view api.user_library with (security_invoker = true) as
select
    l.id, l.user_id, l.story_id, l.added_at, l.is_favorite, l.reading_status,
    l.personal_rating::integer as personal_rating, l.personal_notes, l.added_at as created_at, l.updated_at
from app.user_library as l;
comment on view api.user_library is $$The stories that the caller keeps

Shelves by `reading_status=eq.reading`, favorites by `is_favorite=is.true`. Change it with update_library().$$;
comment on column api.user_library.id is 'Time-ordered id.';
comment on column api.user_library.user_id is 'The caller.';
comment on column api.user_library.story_id is 'The story.';
comment on column api.user_library.added_at is 'When it came into the library.';
comment on column api.user_library.is_favorite is 'A favorite.';
comment on column api.user_library.reading_status is 'want_to_read, reading, completed or dropped.';
comment on column api.user_library.personal_rating is '1 to 5; for the caller''s eyes.';
comment on column api.user_library.personal_notes is 'The caller''s notes, for their eyes.';
comment on column api.user_library.created_at is 'The same as added_at.';
comment on column api.user_library.updated_at is 'When it last changed.';
grant select on api.user_library to authenticated;
create or replace trigger tg_user_library__read_only
instead of insert or update or delete on api.user_library
for each row execute function app.refuse_change();

create or replace view api.reading_state with (security_invoker = true) as
select
    l.story_id, s.title, s.user_id as author_id, l.reading_status as status, f.current_chapter,
    f.progress_percentage, f.chapters, f.chapters_finished, f.has_more, f.access_level, f.reading_minutes,
    l.is_favorite, l.personal_rating::integer as personal_rating, l.last_read_at, l.completed_at, l.added_at
from app.user_library as l
left join app.stories as s on s.id = l.story_id
cross join lateral app.reading_figures(l.user_id, l.story_id) as f;
comment on view api.reading_state is $$Everything about the caller and each story of their library, in one row

Go on reading: `status=eq.reading&last_read_at=not.is.null&order=last_read_at.desc&limit=5`.$$;
comment on column api.reading_state.story_id is 'The story.';
comment on column api.reading_state.title is 'Its title; null for what is not to be seen any more.';
comment on column api.reading_state.author_id is 'Who wrote it.';
comment on column api.reading_state.status is 'want_to_read, reading, completed or dropped.';
comment on column api.reading_state.current_chapter is 'The furthest chapter that was begun; 1 before that.';
comment on column api.reading_state.progress_percentage is 'Per cent of what is published, by words.';
comment on column api.reading_state.chapters is 'Published chapters.';
comment on column api.reading_state.chapters_finished is 'Chapters read to their end.';
comment on column api.reading_state.has_more is 'There is something published that was not read, also after a story was completed.';
comment on column api.reading_state.access_level is 'author, full (all of it, later chapters too), partial (what was bought, and what is free), free, or none.';
comment on column api.reading_state.reading_minutes is 'Minutes spent on it.';
comment on column api.reading_state.is_favorite is 'A favorite.';
comment on column api.reading_state.personal_rating is '1 to 5.';
comment on column api.reading_state.last_read_at is 'When they last read in it; null before that.';
comment on column api.reading_state.completed_at is 'When it was last read to its end.';
comment on column api.reading_state.added_at is 'When it came into the library.';
grant select on api.reading_state to authenticated;
create or replace trigger tg_reading_state__read_only
instead of insert or update or delete on api.reading_state
for each row execute function app.refuse_change();

create or replace function api.save_progress(
    story_id uuid, chapter_number integer, percent integer, seconds_read integer default 0, restart boolean default false,
    out chapter_percent integer, out reading_status text, out is_story_finished boolean)
returns record
language sql volatile
set search_path = ''
begin atomic
    select s.chapter_percent, s.reading_status, s.is_story_finished
    from app.save_progress(story_id, chapter_number, percent, seconds_read, restart) as s;
end;
comment on function api.save_progress(uuid, integer, integer, integer, boolean) is $$Keep how far you are in a chapter

`percent` of the chapter; less than what is kept changes nothing, so that an old device loses nothing, unless `restart` says that you begin again here (later chapters then count as unread). `seconds_read` since the last call are added up. Puts the story into the library. Answers what is kept now, and whether the story was finished just now. Errors: 400 invalid_percent, 400 invalid_seconds, 401 login_required, 402 chapter_not_owned, 404 chapter_not_found, 429 rate_limited.$$;
grant execute on function api.save_progress(uuid, integer, integer, integer, boolean) to authenticated;

create or replace function api.update_library(
    story_id uuid, reading_status text default null, is_favorite boolean default null,
    personal_rating integer default null, personal_notes text default null)
returns uuid
language sql volatile
set search_path = ''
begin atomic
    select u.id from app.update_library(story_id, reading_status, is_favorite, personal_rating, personal_notes) as u;
end;
comment on function api.update_library(uuid, text, boolean, integer, text) is $$Put a story into your library, or change what you keep of it

`reading_status` want_to_read, reading, completed or dropped; `is_favorite`; `personal_rating` 1 to 5, 0 takes it back; `personal_notes` up to 5000 characters, empty takes them back. What is left out stays. Errors: 400 unknown_status, 400 invalid_rating, 400 text_too_long, 401 login_required, 404 story_not_found.$$;
grant execute on function api.update_library(uuid, text, boolean, integer, text) to authenticated;

create or replace function api.remove_from_library(story_id uuid)
returns uuid
language sql volatile
set search_path = ''
begin atomic
    select app.remove_from_library(story_id);
end;
comment on function api.remove_from_library(uuid) is $$Take a story out of your library

Your progress and notes in it are forgotten; what you bought stays yours. Errors: 401 login_required, 404 story_not_found.$$;
grant execute on function api.remove_from_library(uuid) to authenticated;

create or replace function api.reading_year(
    year integer default null, out minutes bigint, out days bigint, out longest_streak bigint,
    out chapters_finished bigint, out stories_completed bigint, out favorite_genre text, out by_month jsonb)
returns record
language sql stable
set search_path = ''
begin atomic
    select
        y.minutes, y.days, y.longest_streak, y.chapters_finished, y.stories_completed, y.favorite_genre, y.by_month
    from app.reading_year(year) as y;
end;
comment on function api.reading_year(integer) is $$Your year of reading in figures

`year`, this one by default. Minutes, days on which you read, the longest row of days, chapters and stories finished, the genre you spent most time on, by the chapters last opened in that year, and the months. Days are those of the business time zone. Errors: 400 invalid_year, 401 login_required.$$;
grant execute on function api.reading_year(integer) to authenticated;
