-- stories: authors write, price and publish their own, and nobody else's (IP4, IP14).
begin;
\ir helpers.psql
\ir alone.psql
select plan(106);

select count(tests.create_person(p)) from unnest(array['creator', 'cowriter', 'third', 'late', 'stranger']) as p;

-- The story of this file; every statement says `story()` where it means it.
create function tests.story()
returns uuid
language sql stable
return tests.noted('story')::uuid;

-- What becomes of a split of it.
create function tests.split(handles text[], basis_points integer[])
returns text
language sql volatile
return tests.refusal(format(
    'select api.set_story_authors(tests.story(), %L, %L)',
    (select array_agg(tests.user_id(h) order by n) from unnest(split.handles) with ordinality as p (h, n)), split.basis_points));

-- What only its author may do.
create temp table edits (statement text);
grant select on edits to public;
insert into edits values
($$ select api.update_story(tests.story(), 'Mine') $$),
($$ select api.save_chapter(tests.story(), 1, 'Mine', 'Mine') $$),
('select api.publish_story(tests.story())'),
('select api.archive_story(tests.story())'),
('select api.set_story_pricing(tests.story(), 0)'),
($$ select api.set_story_authors(tests.story(), array[user_id('creator')], '{10000}') $$);

-- Beginning a story -----------------------------------------------------------
select authenticate_as('creator');
select tests.note('story', api.create_story('  Forty Lights ', 'A keeper counts.', 'mystery', 'pt-BR', '{sea,light}')::text);
select results_eq(
    'select title, description, genre, language, tags, status, word_count, chapter_count, published_at from api.stories',
    $$ values ('Forty Lights', 'A keeper counts.', 'mystery', 'pt-BR', '{sea,light}'::text[], 'draft', 0, 0, null::timestamptz) $$,
    'a story begins as a draft, its title trimmed');
select results_eq(
    'select price_per_chapter, bundle_discount, is_free_sample, free_chapters, premium_unlock_price from api.story_pricing',
    $$ values (5, 15, true, 2, 50) $$,
    'with the prices of seed 000');
select results_eq(
    'select creator_id, basis_points, rank from api.story_splits()',
    $$ values (user_id('creator'), 10000, 1::smallint) $$,
    'and one author, who earns all of it');
select is(refusal($$ select api.create_story('Bare') $$), 'allowed', 'a title is enough');

select is(
    refusal('select api.create_story(null)'), 'PT400 text_required: Please give the title.', 'a title there must be');
select is(refusal($$ select api.create_story(E' \t\n') $$), 'PT400 text_required: Please give the title.', 'a blank one is none');
select is(
    refusal($$ select api.create_story(repeat('t', 201)) $$),
    'PT400 text_too_long: The title is too long. It has 201 characters; at most 200 are allowed.', 'nor one of 201 characters');
select is(refusal($$ select api.create_story(repeat('t', 200)) $$), 'allowed', '200 are allowed');
select is(
    refusal($$ select api.create_story('T', repeat('d', 5001)) $$),
    'PT400 text_too_long: The description is too long. It has 5001 characters; at most 5000 are allowed.', 'the same for descriptions');
select is(
    refusal($$ select api.create_story('T', null) $$), 'PT400 text_required: Please give the description.',
    'a null description is refused');
select is(
    refusal($$ select api.create_story('T', genre => '') $$),
    'PT400 invalid_genre: A genre has 1 to 50 characters.', 'a genre is not empty');
select is(
    refusal($$ select api.create_story('T', genre => repeat('g', 51)) $$),
    'PT400 invalid_genre: A genre has 1 to 50 characters.', 'nor endless');
select matches(refusal($$ select api.create_story('T', genre => null) $$), '^PT400 invalid_genre: ', 'nor null');
select is(
    refusal($$ select api.create_story('T', language => 'English') $$),
    'PT400 invalid_language: Please give the language as a code such as "en" or "pt-BR".', 'a language is a code');
select matches(refusal($$ select api.create_story('T', language => E'en\n') $$), '^PT400 invalid_language: ', 'and nothing but a code');
select matches(refusal($$ select api.create_story('T', language => null) $$), '^PT400 invalid_language: ', 'not null either');
select is(
    refusal($$ select api.create_story('T', tags => array(select 't' || i from generate_series(1, 21) as i)) $$),
    'PT400 invalid_tags: A story has at most 20 tags of 1 to 40 characters.', 'at most twenty tags');
select matches(refusal($$ select api.create_story('T', tags => '{""}') $$), '^PT400 invalid_tags: ', 'no empty tag');
select matches(refusal($$ select api.create_story('T', tags => '{a,null}') $$), '^PT400 invalid_tags: ', 'no null tag');
select matches(
    refusal($$ select api.create_story('T', tags => array[repeat('t', 41)]) $$), '^PT400 invalid_tags: ', 'no tag of 41 characters');
select matches(refusal($$ select api.create_story('T', genre => ' ') $$), '^PT400 invalid_genre: ', 'a blank genre is none');
select matches(refusal($$ select api.create_story('T', tags => '{" "}') $$), '^PT400 invalid_tags: ', 'a blank tag is none');
select matches(
    refusal($$ select api.create_story('T', tags => array[['a', 'b'], ['c', 'd']]) $$), '^PT400 invalid_tags: ', 'tags are one list');
select matches(refusal($$ select api.create_story('T', tags => null) $$), '^PT400 invalid_tags: ', 'tags may be none, not null');

-- Changing it -----------------------------------------------------------------
select is(api.update_story(story(), genre => 'fantasy'), story(), 'a story can be changed');
select results_eq(
    'select title, description, genre, tags from api.stories where id = story()',
    $$ values ('Forty Lights', 'A keeper counts.', 'fantasy', '{sea,light}'::text[]) $$, 'what is left out stays');
select api.update_story(story(), 'Forty-one Lights', '', tags => '{}');
select results_eq(
    'select title, description, genre, tags from api.stories where id = story()',
    $$ values ('Forty-one Lights', '', 'fantasy', '{}'::text[]) $$, 'a description and tags can be emptied');
select is(
    refusal($$ select api.update_story(story(), ' ') $$), 'PT400 text_required: Please give the title.', 'a title cannot');
select matches(refusal($$ select api.update_story(story(), language => '?') $$), '^PT400 invalid_language: ', 'the same rules hold');

-- Chapters, in order ----------------------------------------------------------
select is(
    refusal($$ select api.save_chapter(story(), 2, 'Two', 'Text') $$),
    'PT422 chapter_out_of_order: Chapters are written in order. The next new chapter is number 1.', 'the first chapter is number 1');
select matches(refusal($$ select api.save_chapter(story(), 0, 'Zero', 'Text') $$), '^PT422 chapter_out_of_order: ', 'not 0');
select matches(refusal($$ select api.save_chapter(story(), -1, 'Minus', 'Text') $$), '^PT422 chapter_out_of_order: ', 'not -1');
select matches(refusal($$ select api.save_chapter(story(), null, 'Null', 'Text') $$), '^PT422 chapter_out_of_order: ', 'not null');
select tests.note('chapter', api.save_chapter(story(), 1, 'One', E'Three small  words\n', 40)::text);
select is(
    api.save_chapter(story(), 1, 'One again', E'Now it is\tfive words'), tests.noted('chapter')::uuid,
    'written anew it is the same chapter');
select results_eq(
    'select chapter_number, title, status, word_count, tokens_used from api.chapters where story_id = story()',
    $$ values (1, 'One again', 'draft', 5, 40::bigint) $$, 'with new words, and the tokens of before when none are given');
select matches(refusal($$ select api.save_chapter(story(), 3, 'Three', 'Text') $$), '^PT422 .* number 2\.$', 'none is left out');
select is(
    refusal($$ select api.save_chapter(story(), 2, 'Two', ' ') $$), 'PT400 text_required: Please give the content.',
    'a chapter has a text');
select is(
    refusal($$ select api.save_chapter(story(), 2, 'Two', null) $$), 'PT400 text_required: Please give the content.', 'not null');
select is(
    refusal($$ select api.save_chapter(story(), 2, 'Two', repeat('x', 500001)) $$),
    'PT400 text_too_long: The content is too long. It has 500001 characters; at most 500000 are allowed.', 'of a readable length');
select is(
    refusal($$ select api.save_chapter(story(), 2, null, 'Text') $$), 'PT400 text_required: Please give the title.', 'and a title');
select is(
    refusal($$ select api.save_chapter(story(), 2, 'Two', 'Text', -1) $$),
    'PT400 invalid_tokens: Tokens used is a number from 0 to 1,000,000,000.', 'tokens are not negative');
select matches(
    refusal($$ select api.save_chapter(story(), 2, 'Two', 'Text', 1000000001) $$), '^PT400 invalid_tokens: ', 'nor endless');

select tests.tamper($$ update app.stories set chapter_count = 10000 where id = tests.story() $$);
select matches(
    refusal($$ select api.save_chapter(story(), 10001, 'Too many', 'Text') $$), '^PT4(00|22) ', 'ten thousand chapters are enough');
select tests.tamper($$ update app.stories set chapter_count = 1 where id = tests.story() $$);

-- IP14: metrics ---------------------------------------------------------------
select api.save_chapter(story(), 2, 'Two', 'one two three', 2), api.save_chapter(story(), 3, 'Three', 'four', 1000000000);
select tests.sign_out();
update app.chapters as c set generation_cost_microdollars = 12345 where c.story_id = story() and c.chapter_number > 1;
select authenticate_as('creator');
select results_eq(
    'select word_count, chapter_count, total_tokens_used, total_cost_usd from api.stories where id = story()',
    $$ values (9, 3, 1000000042::bigint, 0.024690) $$, 'IP14: a story counts the words, chapters, tokens and cost of its chapters');
select api.save_chapter(story(), 3, 'Three', 'four five six', 8);
select results_eq(
    'select word_count, chapter_count, total_tokens_used, total_cost_usd from api.stories where id = story()',
    $$ values (11, 3, 50::bigint, 0.024690) $$, 'IP14: and follows every change');

-- Publishing ------------------------------------------------------------------
select is(
    refusal($$ select api.publish_story(api.create_story('Empty')) $$),
    'PT422 nothing_to_publish: Write a chapter first. A story needs at least one published chapter.', 'nothing written, nothing published');
select matches(
    refusal($$ select api.publish_story(story(), '{}') $$), '^PT422 nothing_to_publish: ', 'no chapter chosen, nothing published');
select is(
    refusal($$ select api.publish_story(story(), '{99}') $$),
    'PT404 chapter_not_found: One of these chapters is not written yet.', 'nor one that is not there');
select is_empty($$ select * from api.creators where id = user_id('creator') $$, 'who has not published is not a creator yet');
select api.publish_story(story(), '{1,2}');
select results_eq(
    'select chapter_number, status, published_at is not null from api.chapters where story_id = story() order by 1',
    $$ values (1, 'published', true), (2, 'published', true), (3, 'draft', false) $$, 'chapters can be published one by one');
select results_eq(
    'select status, published_at is not null from api.stories where id = story()', $$ values ('published', true) $$,
    'with the first the story is published');
select isnt_empty($$ select * from api.creators where id = user_id('creator') $$, 'and its author a creator');
select tests.sign_out();
select tests.tamper($$ update app.stories set published_at = '2020-01-01 00:00Z' where id = tests.story() $$);
select authenticate_as('creator');
select api.archive_story(story());
select is((select status from api.stories where id = story()), 'archived', 'a story can be taken off sale');
select api.publish_story(story());
select results_eq(
    'select status, published_at from api.stories where id = story()', $$ values ('published', '2020-01-01 00:00Z'::timestamptz) $$,
    'and brought back: it was first published when it was');
select is_empty(
    $$ select * from api.chapters where story_id = story() and status <> 'published' $$, 'without a list every chapter is published');

-- Prices ----------------------------------------------------------------------
select is(api.set_story_pricing(story(), 10000, 100, false, 10000, 1000000), story(), 'prices go up to their limits');
select is(api.set_story_pricing(story(), 0, 0, true, 0, 0), story(), 'and down to nothing');
select api.set_story_pricing(story(), price_per_chapter => 7);
select results_eq(
    $$ select price_per_chapter, bundle_discount, is_free_sample, free_chapters, premium_unlock_price
       from api.story_pricing where story_id = story() $$,
    $$ values (7, 0, true, 0, 0) $$, 'what is left out stays');
select is(
    refusal('select api.set_story_pricing(story(), -1)'),
    'PT400 invalid_price: A price is out of range. Chapter: 0 to 10000 credits; discount: 0 to 100 per cent; '
    'free chapters: 0 to 10000; unlock: 0 to 1000000 credits.',
    'a price is not negative');
select matches(refusal('select api.set_story_pricing(story(), 10001)'), '^PT400 invalid_price: ', 'nor beyond its limit');
select matches(refusal('select api.set_story_pricing(story(), bundle_discount => 101)'), '^PT400 invalid_price: ', 'discount over 100');
select matches(refusal('select api.set_story_pricing(story(), bundle_discount => -1)'), '^PT400 invalid_price: ', 'discount under 0');
select matches(refusal('select api.set_story_pricing(story(), free_chapters => -1)'), '^PT400 invalid_price: ', 'free chapters under 0');
select matches(
    refusal('select api.set_story_pricing(story(), premium_unlock_price => 1000001)'), '^PT400 invalid_price: ', 'unlock over its limit');

-- K7: co-authors --------------------------------------------------------------
select is(
    split('{creator,cowriter}', '{5000,4999}'),
    'PT422 invalid_split: The parts of the authors must add up to 10000 basis points. '
    'Give one to twenty authors and as many parts of 1 to 10000.',
    'K7: parts add up to 10000');
select matches(split('{creator,cowriter}', '{10000}'), '^PT422 invalid_split: ', 'K7: as many parts as authors');
select matches(split('{creator,cowriter}', '{10000,0}'), '^PT422 invalid_split: ', 'K7: no part is nothing');
select matches(split('{creator,cowriter}', '{10001,-1}'), '^PT422 invalid_split: ', 'K7: nor negative');
select matches(split('{creator,cowriter}', '{10000,null}'), '^PT422 invalid_split: ', 'K7: nor null');
select matches(split('{creator,cowriter}', '{2147483647,1}'), '^PT422 invalid_split: ', 'K7: nor huge');
select is(
    split('{creator,creator}', '{5000,5000}'), 'PT422 invalid_split: Each author can be named once.', 'K7: nobody is named twice');
select is(
    split('{cowriter,stranger}', '{5000,5000}'), 'PT422 invalid_split: The story''s own author must have a part.',
    'K7: the author is among them');
select is(
    split('{creator,nobody}', '{5000,5000}'),
    'PT404 creator_not_found: One of these authors is not here yet. They must sign in once first.', 'K7: all of them are here');
select matches(
    refusal('select api.set_story_authors(tests.story(), null, null)'), '^PT422 invalid_split: ', 'K7: null is no list');
select matches(
    refusal($$ select api.set_story_authors(tests.story(), array[user_id('creator'), null], '{5000,5000}') $$),
    '^PT422 invalid_split: ', 'K7: null is nobody');
select is(split('{creator,cowriter,third}', '{3333,3333,3334}'), 'allowed', 'K7: three share');
select authenticate_as('cowriter');
select results_eq(
    'select creator_id, basis_points, rank from api.story_splits()',
    $$ values (user_id('creator'), 3333, 1::smallint), (user_id('cowriter'), 3333, 2::smallint), (user_id('third'), 3334, 3::smallint) $$,
    'K7: every author sees how they share');
select isnt_empty($$ select * from api.creators where id = user_id('cowriter') $$, 'K7: co-authors of a published story are creators');
select authenticate_as('creator');
select tests.note('second', api.create_story('Second')::text);
select api.save_chapter(tests.noted('second')::uuid, 1, 'One', 'Text');
select api.set_story_authors(tests.noted('second')::uuid, array[user_id('creator'), user_id('late')], '{9999,1}');
select is_empty($$ select * from api.creators where id = user_id('late') $$, 'K7: those of a draft not yet');
select api.publish_story(tests.noted('second')::uuid);
select isnt_empty($$ select * from api.creators where id = user_id('late') $$, 'K7: but with it');
select is(
    refusal($$ select api.leave_story(tests.noted('second')::uuid) $$),
    'PT422 owner_stays: The story is yours: archive it instead.', 'K7: the story''s own author stays');
select authenticate_as('late');
select is(api.leave_story(tests.noted('second')::uuid), tests.noted('second')::uuid, 'K7: who was named unasked can leave');
select is_empty($$ select * from api.creators where id = user_id('late') $$, 'K7: and is no creator for it');
select is_empty($$ select * from api.story_authors where creator_id = user_id('late') $$, 'K7: nor named anywhere');
select is(
    refusal($$ select api.leave_story(tests.noted('second')::uuid) $$),
    'PT404 story_not_found: There is no such story of yours.', 'K7: once');
select authenticate_as('creator');
select is(
    (select s.basis_points from api.story_splits() as s where s.story_id = tests.noted('second')::uuid), 10000,
    'K7: their part goes to the story''s own author');
select authenticate_as('cowriter');
select matches(
    refusal($$ select api.save_chapter(story(), 1, 'Hers', 'Text') $$), '^PT404 story_not_found: ',
    'K7: a co-author earns, and does not edit');

-- Somebody else's story is not there ------------------------------------------
select authenticate_as('stranger');
select is(
    refusal(statement), 'PT404 story_not_found: There is no such story of yours.', 'a stranger cannot:' || statement)
from edits;
select authenticate_as('creator');
select tests.note('own', story()::text), tests.note('story', null);
select is(
    refusal(statement), 'PT404 story_not_found: There is no such story of yours.', 'a null story is none:' || statement)
from edits
where statement like '%update_story%' or statement like '%save_chapter%';
select sign_in('authenticated', '{"role": "authenticated"}');
select matches(refusal(statement), '^PT401 login_required: ', 'nobody is asked to sign in, whatever the story:' || statement)
from edits
where statement like '%update_story%' or statement like '%save_chapter%';
select tests.note('story', tests.noted('own'));
select matches(refusal(statement), '^PT401 login_required: ', 'also for one that exists:' || statement)
from edits
where statement like '%archive_story%';

-- What was written stays ------------------------------------------------------
select authenticate_as('creator');
select is(
    refusal('delete from api.stories'), '42501 : permission denied for view stories', 'no view is a way to delete');
select tests.sign_out();
select is(
    refusal('delete from app.stories'),
    'PT409 cannot_delete: Rows of app.stories may have been sold and stay. Archive the story instead.', 'a story is not deleted');
select matches(refusal('delete from app.chapters'), '^PT409 cannot_delete: Rows of app\.chapters ', 'a chapter neither');
select matches(refusal('delete from app.chapter_texts'), '^PT409 cannot_delete: Rows of app\.chapter_texts ', 'nor its text');
select matches(refusal($$ delete from app.profiles where handle = 'creator' $$), '^23(001|503) ', 'nor goes an author with stories');

select is_empty('select * from ledger.verify()', 'nothing was made or lost');

select matches(
    refusal('truncate app.stories, app.chapters, app.chapter_texts, app.story_pricing, app.story_authors cascade'), '^PT40[39] ',
    'stories are not truncated');
select matches(refusal('truncate app.chapter_texts'), '^PT40[39] ', 'nor their texts');

select * from finish();
rollback;
