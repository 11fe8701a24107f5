-- reading: what people keep and think of it, and a year of it in figures (IP9).
begin;
\ir helpers.psql
select plan(84);

select count(tests.create_person(p)) from unnest(array['creator', 'reader', 'stranger']) as p;
select give('reader', 100);
select tests.publish_story('creator', 3, 'On sale');
select tests.publish_story('creator', 3, 'Archived');
select tests.publish_story('creator', 3, 'Forgotten');
select tests.claim('creator');
select app.create_story('Draft', '', 'fiction', 'en', '{}');
select app.update_story(s.id, null, null, 'mystery', null, null) from app.stories as s where s.title = 'On sale';
select tests.note('bought', b.purchase_id::text) from tests.buy('reader', tests.story_id('Archived'), 'chapter', '{3}') as b;
select tests.sign_out();

-- A story's row of the library, in one line.
create function tests.kept(title text)
returns text
language sql stable
return (
    select format(
        '%s%s%s%s', l.reading_status, case when l.is_favorite then ', a favorite' end,
        ', ' || l.personal_rating || ' of 5', ', "' || l.personal_notes || '"')
    from api.user_library as l
    where l.story_id = tests.story_id(kept.title)
);

-- Days on which somebody read so many minutes.
create function tests.read_on(handle text, days date[], minutes integer default 1, stories integer default 0)
returns void
language sql volatile security definer
begin atomic
    insert into app.reading_days (user_id, day, reading_seconds, chapters_finished, stories_completed)
    select tests.user_id(handle), d, minutes * 60, 1, stories
    from unnest(days) as d;
end;

-- Shape -------------------------------------------------------------------------
select columns_are('api', 'user_library', array[
    'id', 'user_id', 'story_id', 'added_at', 'is_favorite', 'reading_status', 'personal_rating', 'personal_notes',
    'created_at', 'updated_at']);
select col_type_is('api', 'user_library', 'personal_rating', 'integer', 'a rating is a whole number, as the plan has it');
select table_privs_are('app', 'user_library', r, array[]::text[], r || ' has no right on the library')
from unnest(array['anon', 'service_role', 'edge']) as r;
select table_privs_are('app', 'user_library', 'authenticated', array['SELECT'], 'nobody writes it but by the functions');

-- Who cannot ----------------------------------------------------------------------
select authenticate_as_anon();
select matches(refusal(call), '^42501 : permission denied', 'not for anon: ' || call)
from unnest(array[
    'select * from api.user_library', $$ select api.update_library(tests.story_id('On sale')) $$,
    $$ select api.remove_from_library(tests.story_id('On sale')) $$, 'select * from api.reading_year()']) as call;
select tests.sign_in('authenticated', '{"role": "authenticated"}');
select is(
    refusal(call), 'PT401 login_required: Please sign in first. The call carries no token with a subject.',
    'not for nobody: ' || call)
from unnest(array[
    $$ select api.update_library(tests.story_id('On sale')) $$, $$ select api.remove_from_library(tests.story_id('On sale')) $$,
    'select * from api.reading_year()']) as call;

-- What is refused -----------------------------------------------------------------
select authenticate_as('reader');
select is(
    refusal($$ select api.update_library(tests.story_id('On sale'), 'burnt') $$),
    'PT400 unknown_status: A story is want_to_read, reading, completed or dropped. burnt', 'there are four shelves');
select is(
    refusal(format($$ select api.update_library(tests.story_id('On sale'), personal_rating => %s) $$, rating)),
    'PT400 invalid_rating: A rating is a number from 1 to 5; 0 takes it back. ' || rating, format('%s is no rating', rating))
from unnest(array[-1, 6, 2147483647]) as rating;
select is(
    refusal($$ select api.update_library(tests.story_id('On sale'), personal_notes => repeat('x', 5001)) $$),
    'PT400 text_too_long: The notes are too long. They have 5001 characters; at most 5000 are allowed.', 'nor are 5001 characters notes');
select is(
    refusal(format('select api.update_library(%s)', story)), 'PT404 story_not_found: There is no such story.',
    'not to be kept: ' || story)
from unnest(array['tests.story_id(''Draft'')', 'null', 'tests.user_id(''creator'')']) as story;
select is(
    refusal(format('select api.remove_from_library(%s)', story)),
    'PT404 story_not_found: This story is not in your library.', 'not to be removed: ' || story)
from unnest(array['tests.story_id(''On sale'')', 'null']) as story;
select is_empty('select * from api.user_library', 'what is refused leaves nothing behind');

-- Keeping ---------------------------------------------------------------------------
select results_eq(
    $$ select api.update_library(tests.story_id('On sale')) is not null $$, array[true], 'a story is kept by its id alone');
select is(tests.kept('On sale'), 'want_to_read', 'to be read');
select ok(api.update_library(tests.story_id('On sale'), is_favorite => true) is not null, 'a favorite');
select ok(api.update_library(tests.story_id('On sale'), personal_rating => 4) is not null, 'that has a rating');
select ok(api.update_library(tests.story_id('On sale'), personal_notes => E'  Read it\naloud. ') is not null, 'and notes');
select ok(api.update_library(tests.story_id('On sale'), 'reading') is not null, 'on another shelf');
select is(tests.kept('On sale'), E'reading, a favorite, 4 of 5, "Read it\naloud."', 'what is left out stays');
select is(
    (select format('%s %s', r.progress_percentage, r.last_read_at is null) from api.reading_state as r),
    '0 t', 'a shelf is no reading');
select ok(
    api.update_library(tests.story_id('On sale'), null, false, 0, ' ') is not null, 'each can be taken back');
select is(tests.kept('On sale'), 'reading', 'and then is gone');
select ok(api.update_library(tests.story_id('On sale'), personal_notes => repeat('x', 5000)) is not null, '5000 characters are notes');
select ok(api.update_library(tests.story_id('On sale'), personal_rating => r) is not null, format('%s is a rating', r))
from unnest(array[1, 5]) as r;
select is(
    (select count(*) from api.user_library), 1::bigint, 'all that is one row');

-- Completed by hand, and when ----------------------------------------------------------
select ok(api.update_library(tests.story_id('On sale'), 'completed') is not null, 'completed, they say');
select results_eq(
    'select r.completed_at = now(), r.status, r.progress_percentage from api.reading_state as r', $$ values (true, 'completed', 0) $$,
    'then it is, whatever was read here');
select is(tests.tamper($$ update app.user_library set completed_at = '2025-01-01' $$), 1::bigint, 'that was long ago');
select ok(api.update_library(tests.story_id('On sale'), 'completed', true) is not null, 'said again with something else');
select is(
    (select r.completed_at from api.reading_state as r), '2025-01-01'::timestamptz, 'it stays when it was');
select ok(api.update_library(tests.story_id('On sale'), 'reading') is not null, 'taken up again');
select ok(api.update_library(tests.story_id('On sale'), 'completed') is not null, 'and completed again');
select is((select r.completed_at from api.reading_state as r), now(), 'is now');
select ok(api.update_library(tests.story_id('On sale'), 'dropped') is not null, 'dropped');
select is((api.save_progress(tests.story_id('On sale'), 1, 5)).reading_status, 'reading', 'who reads on has not dropped it');

-- Nobody else's ------------------------------------------------------------------------
select authenticate_as('stranger');
select is_empty('select * from api.user_library', 'a stranger sees nothing of it');
select is_empty('select * from api.reading_progress', 'nor how far they are');
select is_empty('select * from api.reading_state', 'nor both in one');
select tests.sign_out(), tests.claim('stranger');
select is(
    (select f.access_level || f.chapters from app.reading_figures(user_id('reader'), tests.story_id('On sale')) as f), null,
    'nor by asking for somebody else''s figures');
select authenticate_as('stranger');
select matches(
    refusal($$ select api.remove_from_library(tests.story_id('On sale')) $$), '^PT404 story_not_found: ', 'nor takes it away');
select authenticate_as('creator');
select is_empty('select * from api.reading_state', 'its author neither');

-- Stories that go ------------------------------------------------------------------------
select authenticate_as('reader');
select ok(api.update_library(tests.story_id(t), 'reading') is not null, 'kept: ' || t) from unnest(array['Archived', 'Forgotten']) as t;
select tests.sign_out(), tests.claim('creator');
select app.archive_story(tests.story_id(t)) from unnest(array['Archived', 'Forgotten']) as t;
select authenticate_as('reader');
select results_eq(
    'select r.title, r.access_level from api.reading_state as r order by r.access_level',
    $$ values ('On sale', 'free'), (null, 'none'), ('Archived', 'partial') $$,
    'what is off sale stays for who bought of it; of the rest there is no name');
select ok(
    api.update_library(tests.story_id('Forgotten'), personal_notes => 'It was good.') is not null,
    'what is in the library can be written on all the same');
select authenticate_as('stranger');
select matches(
    refusal($$ select api.update_library(tests.story_id('Archived')) $$), '^PT404 story_not_found: ', 'others do not find it');
select authenticate_as('creator');
select ok(api.update_library(tests.story_id(t)) is not null, 'an author keeps their own: ' || t)
from unnest(array['Draft', 'Archived']) as t;
select authenticate_as('reader');
select is(
    api.remove_from_library(tests.story_id('On sale')), tests.story_id('On sale'), 'a story leaves the library');
select is_empty(
    $$ select 1 from api.reading_progress as p where p.story_id = tests.story_id('On sale') $$, 'with what was read of it');
select isnt_empty('select 1 from api.story_entitlements', 'not with what was bought');

-- A year --------------------------------------------------------------------------------
select authenticate_as('stranger');
select results_eq(
    $$ select minutes, days, longest_streak, chapters_finished, stories_completed, favorite_genre, by_month
       from api.reading_year() $$,
    $$ values (0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, null::text, '[]'::jsonb) $$, 'who read nothing has noughts');
select is(
    refusal(format('select * from api.reading_year(%s)', y)), 'PT400 invalid_year: Please give a year from 2000 on. ' || y,
    y || ' is no year')
from unnest(array[1999, 0, -1, 10000, 2147483647]) as y;
select tests.read_on(
    'stranger', '{2023-12-30,2023-12-31,2024-01-01,2024-01-02,2024-01-03,2024-02-28,2024-02-29,2024-03-01,2024-03-02}', 31);
select tests.read_on('stranger', '{2024-12-31,2025-01-01}', 10, 1);
select results_eq(
    'select minutes, days, longest_streak, chapters_finished, stories_completed from api.reading_year(2024)',
    'values (227::bigint, 8::bigint, 4::bigint, 8::bigint, 1::bigint)', 'a year has its own days; a row goes over the 29th of February');
select is(
    (select y.by_month from api.reading_year(2024) as y),
    '[{"month": "2024-01", "minutes": 93, "chapters_finished": 3, "stories_completed": 0},
      {"month": "2024-02", "minutes": 62, "chapters_finished": 2, "stories_completed": 0},
      {"month": "2024-03", "minutes": 62, "chapters_finished": 2, "stories_completed": 0},
      {"month": "2024-12", "minutes": 10, "chapters_finished": 1, "stories_completed": 1}]'::jsonb,
    'and its months');
select is((select y.longest_streak from api.reading_year(2023) as y), 2::bigint, 'a row ends with the year');
select is(tests.by_get('select y.days from api.reading_year(2025) as y'), '[{"days": 1}]', 'it is there for GET');

-- Which day it is -------------------------------------------------------------------------
-- Between these two it is never the same day.
select tests.sign_out();
select tests.tamper($$ delete from app.reading_days $$);
update app.economy set business_time_zone = 'Pacific/Kiritimati';
select authenticate_as('stranger');
select is((api.save_progress(tests.story_id('On sale'), 1, 5, 60)).chapter_percent, 5, 'read in the east');
set local time zone 'Etc/GMT+12';
select is((api.save_progress(tests.story_id('On sale'), 1, 6, 60)).chapter_percent, 6, 'with a session elsewhere');
select tests.sign_out();
select results_eq(
    'select day, reading_seconds from app.reading_days',
    $$ values ((now() at time zone 'Pacific/Kiritimati')::date, 120::bigint) $$, 'is the same day, the platform''s own');
update app.economy set business_time_zone = 'Etc/GMT+12';
select authenticate_as('stranger');
select is((api.save_progress(tests.story_id('On sale'), 1, 7, 60)).chapter_percent, 7, 'read in the west');
select tests.sign_out();
select is((select count(*) from app.reading_days), 2::bigint, 'is another day');
-- The first minute of 2024 in Kiritimati, where it is still 2023 elsewhere.
select is(tests.tamper($$ update app.reading_progress set last_read_at = '2023-12-31 10:01:00+00' $$), 1::bigint, 'at a year''s end');
set local time zone 'UTC';
select tests.claim('stranger');
select is((select y.favorite_genre from app.reading_year(2023) as y), 'mystery', 'the genre goes by the same year');
update app.economy set business_time_zone = 'Pacific/Kiritimati';
select is((select y.favorite_genre from app.reading_year(2024) as y), 'mystery', 'as the days do');
select is((select y.favorite_genre from app.reading_year(2023) as y), null, 'and by no other');

select tests.sign_out();
select is_empty('select * from ledger.verify()', 'nothing of this touches the ledger');
select * from finish();
rollback;
