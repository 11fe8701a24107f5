-- The stories that somebody keeps, and what they think of them.

create or replace function app.require_visible_story(user_id uuid, story_id uuid)
returns app.stories
language plpgsql stable
set search_path = ''
as $$
declare
    v_story app.stories;
begin
    select s.* into v_story
    from app.stories as s
    where s.id = require_visible_story.story_id
        and (s.status = 'published'
            or app.story_access(require_visible_story.user_id, s.id) in ('author', 'full', 'partial'));
    if not found then
        perform app.fail(404, 'story_not_found', 'There is no such story.');
    end if;
    return v_story;
end;
$$;
comment on function app.require_visible_story(uuid, uuid) is $$A story that this person can see

Errors: 404 story_not_found.$$;

create or replace function app.update_library(
    story_id uuid, reading_status text, is_favorite boolean, personal_rating integer, personal_notes text)
returns app.user_library
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_user();
    v_notes constant text := btrim(update_library.personal_notes, E' \t\r\n');
    v_kept app.user_library;
begin
    if update_library.reading_status not in ('want_to_read', 'reading', 'completed', 'dropped') then
        perform app.fail(
            400, 'unknown_status', 'A story is want_to_read, reading, completed or dropped.', update_library.reading_status);
    elsif update_library.personal_rating not between 0 and 5 then
        perform app.fail(
            400, 'invalid_rating', 'A rating is a number from 1 to 5; 0 takes it back.', update_library.personal_rating::text);
    elsif length(v_notes) > 5000 then
        perform app.fail(
            400, 'text_too_long', 'The notes are too long.',
            format('They have %s characters; at most 5000 are allowed.', length(v_notes)));
    end if;
    if not exists (
        select from app.user_library as l where l.user_id = v_user_id and l.story_id = update_library.story_id)
    then
        perform app.require_visible_story(v_user_id, update_library.story_id);
    end if;
    insert into app.user_library as l (
        user_id, story_id, reading_status, is_favorite, personal_rating, personal_notes, completed_at)
    values (
        v_user_id, update_library.story_id, coalesce(update_library.reading_status, 'want_to_read'),
        coalesce(update_library.is_favorite, false), nullif(update_library.personal_rating, 0), nullif(v_notes, ''),
        case update_library.reading_status when 'completed' then now() end)
    on conflict on constraint user_library_pkey do update
    set reading_status = coalesce(update_library.reading_status, l.reading_status),
        is_favorite = coalesce(update_library.is_favorite, l.is_favorite),
        personal_rating = case
            when update_library.personal_rating is null then l.personal_rating else excluded.personal_rating end,
        personal_notes = case when v_notes is null then l.personal_notes else excluded.personal_notes end,
        -- Said again, it stays where it was.
        completed_at = case
            when l.reading_status = 'completed' then l.completed_at
            else coalesce(excluded.completed_at, l.completed_at) end,
        updated_at = now()
    returning l.* into v_kept;
    return v_kept;
end;
$$;
comment on function app.update_library(uuid, text, boolean, integer, text) is $$Put a story into the caller's library, or change what they keep of it

Null leaves alone. Errors: see api.update_library.$$;
grant execute on function app.update_library(uuid, text, boolean, integer, text) to authenticated;

create or replace function app.remove_from_library(story_id uuid)
returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_user();
begin
    -- In the order of save_progress, which may come from another device just now.
    perform
    from app.user_library as l
    where l.user_id = v_user_id and l.story_id = remove_from_library.story_id
    for update;
    -- What was read goes with it; what was read on which day, and what was bought, stays.
    delete from app.reading_progress as p
    where p.user_id = v_user_id and p.story_id = remove_from_library.story_id;
    delete from app.user_library as l
    where l.user_id = v_user_id and l.story_id = remove_from_library.story_id;
    if not found then
        perform app.fail(404, 'story_not_found', 'This story is not in your library.');
    end if;
    return remove_from_library.story_id;
end;
$$;
comment on function app.remove_from_library(uuid) is $$Take a story out of the caller's library, with what they had read of it

Errors: 401 login_required, 404 story_not_found.$$;
grant execute on function app.remove_from_library(uuid) to authenticated;

create or replace function app.reading_figures(
    user_id uuid, story_id uuid, out current_chapter integer, out chapters integer, out chapters_finished integer,
    out progress_percentage integer, out reading_minutes bigint, out access_level text, out has_more boolean)
returns record
language plpgsql stable security definer
set search_path = ''
as $$
declare
    v_opened_at timestamptz;
begin
    if reading_figures.user_id is distinct from app.current_user_id() then
        return;
    end if;
    select l.last_read_at into v_opened_at
    from app.user_library as l
    where l.user_id = reading_figures.user_id and l.story_id = reading_figures.story_id;
    select
        -- What was opened last counts before a word of it is read: there somebody begins again.
        coalesce(max(p.chapter_number) filter (where p.progress_percentage > 0 or p.last_read_at = v_opened_at), 1),
        count(*), count(*) filter (where p.progress_percentage = 100),
        -- By words: a long chapter counts more. Rounded down, so that 100 is all of it.
        coalesce(floor(
            sum(greatest(c.word_count, 1)::bigint * coalesce(p.progress_percentage, 0))
            / sum(greatest(c.word_count, 1)))::integer, 0),
        coalesce(sum(p.reading_seconds), 0)::bigint / 60
    into current_chapter, chapters, chapters_finished, progress_percentage, reading_minutes
    from app.chapters as c
    left join app.reading_progress as p
        on p.user_id = reading_figures.user_id and p.story_id = c.story_id and p.chapter_number = c.chapter_number
    where c.story_id = reading_figures.story_id and c.status = 'published';
    access_level := app.story_access(reading_figures.user_id, reading_figures.story_id);
    has_more := chapters_finished < chapters;
end;
$$;
comment on function app.reading_figures(uuid, uuid) is $$How far the caller is in a story; nulls about anybody else$$;
grant execute on function app.reading_figures(uuid, uuid) to authenticated;
