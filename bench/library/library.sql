-- A library for everybody: the star's story and four others, two chapters of each begun or read, and
-- ten days of reading. Reader 0 is a collector. Which story is whose follows from the numbers.
-- psql variables: readers, stories (besides the star's), stories_each, chapters_each, days_each, collected

create function bench.library_story(reader bigint, place bigint, stories bigint)
returns uuid
language sql immutable parallel safe
return case place when 0 then bench.story(0) else bench.story((reader * 7 + place) % stories + 1) end;

-- The foreign keys are checked at the end, all at once.
set local session_replication_role = 'replica';

insert into app.profiles (id, handle)
select bench.reader(n), app.first_handle(bench.reader(n))
from generate_series(0, :readers - 1) as n;

update app.chapters set word_count = 1000;

create table bench.kept as
select n as reader, p as place, bench.library_story(n, p, :stories) as story_id
from generate_series(0, :readers - 1) as n
cross join lateral generate_series(0, :stories_each - 1) as p;
insert into bench.kept
select 0, p, bench.story(p)
from generate_series(1, :collected - 1) as p
where not exists (select from bench.kept as k where k.reader = 0 and k.story_id = bench.story(p));

insert into app.user_library (user_id, story_id, reading_status, added_at, last_read_at)
select bench.reader(k.reader), k.story_id, 'reading', now() - interval '30 days', now() - make_interval(hours => k.place::integer)
from bench.kept as k
order by md5(k.reader::text), k.place; -- not in the order of the ids: readers come as they like

insert into app.reading_progress (user_id, story_id, chapter_number, progress_percentage, reading_seconds, last_read_at)
select
    bench.reader(k.reader), k.story_id, c, case c when 1 then 100 else 40 end, 600,
    now() - make_interval(hours => k.place::integer)
from bench.kept as k
cross join lateral generate_series(1, :chapters_each) as c
order by md5(k.place::text || k.reader::text);

insert into app.reading_days (user_id, day, reading_seconds, chapters_finished)
select bench.reader(n), current_date - d * 3, 600, 1
from generate_series(1, :days_each) as d
cross join lateral generate_series(0, :readers - 1) as n;

set local session_replication_role = 'origin';

do $$
begin
    if exists (
        select from app.reading_progress as p
        where not exists (
            select from app.user_library as l where l.user_id = p.user_id and l.story_id = p.story_id)
            or not exists (
                select from app.chapters as c where c.story_id = p.story_id and c.chapter_number = p.chapter_number))
    then
        raise exception 'there is progress in what nobody keeps';
    end if;
end
$$;
drop table bench.kept;
