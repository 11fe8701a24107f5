-- cache: generation jobs are priced once, paid once and rewarded once (IP11).
-- Needs pgvector.
begin;
\ir helpers.psql
\ir covers.psql
\ir cache.psql
select plan(148);

select count(create_person(p)) from unnest(array['author', 'reader', 'stranger', 'poor']) as p;
select give('author', 1000), give('reader', 1000), give('stranger', 100), give('poor', 9);
select tests.claim(h), app.create_story('By ' || h, '', 'fiction', 'en', '{}') from unnest(array['author', 'reader', 'poor']) as h;
select sign_out();

create function tests.asked(
    handle text, title text default 'By author', request jsonb default tests.request('a castle'),
    chapter_number integer default null, embedding real[] default null, max_credits bigint default null,
    idempotency_key text default null)
returns text
language plpgsql volatile
as $$
declare
    v_answer text;
begin
    perform tests.authenticate_as(asked.handle);
    v_answer := tests.refusal(format(
        'select tests.note_generation(%L, r.job_id) from api.request_generation(tests.story_id(%L), %L, %L, %L::real[], %L, %L) as r',
        'asked', asked.title, asked.request, asked.chapter_number, asked.embedding, asked.max_credits, asked.idempotency_key));
    perform tests.sign_out();
    return v_answer;
end;
$$;
comment on function tests.asked(text, text, jsonb, integer, real[], bigint, text) is
'What somebody is told who wants a text, which is noted when it is allowed.';

create function tests.canceled(name text, handle text)
returns text
language plpgsql volatile
as $$
declare
    v_answer text;
begin
    perform tests.authenticate_as(canceled.handle);
    v_answer := tests.refusal(format('select api.cancel_generation(%L)', tests.noted(canceled.name)));
    if v_answer = 'allowed' then
        v_answer := tests.credits(canceled.handle);
    end if;
    perform tests.sign_out();
    return v_answer;
end;
$$;
comment on function tests.canceled(text, text) is 'What somebody is told who cancels a noted job; what they have then.';

-- Asking --------------------------------------------------------------------------------------------
select authenticate_as('author');
create temp table answer as
select r.* from api.request_generation(story_id('By author'), request('a castle'), 3, max_credits => 10) as r;
select results_eq(
    $$ select state, match, original_cost, cost_credits, balance, content from answer $$,
    $$ values ('pending', 'none', 10::bigint, 10::bigint, 990::bigint, null::jsonb) $$, 'the answer says what it costs and what is left');
select results_eq(
    $$ select t.amount, t.balance_after, t.transaction_type, t.reference_type, t.reference_id
       from api.credit_transactions as t where t.transaction_type = 'spend' $$,
    $$ select -10::bigint, 990::bigint, 'spend', 'generation', job_id::text from answer $$, 'the statement says so');
select results_eq(
    $$ select j.id, j.story_id, j.chapter_number, j.state, j.match, j.similarity_basis_points, j.cost_credits, j.content, j.finished_at
       from api.generation_jobs as j $$,
    $$ select a.job_id, tests.story_id('By author'), 3, 'pending', 'none', null::integer, 10::bigint, null::jsonb, null::timestamptz
        from answer as a $$,
    'the author sees the job');
select sign_out();
select note_generation('castle', a.job_id) from answer as a;
select is(credits('author'), '990 + 10', 'its price is set aside');
select is_empty('select * from ledger.verify()', 'and all is balanced');

-- Who may ask, and for what ---------------------------------------------------------------------------
select is(asked(handle, title), 'PT404 story_not_found: There is no such story of yours.', format('isolation: %s asks for %s', handle,
    title))
from (values ('stranger', 'By author'), ('reader', 'By author'), ('author', 'By reader'), ('author', 'No such story'), ('author',
    null)) as v (handle, title);
select is(
    asked('author', chapter_number => n), 'PT400 invalid_chapter: A chapter''s number is from 1 to 10000.',
        format('there is no chapter %s', n))
from unnest(array[0, -1, 10001, 2147483647]) as n;
select is(
    asked('author', max_credits => -1), 'PT400 invalid_max_credits: The most you will pay cannot be negative.',
        'nobody pays less than nothing');
select alike(asked('author', request => '{}'), 'PT400 invalid_request: %', 'a request has a prompt');
select alike(asked('author', embedding => '{1,2}'), 'PT400 invalid_embedding: %', 'an embedding has its size');
select is(
    asked('author', request => request('b'), max_credits => 9),
    'PT409 price_changed: This costs more than you agreed to pay. It costs 10 credits; you agreed to at most 9. Ask for a new quote.',
    'nobody pays more than they agreed to');
select is(
    asked('poor', 'By poor'), 'PT402 insufficient_credits: Not enough credits. This costs 10 credits; you have 9.',
        'nobody pays what they have not');
select is(asked('author', idempotency_key => key),
    'PT400 invalid_idempotency_key: An idempotency key has 1 to 200 characters. This one has ' || length(key) || '.',
    format('no key: %s characters', length(key)))
from unnest(array['', repeat('k', 201)]) as key;
select is((select count(*) from app.generation_jobs), 1::bigint, 'what is refused leaves nothing behind');
select is(credits('author') || ', ' || credits('poor'), '990 + 10, 9 + 0', 'and costs nothing');

-- Finishing ----------------------------------------------------------------------------------------------
select authenticate_as('author');
select matches(refusal($$ select api.finish_generation(tests.generation('castle'), '"mine"') $$), '^42501 : permission denied',
    'authors bring nothing');
select matches(refusal($$ select api.fail_generation(tests.generation('castle'), 'no') $$), '^42501 : permission denied',
    'and fail nothing');
select sign_in('service_role', '{"role": "service_role"}');
select is(
    refusal(format('select api.finish_generation(tests.generation(''castle''), %L, 1, 1, 1)', content)),
    'PT400 invalid_content: Please give what was generated, up to 2 MB of JSON.', format('no text: %s', left(coalesce(content, 'nothing'),
        20)))
from unnest(array[null, 'null', to_json(repeat('x', 2000000))::text]) as content;
select is(
    refusal(format('select api.finish_generation(tests.generation(''castle''), ''"x"'', %s)', figures)),
    'PT400 invalid_usage: A figure is out of range. Tokens: 0 to 1,000,000,000; cost: 0 to 1,000,000 dollars.', format('no figures: %s',
        figures))
from unnest(array['-1', '1000000001', '0, -1', '0, 1000000001', '0, 0, -1', '0, 0, 1000000000001', '9223372036854775807']) as figures;
select is(refusal(format('select api.finish_generation(%L, ''"x"'')', id)), 'PT404 job_not_found: There is no such job.',
    'there is no such job')
from unnest(array[null, user_id('nobody')]) as id;
select is(
    refusal(format('select api.fail_generation(%L, ''x'')', user_id('nobody'))), 'PT404 job_not_found: There is no such job.',
        'nor one to fail');
select is(generation_of('castle'), 'pending none 10 of 10', 'it still waits');
select is(api.finish_generation(generation('castle'), '{"text": "A castle stood."}', 100, 900, 5000), 'completed',
    'the service role brings the text');
select is(
    refusal(format(statement, generation('castle'))), 'PT409 job_over: This job is over. It is completed.', format('once: %s', statement))
from unnest(array['select api.finish_generation(%L, ''"other"'')', 'select api.finish_generation(%L, null)',
    'select api.fail_generation(%L, ''x'')']) as statement;
select sign_out();
select is(canceled('castle', 'author'), 'PT409 job_over: This job is over. It is completed.', 'nor is it canceled then');
select is(generation_of('castle'), 'completed none 10 of 10 {"text": "A castle stood."}', 'the first text stays');
select is(credits('author'), '990 + 0', 'its credits are spent');
select results_eq(
    $$ select r.credits::bigint, r.state from ledger.reservations as r
       inner join app.generation_jobs as j on j.transaction_id = r.id and j.id = tests.generation('castle') $$,
    $$ values (10::bigint, 'captured') $$, 'for good');
select is_empty('select * from app.cache_rewards', 'what was new is rewarded with nothing');

-- A hit ----------------------------------------------------------------------------------------------------
select tests.note('key', app.cache_key(request('a castle')));
select authenticate_as('reader');
create temp table hit as
select r.* from api.request_generation(story_id('By reader'), request(' a  castle'), max_credits => 8) as r;
select results_eq(
    $$ select state, match, original_cost, cost_credits, balance, content from hit $$,
    $$ values ('completed', 'exact', 10::bigint, 8::bigint, 992::bigint, '{"text": "A castle stood."}'::jsonb) $$,
    'IP11: what was there is had at once, for 20 % less');
select results_eq(
    $$ select w.user_id, w.story_id, w.chapter_id, w.credits_saved, w.original_cost, w.discounted_cost, w.hit_count, w.match,
           w.job_id, w.cache_key from api.cache_rewards as w $$,
    $$ select tests.user_id('reader'), tests.story_id('By reader'), null::uuid, 2::bigint, 10::bigint, 8::bigint, 1, 'exact',
           job_id, tests.noted('key') from hit $$, 'IP11: with one reward');
select is((select row(requests, hits, exact_hits, semantic_hits, hit_rate_percent, credits_saved)::text from api.my_cache_figures()),
    '(1,1,1,0,100,2)', 'all of one');
select authenticate_as('author');
select is_empty('select * from api.cache_rewards', 'isolation: it is the reader''s');
select is((select hit_count from api.infinite_pages_cache), 1::bigint, 'the author sees that it helped');
select is((select last_hit_at from api.infinite_pages_cache), now(), 'and when');
select is((select count(*) from api.generation_jobs), 1::bigint, 'but not whom');
select sign_out();
select note_generation('hit', h.job_id) from hit as h;
select is(credits('reader'), '992 + 0', 'a hit is spent at once');
select is(refusal(format('select app.finish_generation(%L, ''"x"'', 0, 0, 0)', generation('hit'))),
    'PT409 job_over: This job is over. It is completed.', 'nothing is to be done');
select is(canceled('hit', 'reader'), 'PT409 job_over: This job is over. It is completed.', 'and nothing to cancel');
select is(asked('author'), 'allowed', 'what one had generated oneself');
select is(generation_of('asked'), 'completed exact 8 of 10 {"text": "A castle stood."}', 'is a hit as well');
select is(asked('author'), 'allowed', 'each time');
select is((select count(*) from app.cache_rewards), 3::bigint, 'with a reward each');
select is((select c.exact_hits from app.infinite_pages_cache as c), 3::bigint, 'and counted each');
select is(refusal($$ insert into app.cache_rewards (job_id, user_id, story_id, cache_key, match, credits_saved, original_cost,
    discounted_cost)
    select job_id, user_id, story_id, cache_key, match, credits_saved, original_cost, discounted_cost
        from app.cache_rewards limit 1 $$) ~ '^23505 ', true,
    'a second reward for one job is impossible');
select generate('dragon', 'author', 'a dragon', embedding => meaning(0)), bring('dragon', '"A dragon flew."');
select is(generate('near', 'reader', 'a flying dragon', embedding => meaning(10)), 'completed semantic 8', 'the same meaning is a hit');
select is(generation_of('near'), 'completed semantic 8 of 10 "A dragon flew."', 'and answers with what was there');
select is((select j.similarity_basis_points from app.generation_jobs as j where j.id = generation('near')), 9848,
    'how near it was is on record');
select is(generate('same', 'reader', 'a flying dragon', embedding => meaning(10)), 'completed semantic 8',
    'what was a hit is not kept again');
select is(generate('far', 'reader', 'a knight', embedding => meaning(60)), 'pending none 10', 'what is far is generated');
select is((select j.similarity_basis_points from app.generation_jobs as j where j.id = generation('far')), 5000,
    'how far is on record too');
select is(generate('contrary', 'reader', 'no dragon', embedding => meaning(180)), 'pending none 10', 'even the contrary');
select is((select count(*) from app.infinite_pages_cache), 2::bigint, 'two texts are kept');
select is_empty('select * from ledger.verify()', 'all is balanced');

-- Failing and canceling ---------------------------------------------------------------------------------------
select is(credits('reader'), '956 + 20', 'two wait');
select is(app.fail_generation(generation('far'), repeat('The model is away. ', 100)), 'failed', 'one fails');
select is(credits('reader'), '966 + 10', 'its credits go back');
select is((select length(error_message) from app.generation_jobs as j where j.id = generation('far')), 1000,
    'why is kept, not without end');
select is(refusal(format('select app.fail_generation(%L, ''x'')', generation('far'))), 'PT409 job_over: This job is over. It is failed.',
    'once');
select is(refusal(format('select app.finish_generation(%L, ''"x"'', 0, 0, 0)', generation('far'))),
    'PT409 job_over: This job is over. It is failed.', 'late is too late');
select is(canceled('far', 'reader'), 'PT409 job_over: This job is over. It is failed.', 'and canceled twice is once');
select is(canceled('contrary', handle), 'PT404 job_not_found: There is no such job of yours.', format('isolation: %s cancels nothing',
    handle))
from unnest(array['author', 'stranger', 'newcomer']) as handle;
select is(canceled('nothing', 'reader'), 'PT404 job_not_found: There is no such job of yours.', 'there has to be one');
select is(canceled('contrary', 'reader'), '976 + 0', 'canceled: the credits are back');
select is(generation_of('contrary'), 'canceled none 10 of 10 because You canceled it.', 'the job says so');
select is(canceled('contrary', 'reader'), 'PT409 job_over: This job is over. It is canceled.', 'once');
select is(refusal(format('select app.finish_generation(%L, ''"x"'', 0, 0, 0)', generation('contrary'))),
    'PT409 job_over: This job is over. It is canceled.', 'what comes then is not paid for');
select is(looked_up('reader', request('no dragon')), 'none 10 of 10', 'and not kept');
select is((select count(*) from app.cache_rewards as w inner join app.generation_jobs as j on j.id = w.job_id where j.match = 'none'),
    0::bigint, 'no miss has a reward');
select is_empty('select * from ledger.verify()', 'all is balanced');

-- Once for a key -----------------------------------------------------------------------------------------------
select is(asked('reader', 'By reader', request('a key'), idempotency_key => 'k1'), 'allowed', 'with a key');
select tests.note('first', tests.noted('asked'));
select is(credits('reader'), '966 + 10', 'it costs once');
select is(asked('reader', 'By reader', request('a key'), idempotency_key => 'k1'), 'allowed', 'the same again');
select is(tests.noted('asked'), tests.noted('first'), 'is the same job');
select is(credits('reader'), '966 + 10', 'and costs nothing');
select is(
    asked('reader', 'By reader', request, chapter_number, embedding, max_credits, 'k1'),
    'PT409 idempotency_mismatch: This idempotency key was used for another call. '
    'It first came with request_generation. Use a new key for a new call.',
    format('another call: %s %s %s', request, chapter_number, max_credits))
from (values
    (request('another'), null::integer, null::real[], null::bigint), (request('a key'), 1, null, null), (request('a key'), null,
        meaning(0), null),
    (request('a key'), null, null, 10)
) as v (request, chapter_number, embedding, max_credits);
select is(bring('first', '"A key turned."'), 'completed', 'it is done');
select authenticate_as('reader');
select results_eq(
    $$ select state, match, cost_credits, balance, content from api.request_generation(tests.story_id('By reader'),
        tests.request('a key'), idempotency_key => 'k1') $$,
    $$ values ('pending', 'none', 10::bigint, 966::bigint, null::jsonb) $$, 'the first answer stays the answer');
select set_config('request.headers', '{"idempotency-key": "k2"}', true);
select tests.note('one', r.job_id::text) from api.request_generation(story_id('By reader'), request('a key')) as r;
select results_eq(
    $$ select r.job_id, r.state, r.match, r.cost_credits, r.content from api.request_generation(tests.story_id('By reader'),
        tests.request('a key')) as r $$,
    $$ values (tests.noted('one')::uuid, 'completed', 'exact', 8::bigint, '"A key turned."'::jsonb) $$,
        'the key may be a header, and a hit is had again');
select set_config('request.headers', '', true);
select sign_out();
select is((select count(*) from app.cache_rewards as w where w.job_id = tests.noted('one')::uuid), 1::bigint, 'with the one reward');
select is(asked('author', request => request('a key'), idempotency_key => 'k1'), 'allowed', 'another person''s keys are their own');

-- Prices -----------------------------------------------------------------------------------------------------------
create function tests.priced(price bigint, discount integer)
returns text
language plpgsql volatile
as $$
begin
    update app.economy set generation_price_credits = priced.price, cache_discount_percent = priced.discount;
    return tests.looked_up('reader', tests.request('a castle'));
end;
$$;
select is(priced(price, discount), expected, format('%s credits less %s %%', price, discount))
from (values
    (10, 20, 'exact 10000 8 of 10'), (9, 20, 'exact 10000 8 of 9'), (11, 20, 'exact 10000 9 of 11'), (6, 20, 'exact 10000 5 of 6'),
    (100000, 33, 'exact 10000 67000 of 100000'), (10, 100, 'exact 10000 0 of 10'), (0, 20, 'exact 10000 0 of 0'), (1, 99,
        'exact 10000 1 of 1')
) as v (price, discount, expected);
select priced(7, 50);
select is(generate('half', 'reader', 'a castle'), 'completed exact 4', 'half of 7 is 4: in whole credits, rounded up');
select priced(10, 100);
select is(generate('gift', 'poor', 'a castle'), 'completed exact 0', 'a hit may be free');
select is(credits('poor'), '9 + 0', 'and costs nothing');
select results_eq(
    $$ select w.credits_saved, w.discounted_cost from app.cache_rewards as w where w.job_id = tests.generation('gift') $$,
    $$ values (10::bigint, 0::bigint) $$, 'it is rewarded all the same');
select priced(0, 20);
select is(generate('free', 'poor', 'for nothing'), 'pending none 0', 'generating may be free');
select is(canceled('free', 'poor'), '9 + 0', 'nothing comes back of it');
select is(generate('free', 'poor', 'for nothing'), 'pending none 0', 'again');
select is(bring('free'), 'completed', 'and is done');
select is(generate('free', 'poor', 'for nothing'), 'completed exact 0', 'and found');
select priced(10, 20);
select is(generate('kept', 'reader', 'at the old price'), 'pending none 10', 'what was asked for');
select priced(50, 20);
select is(bring('kept'), 'completed', 'when the price changes');
select is(generation_of('kept'), 'completed none 10 of 10 "A text."', 'keeps its price');
select priced(10, 20);
select is_empty('select * from ledger.verify()', 'all is balanced');
-- generation_jobs_check2 refuses a hit without a saving.
select is(priced(10, 0), 'exact 10000 10 of 10', 'a hit may save nothing');
select is(
    refusal($$ select tests.generate('dear', 'reader', 'a castle') $$), 'allowed', 'and is had');
select is(priced(4, 20), 'exact 10000 4 of 4', '20 % of 4 credits, rounded up, is nothing');
select is(
    refusal($$ select tests.generate('cheap', 'reader', 'a castle') $$), 'allowed', 'and is had as well');
select priced(10, 20);

-- Figures ------------------------------------------------------------------------------------------------------------
select authenticate_as('poor');
select results_eq(
    'select * from api.my_cache_figures()', $$ values (3::bigint, 2::bigint, 2::bigint, 0::bigint, 67, 10::bigint) $$,
    'hits of what was generated; what was canceled counts for nothing');
select authenticate_as('stranger');
select results_eq(
    'select * from api.my_cache_figures()', $$ values (0::bigint, 0::bigint, 0::bigint, 0::bigint, 0, 0::bigint) $$,
        'nobody saves nothing');
select is(by_get('select * from api.my_cache_figures()') -> 0 ->> 'requests', '0', 'and may ask by GET');
select matches(refusal('select api.cache_figures()'), '^42501 : permission denied', 'all figures are the operators''');
select sign_in('authenticated', '{"role": "authenticated"}');
select alike(refusal('select api.my_cache_figures()'), 'PT401 login_required: %', 'nobody has none');
select sign_in('service_role', '{"role": "service_role"}');
select results_eq(
    'select * from api.cache_figures()',
    $$ select count(*), count(*) filter (where j.match <> 'none'), count(*) filter (where j.match = 'exact'),
        count(*) filter (where j.match = 'semantic'),
           round(100.0 * count(*) filter (where j.match <> 'none') / count(*))::integer, sum(j.original_cost - j.cost_credits)::bigint,
               5::bigint,
           (count(*) filter (where j.match <> 'none' and j.request ->> 'prompt' <> 'no such')) * 5000
       from api.generation_jobs as j where j.state in ('pending', 'completed') $$,
    'all of it together; each hit saved the platform what generating cost');
select sign_out();

-- What was paid for stays ----------------------------------------------------------------------------------------------
select is(
    refusal(statement), 'PT403 append_only: Rows of app.' || what
        || ' are never changed or removed. Post a new row that corrects the old one.',
    format('%s is refused', statement))
from (values
    ('delete from app.generation_jobs', 'generation_jobs'), ('truncate app.generation_jobs cascade', 'generation_jobs'),
    ('delete from app.cache_rewards', 'cache_rewards'), ('update app.cache_rewards set credits_saved = 0', 'cache_rewards'),
    ('truncate app.cache_rewards', 'cache_rewards')) as v (statement, what);
select is(
    (select functions @> '{request_generation,cancel_generation}' from app.rate_limits where class = 'money'), true,
    'both are counted with the other calls that move money');
select ok(cardinality(seen_after(statement)) > 0, format('verify sees: %s', statement))
from unnest(array[
    format('update app.generation_jobs set cost_credits = 9, match = ''exact'' where id = %L', generation('kept')),
    format('update app.generation_jobs set state = ''pending'', content = null, finished_at = null where id = %L', generation('kept')),
    format('update app.generation_jobs set transaction_id = app.new_id() where id = %L', generation('kept')),
    format('delete from app.cache_rewards where job_id = %L', generation('near')),
    format('update app.generation_jobs set match = ''none'', cost_credits = 10 where id = %L', generation('near'))]) as statement;
select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
