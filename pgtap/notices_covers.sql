-- notices: what authors are told of their covers.
begin;
\ir helpers.psql
\ir covers.psql
select plan(30);

select count(create_person(p)) from unnest(array['author', 'cowriter', 'neighbour']) as p;
select give('author', 1000);
select publish_story('author', 1, E'The "Great"\n{style} <Lora>');
select note('title', s.title) from app.stories as s;
select claim('author');
select app.set_story_authors(story_id(noted('title')), array[user_id('author'), user_id('cowriter')], '{5000,5000}'), sign_out();
update app.economy set cover_jobs_per_user = 100;

create function tests.heard(handle text)
returns text[]
language sql volatile
as $$
    with heard as (
        update app.notices as n set read_at = now()
        where n.user_id = tests.user_id(handle) and n.read_at is null
        returning n.id, n.kind || ': ' || n.subject || case when n.needs_action then ' (act)' else '' end as line)
    select coalesce(array_agg(h.line order by h.id), '{}') from heard as h;
$$;
comment on function tests.heard(text) is 'What somebody was told since they were last asked.';

create function tests.last_body()
returns text
language sql volatile
return (select n.body from app.notices as n where n.user_id = tests.user_id('author') order by n.id desc limit 1);

create function tests.ask(name text, style text default 'fantasy')
returns text
language sql volatile
return tests.ask_cover(name, 'author', tests.noted('title'), style, name);

-- It is ready -----------------------------------------------------------------------------------------
select is(tests.ask('ready'), 'pending 5', 'an author asks for a cover');
select is(heard('author'), '{}', 'and knows that they did');
select take('ready'), app.beat_cover(job('ready'), lease('ready'), 50);
select is(heard('author'), '{}', 'how far it is can be looked up');
select finish('ready');
select is(heard('author'), array['cover_ready: A new cover for "The "Great" {style} <Lora>"'], 'that it is ready is told');
select is(last_body(), 'The fantasy cover that you asked for is ready.', 'in words');
select is(heard('cowriter'), '{}', 'to who asked for it');
select is((select n.email_state from app.notices as n), 'none', 'it is not mailed');
select results_eq(
    $$ select n.data ->> 'job_id', n.data ->> 'story_id', n.data ->> 'style', n.data ->> 'title', n.data ->> 'credits'
       from app.notices as n $$,
    $$ values (tests.noted('ready'), tests.story_id(tests.noted('title'))::text, 'fantasy', tests.noted('title'), '0') $$,
    'with what a client needs');
select matches(refusal($$ select tests.finish('ready') $$), '^PT409 lease_lost', 'a late worker is refused');
select is(heard('author'), '{}', 'and nothing is told twice');

-- It cannot be made -------------------------------------------------------------------------------------
select tests.ask('passing', 'vintage'), take('passing'), fail_job('passing');
select is(heard('author'), '{}', 'what is tried again is nothing to tell');
select take('passing'), fail_job('passing', 'server_error'), take('passing');
select is(fail_job('passing', 'server_error'), 'failed', 'until it is not');
select is(heard('author'), array['cover_failed: A cover for "The "Great" {style} <Lora>" could not be made'], 'then that is told');
select is(
    last_body(),
    E'The vintage cover that you asked for could not be made. You can ask for it again, with other words or another style.\n\n'
    'Your 5 credits are back in your wallet.', 'with what to do, and where the credits are');
select tests.ask('bad'), take('bad'), fail_job('bad', 'bad_request', true);
select is(heard('author'), array['cover_failed: A cover for "The "Great" {style} <Lora>" could not be made'], 'also what fails at once');
select tests.ask('killer'), take('killer');
update app.cover_jobs set attempts = 3, leased_until = now() - interval '1 hour' where id = job('killer');
select is(app.recover_cover(), true, 'what killed whoever drew it');
select is(cardinality(heard('author')), 1, 'is told');
select tests.ask('waits');
update app.cover_jobs set created_at = now() - interval '2 days' where id = job('waits');
select is(app.recover_cover(), true, 'what nobody could make');
select is(cardinality(heard('author')), 1, 'is told');
select is((select count(*) from app.notices as n where n.body like '%own words%' or n.data::text like '%own words%'), 0::bigint,
    'the server''s words are not');
update app.economy set cover_price_credits = 1;
select tests.ask('cheap'), take('cheap'), fail_job('cheap', is_permanent => true);
select alike(last_body(), E'%style.\n\nYour credit is back in your wallet.', 'one credit is one');
update app.economy set cover_price_credits = 0;
select tests.ask('free'), take('free'), fail_job('free', is_permanent => true);
select alike(last_body(), '%with other words or another style.', 'of what was free nothing is said about credits');
update app.economy set cover_price_credits = 5;
select heard('author');
select is((select count(*) from app.notices as n where n.subject ~ E'[\n\r]'), 0::bigint,
    'a subject is one line, whatever the story is called');

-- It is not wanted ------------------------------------------------------------------------------------------
select tests.ask('canceled'), take('canceled'), cancel_cover('canceled', 'author');
select is(heard('author'), '{}', 'who cancels knows that they did');
select tests.ask('back'), take('back'), app.release_cover(job('back'), lease('back'));
select is(heard('author'), '{}', 'who draws it is nothing to tell');
select cancel_cover('back', 'author');
select upload('own', 'author', noted('title'));
select is(heard('author'), '{}', 'nor is what they uploaded');

-- By mail ------------------------------------------------------------------------------------------------------
select set_config('request.jwt.claims', jsonb_build_object(
    'sub', user_id('author'), 'role', 'authenticated', 'email', 'author@example.com', 'email_verified', true)::text, true), app.me(),
    sign_out();
select make_cover('mailed', 'author', noted('title'), prompt => 'mailed'), tests.ask('failed'), take('failed'),
    fail_job('failed', is_permanent => true);
select is(
    array(select n.kind || ' ' || n.email_state from app.notices as n where n.read_at is null order by n.id),
    '{cover_ready none,cover_failed pending}',
    'only what went wrong is mailed');
select is_empty($$ select from app.notices as n where n.subject || n.body ~ '\{(title|reason|money)\}' $$, 'no placeholder is left over');
select is_empty($$ select from app.notices as n where n.body ~ '  | [.,]|^[ \n]|[ \n]$' $$, 'and no gap');
select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
