-- What somebody read, day by day, and a year of it.

create or replace function app.business_day()
returns date
language sql stable
set search_path = ''
return (select (now() at time zone e.business_time_zone)::date from app.economy as e);
comment on function app.business_day() is $$Today, in the business time zone$$;

create or replace function app.note_reading_day(
    user_id uuid, seconds_read integer, chapters_finished integer, stories_completed integer)
returns void
language sql volatile
set search_path = ''
begin atomic
    insert into app.reading_days as d (user_id, day, reading_seconds, chapters_finished, stories_completed)
    select
        note_reading_day.user_id, app.business_day(), seconds_read, note_reading_day.chapters_finished,
        note_reading_day.stories_completed
    where seconds_read > 0 or note_reading_day.chapters_finished > 0
    on conflict on constraint reading_days_pkey do update
    set reading_seconds = d.reading_seconds + excluded.reading_seconds,
        chapters_finished = d.chapters_finished + excluded.chapters_finished,
        stories_completed = d.stories_completed + excluded.stories_completed;
end;
comment on function app.note_reading_day(uuid, integer, integer, integer) is $$Count what was read today$$;

create or replace function app.reading_year(
    year integer, out minutes bigint, out days bigint, out longest_streak bigint, out chapters_finished bigint,
    out stories_completed bigint, out favorite_genre text, out by_month jsonb)
returns record
language plpgsql stable security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_claimed_user();
    v_year constant integer := coalesce(reading_year.year, extract(year from app.business_day())::integer);
    v_first constant date := make_date(case when v_year between 2000 and 9999 then v_year else 2000 end, 1, 1);
    v_last constant date := (v_first + interval '1 year' - interval '1 day')::date;
    v_zone constant text := (select e.business_time_zone from app.economy as e);
begin
    if v_year not between 2000 and 9999 then
        perform app.fail(400, 'invalid_year', 'Please give a year from 2000 on.', v_year::text);
    end if;
    select
        coalesce(sum(d.reading_seconds), 0)::bigint / 60, count(*),
        coalesce(sum(d.chapters_finished), 0), coalesce(sum(d.stories_completed), 0)
    into minutes, days, chapters_finished, stories_completed
    from app.reading_days as d
    where d.user_id = v_user_id and d.day between v_first and v_last;
    -- Days in a row differ from their number in the row by the same.
    select coalesce(max(s.days), 0) into longest_streak
    from (
        select count(*) as days
        from (
            select d.day - row_number() over (order by d.day)::integer as island
            from app.reading_days as d
            where d.user_id = v_user_id and d.day between v_first and v_last
        ) as i
        group by i.island
    ) as s;
    select g.genre into favorite_genre
    from (
        select s.genre, sum(p.reading_seconds) as seconds, count(*) as chapters
        from app.reading_progress as p
        inner join app.stories as s on s.id = p.story_id
        where p.user_id = v_user_id
            and p.last_read_at >= v_first::timestamp at time zone v_zone
            and p.last_read_at < (v_last + 1)::timestamp at time zone v_zone
        group by s.genre
    ) as g
    order by g.seconds desc, g.chapters desc, g.genre
    limit 1;
    select coalesce(jsonb_agg(
        jsonb_build_object(
            'month', m.month, 'minutes', m.seconds / 60, 'chapters_finished', m.chapters, 'stories_completed', m.stories)
        order by m.month), '[]')
    into by_month
    from (
        select to_char(d.day, 'YYYY-MM') as month, sum(d.reading_seconds)::bigint as seconds,
            sum(d.chapters_finished)::bigint as chapters, sum(d.stories_completed)::bigint as stories
        from app.reading_days as d
        where d.user_id = v_user_id and d.day between v_first and v_last
        group by to_char(d.day, 'YYYY-MM')
    ) as m;
end;
$$;
comment on function app.reading_year(integer) is $$A year of the caller's reading in figures

Errors: 400 invalid_year, 401 login_required.$$;
grant execute on function app.reading_year(integer) to authenticated;
