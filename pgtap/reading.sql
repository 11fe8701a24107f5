-- reading: how far somebody is in a story, and what they may read of it (IP9).
begin;
\ir helpers.psql
select plan(76);

select count(tests.create_person(p))
from unnest(array['creator', 'cowriter', 'reader', 'premium', 'stranger']) as p;
select give('reader', 100), give('premium', 100);
select tests.publish_story('creator', 4, 'On sale');
select tests.publish_story('creator', 3, 'Serial');
select tests.publish_story('creator', 3, 'Archived');
select tests.publish_story('creator', 1, 'Short');
select tests.claim('creator');
select app.set_story_pricing(tests.story_id('Serial'), 0, null, null, null, null);
select app.set_story_pricing(tests.story_id('Short'), 0, null, null, null, null);
select app.save_chapter(tests.story_id('On sale'), 5, 'Chapter 5', 'Not ready', null);
select app.create_story('Draft', '', 'fiction', 'en', '{}');
select app.save_chapter(tests.story_id('Draft'), 1, 'Chapter 1', 'Not ready', null);
select app.set_story_authors(s.id, array[user_id('creator'), user_id('cowriter')], '{5000,5000}')
from app.stories as s
where s.title = 'Draft';
select tests.note('bought', b.purchase_id::text) from tests.buy('reader', tests.story_id('On sale'), 'chapter', '{3}') as b;
select tests.note('archived', b.purchase_id::text) from tests.buy('reader', tests.story_id('Archived'), 'chapter', '{3}') as b;
select tests.buy('premium', tests.story_id('On sale'), 'premium_unlock');
select tests.sign_out();

-- All calls of a test have one now(), so what came before is made a minute older.
create function tests.pass_minute()
returns void
language sql volatile security definer
begin atomic
    update app.reading_progress set last_read_at = last_read_at - interval '1 minute';
    update app.user_library set last_read_at = last_read_at - interval '1 minute';
end;

-- What a call of save_progress answers, a minute later and in one line.
create function tests.save(
    title text, chapter_number integer, percent integer, seconds_read integer default 0, restart boolean default false)
returns text
language sql volatile
begin atomic
    select tests.pass_minute();
    select format('%s %s%s', s.chapter_percent, s.reading_status, case when s.is_story_finished then ', the end' end)
    from api.save_progress(tests.story_id(title), chapter_number, percent, seconds_read, restart) as s;
end;

-- What is kept of a story's chapters, from the first on.
create function tests.percents(title text)
returns text
language sql stable
return (
    select string_agg(r.progress_percentage::text, ' ' order by r.chapter_number)
    from api.reading_progress as r
    where r.story_id = tests.story_id(percents.title)
);

-- A story's row of reading_state, in one line.
create function tests.state(title text)
returns text
language sql stable
return (
    select format(
        '%s at %s, %s %%, %s of %s%s, %s', r.status, r.current_chapter, r.progress_percentage, r.chapters_finished,
        r.chapters, case when r.has_more then ' and more' end, r.access_level)
    from api.reading_state as r
    where r.story_id = tests.story_id(state.title)
);

-- Shape -------------------------------------------------------------------------
select columns_are('api', 'reading_progress', array[
    'id', 'user_id', 'story_id', 'chapter_id', 'progress_percentage', 'last_read_at', 'reading_time_minutes',
    'created_at', 'updated_at', 'chapter_number']);
select col_type_is('api', 'reading_progress', c, 'integer', c || ' is a whole number, as the plan has it')
from unnest(array['progress_percentage', 'reading_time_minutes']) as c;
select columns_are('api', 'reading_state', array[
    'story_id', 'title', 'author_id', 'status', 'current_chapter', 'progress_percentage', 'chapters', 'chapters_finished',
    'has_more', 'access_level', 'reading_minutes', 'is_favorite', 'personal_rating', 'last_read_at', 'completed_at', 'added_at']);
select table_privs_are('app', t, r, array[]::text[], format('%s has no right on %s', r, t))
from unnest(array['anon', 'service_role', 'edge']) as r, unnest(array['reading_progress', 'reading_days']) as t;
select table_privs_are('app', 'reading_days', 'authenticated', array[]::text[], 'days are seen as figures of a year only');

-- Who cannot ----------------------------------------------------------------------
select authenticate_as_anon();
select matches(
    refusal($$ select api.save_progress(tests.story_id('On sale'), 1, 10) $$), '^42501 : permission denied', 'anon keeps nothing');
select authenticate_as_service('stranger');
select matches(
    refusal($$ select * from api.reading_state $$), '^42501 : permission denied',
    'what somebody reads is not the operators'' business either');
select tests.sign_in('authenticated', '{"role": "authenticated"}');
select is(
    refusal($$ select api.save_progress(tests.story_id('On sale'), 1, 10) $$),
    'PT401 login_required: Please sign in first. The call carries no token with a subject.', 'a token without a subject is nobody');
select is_empty('select * from api.reading_state', 'and has read nothing');

-- What is refused -----------------------------------------------------------------
select authenticate_as('stranger');
select is(
    refusal(format($$ select api.save_progress(tests.story_id('On sale'), 1, %s) $$, percent)),
    'PT400 invalid_percent: Progress is a whole number from 0 to 100.' || coalesce(' ' || nullif(percent, 'null'), ''),
    format('%s per cent is no progress', percent))
from unnest(array['-1', '101', '2147483647', 'null']) as percent;
select is(
    refusal(format($$ select api.save_progress(tests.story_id('On sale'), 1, 10, %s) $$, seconds)),
    'PT400 invalid_seconds: Reading time is a whole number of seconds, at most a day.' || coalesce(' ' || nullif(seconds, 'null'), ''),
    format('%s seconds are no reading time', seconds))
from unnest(array['-1', '86401', 'null']) as seconds;
select is(
    refusal($$ select api.save_progress(tests.story_id('On sale'), 3, 10) $$),
    'PT402 chapter_not_owned: Buy this chapter to read it. Chapter 3 of "On sale" costs 5 credits.',
    'progress is for chapters that one may read');
select is(
    refusal(format($$ select api.save_progress(%s, %s, 10) $$, story, chapter)),
    'PT404 chapter_not_found: There is no such chapter.', format('not there: chapter %s of %s', chapter, story))
from (values
    ('tests.story_id(''On sale'')', '5'), ('tests.story_id(''On sale'')', '0'), ('tests.story_id(''On sale'')', 'null'),
    ('tests.story_id(''Draft'')', '1'), ('null', '1'), ('tests.user_id(''reader'')', '1')) as nowhere (story, chapter);
select is_empty('select * from api.user_library', 'what is refused leaves nothing behind');

-- Forward -------------------------------------------------------------------------
select authenticate_as('reader');
select is(tests.save('On sale', 1, 40, 90), '40 reading', 'the first call puts the story into the library');
select is(tests.state('On sale'), 'reading at 1, 10 %, 0 of 4 and more, partial', 'and there it is, by words of all chapters');
select is(tests.save('On sale', 1, 10, 90), '40 reading', 'an old device takes nothing back');
select is(tests.save('On sale', 1, 40), '40 reading', 'the same again is the same');
select is(tests.save('On sale', 1, 100, 60), '100 reading', 'a chapter is read');
select results_eq(
    $$ select user_id, chapter_id, progress_percentage, reading_time_minutes, chapter_number from api.reading_progress $$,
    $$ select tests.user_id('reader'), c.id, 100, 4, 1 from api.chapters as c
       where c.story_id = tests.story_id('On sale') and c.chapter_number = 1 $$,
    'seconds add up, and are shown as whole minutes');
select is(tests.save('On sale', 3, 0), '0 reading', 'a chapter that was opened');
select is(
    tests.state('On sale'), 'reading at 3, 25 %, 1 of 4 and more, partial', 'is where they are, before a word of it is read');
select is(tests.save('On sale', 2, 50), '50 reading', 'looking back');
select is(tests.state('On sale'), 'reading at 2, 37 %, 1 of 4 and more, partial', 'into what was not read before');
select is(tests.save('On sale', 3, 70), '70 reading', 'and on');
select is(tests.save('On sale', 1, 5), '100 reading', 'and back to what was read');
select is(tests.state('On sale'), 'reading at 3, 55 %, 1 of 4 and more, partial', 'does not move the bookmark');

-- Again from the beginning ----------------------------------------------------------
select is(tests.save('On sale', 2, 20, 0, true), '20 reading', 'who begins again says so');
select is(tests.percents('On sale'), '100 20 0', 'and has read nothing of what follows');
select is(tests.save('On sale', 2, 0, 0, true), '0 reading', 'also at nothing at all');
select is(tests.state('On sale'), 'reading at 2, 25 %, 1 of 4 and more, partial', 'and is there');
select is(tests.save('On sale', 2, 60, 0, null), '60 reading', 'null is not again');
select is(
    (select r.reading_minutes from api.reading_state as r where r.story_id = tests.story_id('On sale')), 4::bigint,
    'the time that was spent stays spent');

-- To the end, and what comes afterwards ------------------------------------------------
select is(tests.save('Serial', n, 100), '100 reading', format('chapter %s of 3', n)) from generate_series(1, 2) as n;
select is(tests.save('Serial', 3, 100), '100 completed, the end', 'with the last chapter the story is completed');
select is(tests.state('Serial'), 'completed at 3, 100 %, 3 of 3, free', 'all of it');
select is(tests.save('Serial', 2, 30), '100 completed', 'leafing through it does not change that');
select tests.sign_out(), tests.claim('creator');
select app.save_chapter(tests.story_id('Serial'), 4, 'Chapter 4', 'The text of chapter 4', null);
select app.publish_story(tests.story_id('Serial'), null);
select authenticate_as('reader');
select is(tests.state('Serial'), 'completed at 3, 75 %, 3 of 4 and more, free', 'a new chapter: completed once, with more to read');
select is(tests.save('Serial', 4, 50), '50 completed', 'beginning it does not make the story unread');
select is(tests.save('Serial', 4, 100), '100 completed, the end', 'its end is the end again');
select results_eq(
    'select chapters_finished, stories_completed from api.reading_year()', 'values (5::bigint, 1::bigint)',
    'but a story counts once');
select is(tests.save('Serial', 4, 100, 0, true), '100 completed', 'again at the very end: it is all read');
select is(tests.save('Serial', 1, 100, 0, true), '100 reading', 'again at the beginning: it is not');
select is(tests.percents('Serial'), '100 0 0 0', 'what follows is unread');
select is(tests.save('Short', 1, 100), '100 completed, the end', 'a single chapter is a story');
select is(tests.save('Short', 1, 100), '100 completed', 'whose end comes once');

-- What they may read ------------------------------------------------------------------
select authenticate_as('premium');
select is(tests.save('On sale', 1, 1), '1 reading', 'who unlocked all');
select is((select r.access_level from api.reading_state as r), 'full', 'has full access');
select authenticate_as('stranger');
select is(tests.save('On sale', 1, 1), '1 reading', 'who bought nothing');
select is((select r.access_level from api.reading_state as r), 'free', 'reads what is free');
select authenticate_as('creator');
select is(tests.save('On sale', 5, 100), '100 reading', 'an author reads drafts of a story on sale');
select is(
    tests.state('On sale'), 'reading at 1, 0 %, 0 of 4 and more, author', 'which are no part of it yet');
select is(tests.save('Draft', 1, 100), '100 reading', 'of what has nothing published there is no end');
select authenticate_as('cowriter');
select is(tests.save('Draft', 1, 1), '1 reading', 'a co-author reads drafts too');
select is(tests.state('Draft'), 'reading at 1, 0 %, 0 of 0, author', 'of which nothing is published');

select tests.sign_out(), tests.claim('creator');
select app.set_story_pricing(tests.story_id('On sale'), 5, null, false, null, null);
select authenticate_as('stranger');
select is((select r.access_level from api.reading_state as r), 'none', 'without a free sample a stranger reads none');
select matches(refusal($$ select tests.save('On sale', 1, 2) $$), '^PT402 chapter_not_owned: ', 'nor do they get further');
select tests.sign_out(), tests.claim('operator');
select app.refund_story_purchase(tests.user_id('reader'), tests.noted('bought')::uuid, 'by mistake', null, null);
select authenticate_as('reader');
select is(
    (select r.access_level from api.reading_state as r where r.story_id = tests.story_id('On sale')), 'none', 'a refund closes');

select tests.sign_out();
select is_empty('select * from ledger.verify()', 'nothing of this touches the ledger');
select * from finish();
rollback;
