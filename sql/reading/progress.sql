-- How far somebody is: saved with one call, and never less by accident.

create or replace function app.check_progress(percent integer, seconds_read integer)
returns void
language plpgsql immutable
set search_path = ''
as $$
begin
    if check_progress.percent is null or check_progress.percent not between 0 and 100 then
        perform app.fail(
            400, 'invalid_percent', 'Progress is a whole number from 0 to 100.', check_progress.percent::text);
    elsif check_progress.seconds_read is null or check_progress.seconds_read not between 0 and 86400 then
        perform app.fail(
            400, 'invalid_seconds', 'Reading time is a whole number of seconds, at most a day.', check_progress.seconds_read::text);
    end if;
end;
$$;
comment on function app.check_progress(integer, integer) is $$Let only figures go on that can be

Errors: 400 invalid_percent, 400 invalid_seconds.$$;

create or replace function app.is_read_to_the_end(user_id uuid, story_id uuid)
returns boolean
language sql stable
set search_path = ''
return (
    select coalesce(bool_and(coalesce(p.progress_percentage, 0) = 100), false)
    from app.chapters as c
    left join app.reading_progress as p
        on p.user_id = is_read_to_the_end.user_id and p.story_id = c.story_id and p.chapter_number = c.chapter_number
    where c.story_id = is_read_to_the_end.story_id and c.status = 'published'
);
comment on function app.is_read_to_the_end(uuid, uuid) is $$Whether somebody has read all that is published of a story

Of what has nothing published nobody has.$$;

create or replace function app.keep_progress(
    user_id uuid, story_id uuid, chapter_number integer, percent integer, seconds_read integer, restart boolean)
returns boolean
language plpgsql volatile
set search_path = ''
as $$
declare
    v_before smallint;
begin
    if keep_progress.restart then
        -- Whoever begins again here has read nothing of what follows.
        update app.reading_progress as p
        set progress_percentage = 0, updated_at = now()
        where p.user_id = keep_progress.user_id and p.story_id = keep_progress.story_id
            and p.chapter_number > keep_progress.chapter_number and p.progress_percentage > 0;
    end if;
    select p.progress_percentage into v_before
    from app.reading_progress as p
    where p.user_id = keep_progress.user_id and p.story_id = keep_progress.story_id
        and p.chapter_number = keep_progress.chapter_number;
    insert into app.reading_progress as p (
        user_id, story_id, chapter_number, progress_percentage, reading_seconds)
    values (
        keep_progress.user_id, keep_progress.story_id, keep_progress.chapter_number, keep_progress.percent,
        keep_progress.seconds_read)
    on conflict on constraint reading_progress_pkey do update
    set progress_percentage = case
            when keep_progress.restart then excluded.progress_percentage
            else greatest(p.progress_percentage, excluded.progress_percentage) end,
        reading_seconds = p.reading_seconds + excluded.reading_seconds,
        last_read_at = now(), updated_at = now();
    return coalesce(v_before, 0) < 100 and keep_progress.percent = 100;
end;
$$;
comment on function app.keep_progress(uuid, uuid, integer, integer, integer, boolean) is $$Note how far somebody is in a chapter

The caller holds the library's row of this story. Returns whether the chapter was finished just now.$$;

create or replace function app.save_progress(
    story_id uuid, chapter_number integer, percent integer, seconds_read integer, restart boolean,
    out chapter_percent integer, out reading_status text, out is_story_finished boolean)
returns record
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_user();
    v_restart constant boolean := coalesce(save_progress.restart, false);
    v_has_finished boolean;
    v_was_completed boolean;
begin
    perform app.check_progress(save_progress.percent, save_progress.seconds_read);
    perform app.require_readable_chapter(v_user_id, save_progress.story_id, save_progress.chapter_number);
    -- From here on the devices of this reader come one after the other.
    insert into app.user_library as l (user_id, story_id, reading_status, last_read_at)
    values (v_user_id, save_progress.story_id, 'reading', now())
    on conflict on constraint user_library_pkey do update
    set last_read_at = now(), updated_at = now(),
        reading_status = case
            when l.reading_status = 'completed' and not v_restart then 'completed' else 'reading' end
    returning l.reading_status into save_progress.reading_status;
    v_has_finished := app.keep_progress(
        v_user_id, save_progress.story_id, save_progress.chapter_number, save_progress.percent,
        save_progress.seconds_read, v_restart);
    v_was_completed := reading_status = 'completed';
    -- A draft, which only its authors read, ends nothing.
    is_story_finished := v_has_finished
        and exists (
            select from app.chapters as c
            where c.story_id = save_progress.story_id and c.chapter_number = save_progress.chapter_number
                and c.status = 'published')
        and app.is_read_to_the_end(v_user_id, save_progress.story_id);
    -- Whoever begins again at an end, and is there at once, has read it all as before.
    if is_story_finished
        or (v_restart and save_progress.percent = 100 and app.is_read_to_the_end(v_user_id, save_progress.story_id))
    then
        update app.user_library as l
        set reading_status = 'completed', completed_at = now()
        where l.user_id = v_user_id and l.story_id = save_progress.story_id;
        reading_status := 'completed';
    end if;
    -- A story that goes on is completed again with every chapter that comes, and counts once.
    perform app.note_reading_day(
        v_user_id, save_progress.seconds_read, v_has_finished::integer,
        (is_story_finished and not v_was_completed)::integer);
    select p.progress_percentage into chapter_percent
    from app.reading_progress as p
    where p.user_id = v_user_id and p.story_id = save_progress.story_id
        and p.chapter_number = save_progress.chapter_number;
end;
$$;
comment on function app.save_progress(uuid, integer, integer, integer, boolean) is $$Keep how far the caller is in a chapter that they may read

Errors: see api.save_progress.$$;
grant execute on function app.save_progress(uuid, integer, integer, integer, boolean) to authenticated;
