-- cache: what every generation took is logged once, and added to its story.
begin;
\ir helpers.psql
\ir covers.psql
\ir cache.psql
select plan(73);

select count(create_person(p)) from unnest(array['author', 'reader', 'stranger']) as p;
select give('author', 1000), give('reader', 1000);
select publish_story('author', 3, 'By author');
select tests.claim('reader'), app.create_story('By reader', '', 'fiction', 'en', '{}');
select sign_out();

create function tests.totals(title text default 'By author')
returns text
language sql stable security definer
return (
    select format(
        '%s of %s tokens, %s of %s micro-dollars', s.logged_tokens, s.total_tokens_used, s.logged_cost_microdollars,
            s.total_cost_microdollars)
    from app.stories as s
    where s.title = totals.title
);
comment on function tests.totals(text) is 'What a story took: of its logs, and in all.';

create function tests.logged(reference text)
returns text
language sql stable security definer
return (
    select concat_ws(
        ' ', l.operation, l.chapter_number, 'by ' || l.model, l.tokens_in || '+' || l.tokens_out, l.cost_microdollars,
        case when l.is_cache_hit then 'hit' end)
    from app.ai_usage_logs as l
    where l.reference = logged.reference
);
comment on function tests.logged(text) is 'The log of this reference, in one line.';

-- Shape -------------------------------------------------------------------------------------------
select columns_are('api', 'ai_usage_logs', array[
    'id', 'user_id', 'story_id', 'chapter_id', 'operation', 'model', 'tokens_in', 'tokens_out', 'tokens_used',
    'cost_microdollars', 'cost_usd', 'is_cache_hit', 'chapter_number', 'reference', 'details', 'created_at']);
select columns_are('api', 'generation_logs', array[
    'id', 'user_id', 'story_id', 'chapter_id', 'operation_type', 'model', 'tokens_input', 'tokens_output', 'cost_usd', 'created_at']);
select col_type_is('api', 'ai_usage_logs', 'cost_microdollars', 'bigint', 'costs are exact');
select col_type_is('api', 'generation_logs', 'cost_usd', 'numeric(20,6)', 'in dollars to the micro-dollar');

-- Jobs ----------------------------------------------------------------------------------------------
select is(totals(), '0 of 0 tokens, 0 of 0 micro-dollars', 'at first nothing was generated');
select generate('story', 'author', 'an outline'), bring('story', tokens_in => 10, tokens_out => 20, cost_microdollars => 30);
select generate('chapter', 'author', 'a chapter', chapter_number => 2), bring('chapter', tokens_in => 100, tokens_out => 200,
    cost_microdollars => 300);
select is(logged('generation ' || generation('story')), 'story by writer-1 10+20 30', 'a text for the story is logged');
select is(logged('generation ' || generation('chapter')), 'chapter 2 by writer-1 100+200 300', 'a text for a chapter too');
select is(totals(), '330 of 330 tokens, 330 of 330 micro-dollars', 'the story has the sum');
select generate('hit', 'author', 'an outline'), generate('other', 'reader', 'an outline');
select is(logged('generation ' || generation('hit')), 'story by writer-1 0+0 0 hit', 'a hit took nothing, and is logged');
select is(totals(), '330 of 330 tokens, 330 of 330 micro-dollars', 'and adds nothing');
select is(totals('By reader'), '0 of 0 tokens, 0 of 0 micro-dollars', 'nor to the story of another');
select generate('failed', 'author', 'a mistake'), app.fail_generation(generation('failed'), 'no');
select is(logged('generation ' || generation('failed')), null, 'what failed is not logged');
select generate('unknown', 'author', 'without figures'), app.finish_generation(generation('unknown'), '"x"', null, null, null);
select is(logged('generation ' || generation('unknown')), 'story by writer-1 0+0 0', 'without figures it is 0');

-- Chapters ------------------------------------------------------------------------------------------------
select tests.claim('author'), app.save_chapter(story_id('By author'), 3, 'Chapter 3', 'The text of chapter 3', 1000);
select is(totals(), '330 of 1330 tokens, 330 of 330 micro-dollars', 'what is given with a chapter counts with the logs');
select app.save_chapter(story_id('By author'), 3, 'Chapter 3', 'The text of chapter 3, again', 400);
select is(totals(), '330 of 730 tokens, 330 of 330 micro-dollars', 'a chapter saved again counts once, and the logs stay');
select sign_out();

-- What backends note -------------------------------------------------------------------------------------------
select authenticate_as('author');
select matches(
    refusal($$ select api.record_ai_usage(tests.user_id('author'), 'story', 'm') $$), '^42501 : permission denied', 'authors note nothing');
select sign_in('service_role', '{"role": "service_role"}');
create temp table noted as
select api.record_ai_usage(
    user_id('author'), 'embedding', ' embedder-1 ', story_id('By author'), 1, 7, 0, 11, 'batch 1', '{"dimensions": 384}') as id;
select is(logged('batch 1'), 'embedding 1 by embedder-1 7+0 11', 'a backend notes what it did by itself');
select is(totals(), '337 of 737 tokens, 341 of 341 micro-dollars', 'it is added');
select is(
    api.record_ai_usage(user_id('author'), 'embedding', 'embedder-2', story_id('By author'), 1, 70, 0, 110, 'batch 1'), (select id
        from noted),
    'the same reference again is the same log');
select is(logged('batch 1'), 'embedding 1 by embedder-1 7+0 11', 'as it was');
select is(totals(), '337 of 737 tokens, 341 of 341 micro-dollars', 'and adds nothing');
select isnt(
    api.record_ai_usage(user_id('author'), 'other', 'm', tokens_in => 1), api.record_ai_usage(user_id('author'), 'other', 'm',
        tokens_in => 1),
    'without a reference each is its own');
select is(totals(), '337 of 737 tokens, 341 of 341 micro-dollars', 'without a story it is in none');
select is(
    refusal('select api.record_ai_usage(' || arguments || ')'), expected, format('nothing is noted: %s', arguments))
from (values
    ('tests.user_id(''nobody''), ''story'', ''m''', 'PT404 user_not_found: There is no such person.'),
    ('null, ''story'', ''m''', 'PT404 user_not_found: There is no such person.'),
    ('tests.user_id(''author''), ''story'', ''m'', tests.user_id(''nobody'')', 'PT404 story_not_found: There is no such story.'),
    ('tests.user_id(''author''), ''poem'', ''m''',
        'PT400 unknown_operation: An operation is story, chapter, cover, embedding or other. poem'),
    ('tests.user_id(''author''), null, ''m''', 'PT400 unknown_operation: An operation is story, chapter, cover, embedding or other.'),
    ('tests.user_id(''author''), ''story'', null', 'PT400 text_required: Please give the model.'),
    ('tests.user_id(''author''), ''story'', ''  ''', 'PT400 text_required: Please give the model.'),
    ('tests.user_id(''author''), ''story'', repeat(''m'', 201)',
        'PT400 text_too_long: The model is too long. It has 201 characters; at most 200 are allowed.')
) as v (arguments, expected);
select is(
    refusal(format('select api.record_ai_usage(tests.user_id(''author''), ''story'', ''m'', %s)', wrong)),
    'PT400 invalid_usage: A figure is out of range. '
    'Tokens: 0 to 1,000,000,000; cost: 0 to 1,000,000 dollars; reference: 1 to 200 characters.',
    format('no figure: %s', wrong))
from unnest(array[
    'tokens_in => -1', 'tokens_in => 1000000001', 'tokens_out => -1', 'tokens_out => 9223372036854775807', 'cost_microdollars => -1',
    'cost_microdollars => 1000000000001', 'chapter_number => 0', 'chapter_number => 10001', 'reference => ''''',
        'reference => repeat(''x'', 201)',
    'details => ''[]''', 'details => ''null''', 'details => ''1''']) as wrong;
select isnt(
    api.record_ai_usage(
        user_id('reader'), 'other', 'm', story_id('By reader'), 10000, 1000000000, 1000000000, 1000000000000, repeat('x', 200), '{}'), null,
    'the largest figures are taken');
select is(totals('By reader'), '2000000000 of 2000000000 tokens, 1000000000000 of 1000000000000 micro-dollars', 'and added');

-- Covers ------------------------------------------------------------------------------------------------------
select sign_out();
select is(make_cover('drawn', 'author', 'By author'), 'completed 100% after 1', 'a cover is drawn');
select is(logged('cover ' || job('drawn')), 'cover by dreamshaper_7 0+0 2000', 'it is logged with what drawing costs');
select is(totals(), '337 of 737 tokens, 2341 of 2341 micro-dollars', 'and added');
select ask_cover('lost', 'author', 'By author'), take('lost'), fail_job('lost', 'bad_request', true);
select is(logged('cover ' || job('lost')), null, 'a cover that failed is not');
select upload('own', 'author', 'By author');
select is((select count(*) from app.ai_usage_logs where operation = 'cover'), 1::bigint, 'nor is one that was uploaded');
update app.economy set cover_cost_microdollars = 0;
select make_cover('cheap', 'author', 'By author');
select is(logged('cover ' || job('cheap')), 'cover by dreamshaper_7 0+0 0', 'drawing may cost nothing');

-- What people see ------------------------------------------------------------------------------------------------
select authenticate_as('author');
select results_eq(
    $$ select l.operation, l.tokens_used, l.cost_microdollars, l.cost_usd, l.is_cache_hit, c.chapter_number
       from api.ai_usage_logs as l left join api.chapters as c on c.id = l.chapter_id
       where l.story_id is not null order by l.id $$,
    $$ values ('story', 30::bigint, 30::bigint, 0.000030, false, null::integer), ('chapter', 300, 300, 0.000300, false, 2),
        ('story', 0, 0, 0, true, null), ('story', 0, 0, 0, false, null), ('embedding', 7, 11, 0.000011, false, 1),
        ('cover', 0, 2000, 0.002, false, null), ('cover', 0, 0, 0, false, null) $$, 'authors see their own logs');
select results_eq(
    'select id, user_id, story_id, chapter_id, operation_type, model, tokens_input, tokens_output, cost_usd
     from api.generation_logs order by id',
    'select id, user_id, story_id, chapter_id, operation, model, tokens_in, tokens_out, cost_usd
     from api.ai_usage_logs order by id',
    'generation_logs is the older name');
select is((select count(*) from api.generation_logs where user_id <> user_id('author')), 0::bigint, 'of nobody else');
select is((select total_tokens_used from api.stories where title = 'By author'), 737::bigint, 'the total is with the story');
select is(
    refusal(format(statement, logs)) ~ '^42501 ', true, format('nobody writes: ' || statement, logs))
from unnest(array['generation_logs', 'ai_usage_logs']) as logs,
    unnest(array['delete from api.%I', 'update api.%I set model = ''x''', 'insert into api.%I (model) values (''x'')']) as statement;
select authenticate_as('stranger');
select is((select count(*) from api.ai_usage_logs) + (select count(*) from api.generation_logs), 0::bigint,
    'isolation: a stranger sees none');
select sign_in('service_role', '{"role": "service_role"}');
select is(
    (select count(*) from api.ai_usage_logs), (select count(*) from api.generation_logs), 'the service role sees all, by both names');
select ok((select count(distinct user_id) from api.ai_usage_logs) = 2, 'of everybody');
select sign_out();

-- What was logged stays --------------------------------------------------------------------------------------------
select is(
    refusal(statement),
        'PT403 append_only: Rows of app.ai_usage_logs are never changed or removed. Post a new row that corrects the old one.',
    format('%s is refused', statement))
from unnest(array['delete from app.ai_usage_logs', 'update app.ai_usage_logs set model = ''x''',
    'truncate app.ai_usage_logs']) as statement;
select is_empty('select * from ledger.verify()', 'a story''s totals are those of its logs');
select ok(cardinality(seen_after(statement)) > 0, format('verify sees: %s', statement))
from unnest(array[
    'update app.stories set logged_tokens = logged_tokens + 1 where title = ''By author''',
    'update app.stories set logged_cost_microdollars = 0 where title = ''By author''',
    'delete from app.ai_usage_logs where reference = ''batch 1''',
    'update app.ai_usage_logs set tokens_in = tokens_in + 1 where reference = ''batch 1''']) as statement;
select * from finish();
rollback;
