-- stories: who can read what, and find what (IP4).
begin;
\ir helpers.psql
\ir alone.psql
select plan(83);

select count(tests.create_person(p))
from unnest(array['creator', 'cowriter', 'reader', 'premium', 'stranger']) as p;
select give('reader', 100), give('premium', 100);
select tests.publish_story('creator', 4, 'On sale');
select tests.publish_story('creator', 4, 'Archived');
select tests.claim('creator');
select app.save_chapter(tests.story_id('On sale'), 5, 'Chapter 5', 'Not ready', null);
select app.create_story('Draft', '', 'fiction', 'en', '{}');
select app.save_chapter(tests.story_id('Draft'), 1, 'Chapter 1', 'Not ready', null);
select app.set_story_authors(s.id, array[user_id('creator'), user_id('cowriter')], '{5000,5000}')
from app.stories as s
where s.title <> 'Archived';
select tests.buy('reader', tests.story_id('On sale'), 'chapter', '{3}');
select tests.buy('reader', tests.story_id('Archived'), 'bundle', '{3,4}');
select tests.buy('premium', tests.story_id('On sale'), 'premium_unlock');
select tests.buy('premium', tests.story_id('Archived'), 'premium_unlock');
select app.archive_story(tests.story_id('Archived'));
select tests.sign_out();

-- What comes of reading a chapter: why it may be read, or the status.
create function tests.access(title text, chapter_number integer)
returns text
language plpgsql stable
as $$
begin
    return (select r.access from api.read_chapter(tests.story_id(access.title), access.chapter_number) as r);
exception
    when sqlstate 'PT402' or sqlstate 'PT404' then
        return substring(sqlstate from 3);
end;
$$;

create function tests.shelf(title text)
returns text[]
language sql stable
return (select array_agg(tests.access(shelf.title, n) order by n) from generate_series(1, 5) as n);

-- Reading ---------------------------------------------------------------------
select authenticate_as_anon();
select results_eq(
    $$ select story_title, title, content, word_count, access, has_next from api.read_chapter(tests.story_id('On sale'), 1) $$,
    $$ values ('On sale', 'Chapter 1', 'The text of chapter 1', 5, 'free', true) $$, 'anybody reads a free chapter');
select is(tests.shelf('On sale'), '{free,free,402,402,404}', 'anon reads what is free, and learns what is for sale');
select is(
    refusal($$ select api.read_chapter(tests.story_id('On sale'), 3) $$),
    'PT402 chapter_not_owned: Buy this chapter to read it. Chapter 3 of "On sale" costs 5 credits.', 'and at which price');
select is(
    refusal($$ select api.read_chapter(tests.story_id('On sale'), 5) $$),
    'PT404 chapter_not_found: There is no such chapter.', 'a draft chapter is not there');
select authenticate_as('stranger');
select is(tests.shelf('On sale'), '{free,free,402,402,404}', 'a stranger reads no more');
select is(tests.shelf('Archived'), '{404,404,404,404,404}', 'of what is off sale, nothing');
select is(tests.shelf('Draft'), '{404,404,404,404,404}', 'of a draft, nothing');
select is(tests.access('On sale', 0), '404', 'there is no chapter 0');
select is(tests.access('On sale', -1), '404', 'nor -1');
select is(tests.access('On sale', null), '404', 'nor null');
select is(tests.access('On sale', 2147483647), '404', 'nor two billion');
select is(tests.access('Nowhere', 1), '404', 'nor any of a null story');
select matches(
    refusal($$ select api.read_chapter(user_id('reader'), 1) $$), '^PT404 chapter_not_found: ', 'nor of a story that is a person');
select authenticate_as('reader');
select is(tests.shelf('On sale'), '{free,free,owned,402,404}', 'a reader reads what was bought');
select results_eq(
    $$ select content, has_next from api.read_chapter(tests.story_id('On sale'), 3) $$,
    $$ values ('The text of chapter 3', true) $$, 'its text');
select is((api.read_chapter(tests.story_id('Archived'), 4)).has_next, false, 'and learns that it is the last');
select is((tests.shelf('Archived'))[3:4], '{owned,owned}', 'who bought keeps reading after it is off sale');
select is((tests.shelf('Archived'))[1:2], '{free,free}', 'with the free chapters that it begins with');
select authenticate_as('premium');
select is(tests.shelf('On sale'), '{owned,owned,owned,owned,404}', 'a premium unlock opens all that is published');
select is(tests.shelf('Archived'), '{owned,owned,owned,owned,404}', 'off sale too');
select authenticate_as('creator');
select is(tests.shelf('On sale'), '{author,author,author,author,author}', 'an author reads their own, drafts too');
select is(tests.shelf('Draft'), '{author,404,404,404,404}', 'and what is not on sale yet');
select authenticate_as('cowriter');
select is(tests.shelf('On sale'), '{author,author,author,author,author}', 'so does a co-author');
select authenticate_as_service('stranger');
select is(tests.shelf('On sale'), '{free,free,402,402,404}', 'the service role reads like anybody else');

select authenticate_as('creator');
select api.publish_story(tests.story_id('On sale'));
select authenticate_as('premium');
select is(tests.access('On sale', 5), 'owned', 'a premium unlock opens a later chapter');
select authenticate_as('reader');
select is(tests.access('On sale', 5), '402', 'which others buy');
select authenticate_as('creator');
select api.set_story_pricing(tests.story_id('On sale'), is_free_sample => false);
select authenticate_as('reader');
select is(tests.shelf('On sale'), '{402,402,owned,402,402}', 'without a free sample the first chapters are for sale');
select authenticate_as('creator');
select api.set_story_pricing(tests.story_id('On sale'), price_per_chapter => 0);
select authenticate_as_anon();
select is(tests.shelf('On sale'), '{free,free,free,free,free}', 'at no price everything is free');
select authenticate_as('creator');
select api.set_story_pricing(tests.story_id('On sale'), price_per_chapter => 5, is_free_sample => true);

-- The text comes no other way -------------------------------------------------
select tests.sign_out();
select table_privs_are('app', 'chapter_texts', r, array[]::text[], r || ' has no right on the texts')
from unnest(array['anon', 'authenticated', 'service_role', 'authenticator', 'edge']) as r;
select is_empty(
    $$ select w.ev_class::regclass from pg_depend as d inner join pg_rewrite as w on w.oid = d.objid
       where d.classid = 'pg_rewrite'::regclass and d.refobjid = 'app.chapter_texts'::regclass $$,
    'no view is over the texts');
select is_empty(
    $$ select p.oid::regprocedure from pg_depend as d inner join pg_proc as p on p.oid = d.objid
       where d.classid = 'pg_proc'::regclass and d.refobjid = 'app.chapter_texts'::regclass
           -- What goes into a download; no role of the web may call it.
           and p.oid <> 'app.readable_chapters(uuid,uuid)'::regprocedure $$,
    'nor any wrapper');
select set_eq(
    $$ select p.proname from pg_proc as p
       where p.pronamespace in ('app'::regnamespace, 'ledger'::regnamespace) and p.prosrc like '%app.chapter_texts%' $$,
    array['read_chapter', 'save_chapter', 'export_person', 'forget_stories'],
    'few functions know them: to read, to write, to take along, to forget');
select is_empty($$ select * from pg_policies where tablename = 'chapter_texts' $$, 'and no policy lets anybody in');

-- Drafts are invisible, whatever the view -------------------------------------
create temp view visible with (security_invoker = true) as
select 'stories' as name, count(*) from api.stories where id = tests.story_id('Draft')
union all
select 'chapters', count(*) from api.chapters where story_id = tests.story_id('Draft')
union all
select 'story_pricing', count(*) from api.story_pricing where story_id = tests.story_id('Draft')
union all
select 'story_authors', count(*) from api.story_authors where story_id = tests.story_id('Draft')
union all
select 'search', count(*) from api.search_stories() where id = tests.story_id('Draft');
grant select on visible to public;

select authenticate_as_anon();
select is_empty('select * from visible where count > 0', 'anon sees nothing of a draft');
select authenticate_as('stranger');
select is_empty('select * from visible where count > 0', 'a stranger neither');
select authenticate_as('premium');
select is_empty('select * from visible where count > 0', 'nor somebody who bought another story');
select authenticate_as('creator');
select results_eq(
    'select name, count from visible where count > 0 order by name',
    $$ values ('chapters', 1::bigint), ('stories', 1::bigint), ('story_authors', 2::bigint), ('story_pricing', 1::bigint) $$,
    'its author sees all of it');
select authenticate_as('cowriter');
select results_eq(
    'select name, count from visible where count > 0 order by name',
    $$ values ('chapters', 1::bigint), ('stories', 1::bigint), ('story_authors', 2::bigint), ('story_pricing', 1::bigint) $$,
    'so does a co-author');
select authenticate_as('creator');
select api.save_chapter(tests.story_id('On sale'), 6, 'Chapter 6', 'Secret plans for later');
select authenticate_as('stranger');
select is_empty(
    $$ select * from api.chapters where story_id = tests.story_id('On sale') and status <> 'published' $$,
    'a draft chapter of a published story is not in its table of contents');

select set_eq(
    'select title from api.stories', array['On sale'], 'what is off sale is out of sight');
select authenticate_as('reader');
select set_eq('select title from api.stories', array['On sale', 'Archived'], 'but not for who bought it');

-- Finding ---------------------------------------------------------------------
select tests.sign_out();
select tests.claim('creator');
select tests.tamper('update app.stories set status = ''archived''');
select tests.note(
    'lights', app.create_story('Forty Lights', 'A keeper counts the lamps of the coast.', 'mystery', 'en', '{sea,light}')::text);
select tests.note('harbour', app.create_story('The Harbour', 'Lights go out, one keeper after another.', 'fantasy', 'en', '{sea}')::text);
select tests.note('letters', app.create_story('Cartas', 'Forty letters, never sent.', 'romance', 'pt-BR', '{letters}')::text);
select app.save_chapter(tests.noted('lights')::uuid, n, 'Chapter ' || n, repeat('word ', 10), null) from generate_series(1, 4) as n;
select app.save_chapter(tests.noted('harbour')::uuid, n, 'Chapter ' || n, repeat('word ', 100), null) from generate_series(1, 3) as n;
select app.save_chapter(tests.noted('letters')::uuid, n, 'Chapter ' || n, repeat('word ', 1), null) from generate_series(1, 2) as n;
select app.publish_story(tests.noted(s)::uuid, null) from unnest(array['lights', 'harbour', 'letters']) as s;
select tests.tamper(format(
    'update app.stories set published_at = ''2026-01-01Z''::timestamptz + interval ''1 day'' * %s where id = %L', n, tests.noted(s)))
from unnest(array['harbour', 'lights', 'letters']) with ordinality as p (s, n);
select tests.sign_out();

create function tests.found(
    query text default null, genre text default null, language text default null, tag text default null,
    free_only boolean default false, sort text default 'relevance')
returns text[]
language sql stable
return (
    select array_agg(s.title)
    from api.search_stories(found.query, found.genre, found.language, found.tag, found.free_only, found.sort) as s
);

select authenticate_as_anon();
select is(found(), '{Cartas,Forty Lights,The Harbour}', 'without words everything, newest first');
select is(found(''), '{Cartas,Forty Lights,The Harbour}', 'an empty query is none');
select is(found('  '), '{Cartas,Forty Lights,The Harbour}', 'nor is a blank one');
select is(found('lights'), '{Forty Lights,The Harbour}', 'a word: in the title before in the description');
select is(found('LIGHT'), '{Forty Lights,The Harbour}', 'in any form');
select is(found('keeper lamps'), '{Forty Lights}', 'all words');
select is(found('"keeper counts"'), '{Forty Lights}', 'a phrase');
select is(found('"counts keeper"'), null, 'in its order');
select is(found('keeper -lamps'), '{The Harbour}', 'without a word');
select is(found('lamps or letters'), '{Cartas,Forty Lights}', 'one or the other');
select is(found('mystery'), '{Forty Lights}', 'a genre is a word too');
select is(found('fantasy'), '{The Harbour}', 'whatever its ending');
select is(found('zebra'), null, 'nothing there, nothing found');
select is(found('word'), null, 'the text of chapters is not searched: it is for sale');
select is(found(genre => 'fantasy'), '{The Harbour}', 'by genre');
select is(found(language => 'pt-BR'), '{Cartas}', 'by language');
select is(found(tag => 'sea'), '{Forty Lights,The Harbour}', 'by tag');
select is(found('lights', tag => 'light'), '{Forty Lights}', 'by all at once');
select is(found(free_only => true), '{Cartas}', 'readable to the end without paying');
select is(found(free_only => null), '{Cartas,Forty Lights,The Harbour}', 'null asks for nothing');
select is(found(sort => 'newest'), '{Cartas,Forty Lights,The Harbour}', 'newest first');
select is(found(sort => 'longest'), '{The Harbour,Forty Lights,Cartas}', 'longest first');
select is(found(sort => 'title'), '{Cartas,Forty Lights,The Harbour}', 'by title');
select is(found('lights', sort => 'longest'), '{The Harbour,Forty Lights}', 'a sort holds with words too');
select is(
    refusal($$ select api.search_stories(sort => 'price') $$),
    'PT400 unknown_sort: Sort by relevance, newest, longest or title.', 'an unknown sort is refused');
select matches(refusal('select api.search_stories(sort => null)'), '^PT400 unknown_sort: ', 'null too');
select is(found(q), null, 'strange words are words: ' || q)
from unnest(array['''', '":*', 'a & | ! b', '((', '\', '%', 'zebra''; drop table app.stories; --']) as q;
select matches(
    refusal($$ select api.search_stories(repeat('x', 100000)) $$), '^(PT400 |allowed)', 'a word of 100000 characters is no accident');
select matches(refusal($$ select api.search_stories(repeat('x ', 100000)) $$), '^(PT400 |allowed)', 'nor are 100000 words');
select is(
    refusal($$ select api.search_stories(repeat('-', 33)) $$),
    'PT400 invalid_query: Please search for words. ---------------------------------', 'nor a row of minus signs');

select authenticate_as('creator');
select api.save_chapter(tests.noted('letters')::uuid, 3, 'Chapter 3', 'Not ready');
select authenticate_as_anon();
select is(found(free_only => true), '{Cartas}', 'a draft chapter does not make a free story dear');

select tests.sign_out();
select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
