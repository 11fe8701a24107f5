-- covers: whose turn it is, how long it will take, and what authors and operators see of the queue (IP12).
begin;
\ir helpers.psql
\ir covers.psql
select plan(92);

select count(create_person(p)) from unnest(array['author', 'neighbour', 'operator']) as p;
select give('author', 1000), give('neighbour', 1000), give('operator', 1000);
select publish_story(p, 1, 'By ' || p) from unnest(array['author', 'neighbour', 'operator']) as p;
insert into app.operators (user_id) values (user_id('operator'));
update app.economy set cover_jobs_per_user = 100;

-- In this file a job is called as its prompt says.
create function tests.wait(name text, handle text, style text default 'fantasy', priority integer default 3, minutes integer default 0)
returns text
language plpgsql volatile
as $$
declare
    v_answer constant text := tests.ask_cover(wait.name, wait.handle, 'By ' || wait.handle, wait.style, wait.name, wait.priority);
    v_age constant interval := make_interval(mins => wait.minutes);
begin
    update app.cover_jobs as j
    set created_at = j.created_at - v_age, turn_at = j.turn_at - v_age, run_at = j.run_at - v_age
    where j.id = tests.job(wait.name);
    return v_answer;
end;
$$;
comment on function tests.wait(text, text, text, integer, integer) is 'Somebody asked for a cover so many minutes ago.';

create function tests.next(models text[] default '{dreamshaper_7,deliberate_v2,realisticVision_v40}')
returns text
language plpgsql volatile
as $$
declare
    v_claim record;
    v_name text;
begin
    select c.* into v_claim from app.claim_cover('gpu1:7860', next.models) as c;
    select j.wish into v_name from app.cover_jobs as j where j.id = v_claim.job_id;
    if found then
        perform tests.note(v_name || '_lease', v_claim.lease_token::text);
        update app.cover_jobs as j set started_at = now() where j.id = v_claim.job_id;
    end if;
    return v_name;
end;
$$;
comment on function tests.next(text[]) is 'A worker with these models takes a job: its name.';

create function tests.place(name text)
returns text
language sql volatile
as $$
    select concat_ws(' ', 'number ' || p."position", 'in ' || extract(epoch from p.estimated_completion - now())::integer)
    from app.cover_place(tests.job(name)) as p;
$$;
comment on function tests.place(text) is 'Where a noted job stands, and in how many seconds it will be done.';

create function tests.queue_of(handle text)
returns text[]
language plpgsql volatile
as $$
declare
    v_lines text[];
begin
    perform tests.authenticate_as(queue_of.handle);
    v_lines := array(
        select concat_ws(
            ' ', q.prompt, q.state, nullif(q.progress, 0) || '%', 'number ' || q."position", 'tried ' || nullif(q.attempts, 0),
            'in ' || extract(epoch from q.estimated_completion - now())::integer, 'because: ' || q.error_message,
            case when q.cover_id is not null then 'there' end)
        from api.cover_queue() as q);
    perform tests.sign_out();
    return v_lines;
end;
$$;
comment on function tests.queue_of(text) is 'What somebody sees of the queue, newest first.';

-- An empty queue ------------------------------------------------------------------------------------
select is(next(), null, 'nothing is to be done');
select is(queue_of('author'), '{}', 'nobody waits');
select authenticate_as_service('operator');
select results_eq(
    'select * from api.cover_figures()', $$ values (0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, null::integer) $$,
    'the figures of an empty queue');
select sign_out();

-- Whose turn it is ----------------------------------------------------------------------------------
select wait('first', 'author'), wait('second', 'neighbour', 'vintage'), wait('third', 'author', 'minimalist');
select is(array[place('first'), place('second'), place('third')], '{number 1 in 60,number 2 in 120,number 3 in 180}',
    'in the order in which they came');
select wait('late', 'neighbour', priority => 4), wait('last', 'author', priority => 5), wait('urgent', 'operator', priority => 1),
    wait('soon', 'operator', priority => 2);
select is(
    array[place('urgent'), place('soon'), place('first'), place('third'), place('late'), place('last')],
    '{number 1 in 60,number 2 in 120,number 3 in 180,number 5 in 300,number 6 in 360,number 7 in 420}', 'IP12: by their priority');
select wait('old', 'author', priority => 5, minutes => 39), wait('older', 'author', priority => 5, minutes => 41),
    wait('aged', 'neighbour', priority => 4, minutes => 32), wait('young', 'neighbour', priority => 4, minutes => 9);
select is(
    array[next(), next(), next(), next(), next(), next()], '{aged,older,urgent,old,soon,first}',
    'but who waited long enough goes before: a step is ten minutes');
select is(array[next(), next(), next(), next(), next(), next()], '{second,third,young,late,last,NULL}', 'nobody waits for ever');
select is_empty($$ select * from app.cover_jobs where state = 'pending' $$, 'each was taken once');
select is((select count(distinct j.lease_token) from app.cover_jobs as j), 11::bigint, 'under a token of its own');
select is(finish(name), 'completed 100% after 1', 'which finishes it')
from unnest(array['aged', 'older', 'urgent', 'old', 'soon', 'first', 'second', 'third', 'young', 'late', 'last']) as name;

-- Who can draw it -------------------------------------------------------------------------------------
update app.cover_jobs set started_at = null, finished_at = finished_at - interval '2 days';
select wait('dream', 'author', 'fantasy'), wait('photo', 'author', 'realistic'), wait('paint', 'author', 'artistic'),
    wait('dream2', 'neighbour', 'fantasy');
select is(next(models), null, format('a server with %s has nothing to do', coalesce(models::text, 'no list of models')))
from (values ('{}'::text[]), (null), ('{dreamshaper_8}'), ('{DREAMSHAPER_7}'), ('{dreamshaper_7.safetensors}'), ('{NULL}'), ('{""}'),
    (array['dreamshaper_7''; --'])) as v (models);
select is(next('{realisticVision_v40}'), 'photo', 'a server gets what it can draw');
select is(next('{realisticVision_v40}'), null, 'and nothing else');
select is(next('{dreamshaper_7,dreamshaper_7,unknown,dreamshaper_7}'), 'dream', 'however its list is written');
select is(next('{deliberate_v2,dreamshaper_7}'), 'paint', 'a server with two models takes the earliest of both');
update app.cover_jobs set run_at = now() + interval '1 second' where id = job('dream2');
select is(next(), null, 'what waits after a failure is not due');
select is(place('dream2'), 'number 1 in 61', 'but has its place');
update app.cover_jobs set run_at = now() where id = job('dream2');
select is(next(), 'dream2', 'when it is due it is taken');
select set_eq(
    'select * from app.wanted_cover_models()', array['dreamshaper_7', 'deliberate_v2', 'realisticVision_v40'], 'these models are wanted');
update app.cover_styles set model = 'newer_1' where style = 'fantasy';
select set_eq('select * from app.wanted_cover_models()', array['newer_1', 'deliberate_v2', 'realisticVision_v40'], 'those of the styles');
update app.cover_styles set is_active = false where style = 'fantasy';
select set_eq('select * from app.wanted_cover_models()', array['deliberate_v2', 'realisticVision_v40'], 'that can be had');
select app.release_cover(job('dream'), lease('dream'));
select set_eq('select * from app.wanted_cover_models()', array['dreamshaper_7', 'deliberate_v2', 'realisticVision_v40'],
    'and what somebody waits for');
update app.cover_styles set is_active = true, model = 'dreamshaper_7' where style = 'fantasy';
select finish('photo'), finish('paint'), finish('dream2'), cancel_cover('dream', 'author');

-- How long it takes ---------------------------------------------------------------------------------------
update app.cover_jobs set started_at = now() - interval '10 seconds', finished_at = now() where state = 'completed';
create function tests.took(style text, seconds integer[])
returns void
language plpgsql volatile
as $$
begin
    for i in 1 .. cardinality(took.seconds) loop
        perform tests.make_cover('made' || i, 'author', 'By author', took.style, 'made ' || i);
        update app.cover_jobs as j
        set started_at = now() - interval '1 day' + make_interval(secs => i),
            finished_at = now() - interval '1 day' + make_interval(secs => i + took.seconds[i])
        where j.id = tests.job('made' || i);
    end loop;
end;
$$;
comment on function tests.took(text, integer[]) is 'Covers that took so many seconds each, a day ago.';
select is(app.cover_seconds('unknown'), 60, 'a minute, before anything was measured');
select is(app.cover_seconds(null), 60, 'for no model neither');
update app.cover_jobs set model = 'other';
select took('fantasy', '{30}');
select is(app.cover_seconds('dreamshaper_7'), 30, 'as long as the last one');
select took('fantasy', '{30,10,600,20}');
select is(app.cover_seconds('dreamshaper_7'), 30, 'or as the middle one of them');
select took('fantasy', '{11}');
select is(app.cover_seconds('dreamshaper_7'), 25, 'between the two in the middle');
update app.cover_jobs set finished_at = started_at + interval '1 second' - interval '30 days', started_at = started_at - interval '30 days'
where model = 'other';
update app.cover_jobs set model = 'dreamshaper_7' where model = 'other';
select is(app.cover_seconds('dreamshaper_7') < 20, true, 'those before count');
update app.cover_jobs
set started_at = now() - interval '30 days 1 second', finished_at = now() - interval '30 days'
where state = 'completed';
select took('fantasy', array_fill(40, array[10]) || array_fill(10, array[10]));
select is(app.cover_seconds('dreamshaper_7'), 25, 'until there are twenty newer ones');
select took('fantasy', array_fill(40, array[20]));
select wait('a', 'neighbour'), wait('b', 'neighbour', 'vintage'), wait('c', 'neighbour');
select is(array[place('a'), place('b'), place('c')], '{number 1 in 40,number 2 in 120,number 3 in 120}',
    'IP12: an estimate by what was measured of the model');
select is((select j.estimated_completion - now() from app.cover_jobs as j where j.id = job('c')), interval '2 minutes',
    'which is told when it is asked for');
select is(next('{dreamshaper_7}'), 'a', 'one is drawn');
select is(place('a'), 'in 40', 'it has no place any more, and its time');
select is((select j.estimated_completion - now() from app.cover_jobs as j where j.id = job('a')), interval '40 seconds',
    'which is kept with it');
update app.cover_jobs set started_at = now() - interval '30 seconds' where id = job('a');
select is(place('a'), 'in 10', 'that runs');
update app.cover_jobs set started_at = now() - interval '30 minutes' where id = job('a');
select is(place('a'), 'in 1', 'and is never over before it is');
select is(array[place('b'), place('c')], '{number 1 in 60,number 2 in 80}', 'the others move up');
select is(next('{dreamshaper_7}'), 'c', 'two are drawn at once');
select wait('d', 'neighbour'), wait('e', 'neighbour', 'realistic'), wait('f', 'neighbour');
select is(array[place('b'), place('d'), place('f')], '{number 1 in 60,number 2 in 40,number 4 in 80}', 'IP12: so it goes twice as fast');
select finish('a'), finish('c');
select is((select (p."position", p.estimated_completion)::text from app.cover_place(job('a')) as p), '(,)', 'what is over has no place');
select is((select (p."position", p.estimated_completion)::text from app.cover_place(user_id('author')) as p), '(,)',
    'nor has what never was');
update app.economy set cover_price_credits = 0;
insert into app.cover_jobs (user_id, story_id, style, wish, priority, cost_credits, model, prompt, negative_prompt, options, turn_at)
select j.user_id, j.story_id, j.style, 'n' || n, 3, 0, 'nobody_has_it', '', '', '{}', now() - interval '1 hour'
from app.cover_jobs as j
cross join generate_series(1, 10001) as n
where j.id = job('d');
select is((select p."position" from app.cover_place(job('d')) as p), 10001::bigint,
    'whoever stands behind ten thousand is not counted further');
select is(next(), 'b', 'a model that nobody has holds up nobody');
update app.cover_jobs set run_at = now() + interval '1 second' where model = 'nobody_has_it' and wish <> 'n10001';
select is(next('{nobody_has_it}'), 'n10001', 'nor do ten thousand that wait after a failure');
select tamper('delete from app.cover_jobs where model = ''nobody_has_it''');
select finish('b'), cancel_cover('d', 'neighbour'), cancel_cover('e', 'neighbour'), cancel_cover('f', 'neighbour');
update app.economy set cover_price_credits = 5;

-- What authors see -----------------------------------------------------------------------------------------
update app.cover_jobs as j
set finished_at = now() - interval '25 hours', started_at = now() - interval '25 hours 20 seconds', model = s.model
from app.cover_styles as s
where s.style = j.style;
select is(queue_of('author'), '{}', 'what is long over is not shown');
select wait('one', 'author'), wait('two', 'neighbour'), wait('three', 'author', 'vintage', 5), wait('four', 'author', 'artistic');
select is(
    queue_of('author'), '{four pending number 3 in 60,three pending number 4 in 80,one pending number 1 in 20}',
    'IP12: authors see their own, and the place among all');
select is(queue_of('neighbour'), '{two pending number 2 in 40}', 'isolation: and not those of others');
select is(queue_of('stranger'), '{}', 'a stranger has none');
select sign_in('authenticated', '{"role": "authenticated"}');
select is(
    refusal('select * from api.cover_queue()'), 'PT401 login_required: Please sign in first. The call carries no token with a subject.',
    'nobody is nobody');
select sign_out();
select take('one'), app.beat_cover(job('one'), lease('one'), 40);
select take('four'), fail_job('four');
select alike(
    array_to_string(queue_of('author'), '; '),
    'four pending number 2 tried 1 in % because: It did not work this time.; three pending number 3 in 60; '
    'one generating 40\% tried 1 in %',
    'IP12: how far it is, and that it is tried again');
select finish('one'), cancel_cover('three', 'author'), take('four'), fail_job('four', 'bad_request', true);
select is(
    queue_of('author'),
    array['four failed tried 2 because: These words could not be drawn. Please try others.', 'three canceled because: You canceled it.',
        'one completed 100% tried 1 there'], 'IP12: and how it ended');
select is(place('two'), 'number 1 in 20', 'the others move up');
select authenticate_as('author');
select set_eq(
    $$ select r.prompt, r.story_id, r.style, r.cost_credits, r.job_id, r.cover_id
       from jsonb_to_recordset(tests.by_get('select * from api.cover_queue() where state = ''completed''')) as r (
           prompt text, story_id uuid, style text, cost_credits bigint, job_id uuid, cover_id uuid) $$,
    $$ values ('one', tests.story_id('By author'), 'fantasy', 5::bigint, tests.job('one'), tests.cover('one')) $$,
    'by GET, filtered as a table');
select is(api.remove_cover(cover('one')), cover('one'), 'a cover is removed');
select sign_out();
update app.cover_jobs set finished_at = now() - interval '23 hours 59 minutes' where id = job('one');
update app.cover_jobs set finished_at = now() - interval '24 hours' where id = job('three');
select is(cardinality(queue_of('author')), 2, 'what ended within a day is shown');

-- The record ---------------------------------------------------------------------------------------------------
select authenticate_as('author');
select results_eq(
    $$ select q.story_id, q.user_id, q.generation_prompt, q.cover_style, q.status, q.priority, q.retry_count, q.error_message,
           q.webui_task_id, q.estimated_completion, q.created_at, q.updated_at, q.progress::integer, q.cost_credits, q.finished_at is null
       from api.cover_generation_queue as q where q.id = tests.job('four') $$,
    $$ values (tests.story_id('By author'), tests.user_id('author'),
        'book cover for "By author", fiction novel, four, expressive oil painting, visible brush strokes, bold colors', 'artistic',
        'failed', 3, 1,
        'These words could not be drawn. Please try others.', format('task(%s-2)', tests.job('four')), null::timestamptz, now(), now(), 0,
        5::bigint, false) $$, 'seed 000: the columns of the queue');
select is((select count(*) from api.cover_generation_queue),
    (select count(*) from api.cover_generation_queue as q where q.user_id = user_id('author')),
    'isolation: authors see their own');
select is_empty(format('select from api.cover_generation_queue as q where q.id = %L', job('two')), 'isolation: whatever they ask for');
select is((select count(*) > 5 from api.cover_generation_queue), true, 'all that they ever asked for');
select is(
    refusal(statement), '42501 : permission denied for view ' || what, format('attack: %s', statement))
from (values ('update api.cover_generation_queue set status = ''completed''', 'cover_generation_queue'),
    ('delete from api.cover_generation_queue', 'cover_generation_queue'),
    ('update api.cover_styles set price_credits = 0', 'cover_styles')) as v (statement, what);
select authenticate_as_service('operator');
select set_eq(
    'select distinct q.user_id from api.cover_generation_queue as q', array[user_id('author'), user_id('neighbour'), user_id('operator')],
    'the service role sees all');
select is((select q.retry_count from api.cover_generation_queue as q where q.id = job('two')), 0,
    'what was never tried was not tried again');
select sign_out();
select is(app.cover_trouble(code), words, format('in words: %s', coalesce(code, 'nothing')))
from (values
    (null, null), ('canceled', 'You canceled it.'), ('payment_taken_back', 'The payment for its credits was taken back.'),
    ('waited_too_long', 'It waited too long: nobody draws in this style at present.'),
    ('bad_request', 'These words could not be drawn. Please try others.'), ('out_of_memory', 'It did not work this time.'),
    ('lease_expired', 'It did not work this time.'), ('<script>', 'It did not work this time.'), ('', 'It did not work this time.')
) as v (code, words);

-- Figures -----------------------------------------------------------------------------------------------------------
update app.cover_jobs set finished_at = now() - interval '2 days', started_at = now() - interval '2 days 1 hour'
where finished_at is not null;
update app.cover_jobs set created_at = now() - interval '90 seconds' where id = job('two');
select wait('x', 'author'), wait('y', 'author', minutes => 1), wait('z', 'author'), make_cover('done', 'author', 'By author'),
    make_cover('quick', 'author', 'By author'), make_cover('slow', 'author', 'By author');
select take('x'), take('y'), fail_job('y', is_permanent => true), cancel_cover('z', 'author');
update app.cover_jobs as j set started_at = now() - make_interval(secs => s), finished_at = now()
from (values ('done', 12), ('quick', 3), ('slow', 100)) as v (name, s) where j.id = job(v.name);
select authenticate_as_service('operator');
select results_eq(
    'select * from api.cover_figures()', $$ values (1::bigint, 1::bigint, 90::bigint, 3::bigint, 1::bigint, 12) $$,
    'what waits, what is drawn, since when, what became of a day''s jobs and how long they took');
select sign_out();

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
