-- covers: from the claim to the end, once, whoever dies, comes late or cancels meanwhile (IP12).
begin;
\ir helpers.psql
\ir alone.psql
\ir covers.psql
select plan(159);

select count(create_person(p)) from unnest(array['author', 'neighbour', 'operator']) as p;
select give('author', 1000), give('neighbour', 1000);
select publish_story('author', 1), publish_story('neighbour', 1, 'Theirs');
update app.economy set cover_jobs_per_user = 100;

create function tests.moved(name text)
returns text[]
language sql volatile
return array(
    select format('%s %s %s>%s', t.kind, t.amount, t.debit_kind, t.credit_kind)
    from ledger.transfers as t
    where t.reference_type = 'cover' and t.reference_id = tests.job(moved.name)
    order by t.id);
comment on function tests.moved(text) is 'What a noted job moved: kind, credits, from, to.';

create function tests.waits(name text)
returns numeric
language sql volatile
return (select extract(epoch from j.run_at - now()) from app.cover_jobs as j where j.id = tests.job(waits.name));
comment on function tests.waits(text) is 'For how many seconds nobody may take a noted job.';

create function tests.lapse(name text)
returns void
language sql volatile
as $$
    update app.cover_jobs as j set leased_until = clock_timestamp() - interval '1 millisecond' where j.id = tests.job(name);
$$;
comment on function tests.lapse(text) is 'A minute goes by in which nothing is heard of whoever has a noted job.';

-- What a worker who has the token can say.
create temp table sayings (what text, statement text);
insert into sayings values
('finish', $$ select app.finish_cover(tests.job('%s'), %s, tests.image('%1$s')) $$),
('fail', $$ select app.fail_cover(tests.job('%s'), %s, 'out_of_memory', 'x', false) $$),
('fail for good', $$ select app.fail_cover(tests.job('%s'), %s, 'bad_request', 'x', true) $$);

create function tests.lost(name text, token text)
returns text[]
language sql volatile
return array(
    select distinct tests.refusal(format(s.statement, lost.name, lost.token)) from sayings as s)
|| array[
    tests.refusal(format($$ select 1 / app.beat_cover(tests.job('%s'), %s, 99)::integer $$, lost.name, lost.token)),
    tests.refusal(format($$ select 1 / app.release_cover(tests.job('%s'), %s)::integer $$, lost.name, lost.token))];
comment on function tests.lost(text, text) is 'What somebody with this token is told whatever they say of a noted job.';

create function tests.all_lost()
returns text[]
language sql stable
return array[
    'PT409 lease_lost: This job is not yours any more. '
    'It was canceled, or its lease ran out and it was given to somebody else. Throw your result away.',
    '22012 : division by zero', '22012 : division by zero'];
comment on function tests.all_lost() is 'They are refused, and hear false from what only asks.';

-- A claim ----------------------------------------------------------------------------------------------
select is(ask_cover('first', 'author', prompt => 'a cat'), 'pending 5', 'a cover is asked for');
create temp table claim as
select c.* from app.claim_cover('gpu1:7860', array['dreamshaper_7']) as c;
select results_eq(
    'select c.job_id, c.attempt, c.task_id, c.model, c.style, c.lease_token is not null, c.seed between 0 and 4294967295 from claim as c',
    $$ values (tests.job('first'), 1, format('task(%s-1)', tests.job('first')), 'dreamshaper_7', 'fantasy', true, true) $$,
    'IP12: a worker takes it');
select results_eq(
    'select c.prompt, c.negative_prompt, c.options from claim as c',
    $$ select j.prompt, j.negative_prompt, j.options from app.cover_jobs as j where j.id = tests.job('first') $$,
    'with all that it has to draw');
select note('first_lease', c.lease_token::text) from claim as c;
select results_eq(
    $$ select j.state, j.lease_token, j.leased_until > clock_timestamp() + interval '30 seconds',
           j.leased_until <= clock_timestamp() + interval '60 seconds',
           j.started_at >= now(), j.webui_task_id
       from app.cover_jobs as j where j.id = tests.job('first') $$,
    $$ select 'generating', c.lease_token, true, true, true, c.task_id from claim as c $$, 'IP12: it has it for a minute');
select is(attempts_of('first'), '{1 at gpu1:7860 runs}', 'that it tries is on record');
select results_eq(
    $$ select a.seed, a.task_id, a.started_at from app.cover_attempts as a where a.job_id = tests.job('first') $$,
    'select c.seed, c.task_id, now() from claim as c', 'with its seed');
select is_empty($$ select from app.claim_cover('gpu2:7860', array['dreamshaper_7']) $$, 'nobody else gets it');
select is(credits('author'), '995 + 5', 'its credits stay set aside');
select is_empty('select * from ledger.verify()', 'and all is balanced');

-- Still at it --------------------------------------------------------------------------------------------
update app.cover_jobs set leased_until = clock_timestamp() + interval '1 second' where id = job('first');
select is(app.beat_cover(job('first'), lease('first')), true, 'a beat keeps it');
select is((select j.leased_until > clock_timestamp() + interval '30 seconds' from app.cover_jobs as j where j.id = job('first')), true,
    'for another minute');
create function tests.told(percent integer)
returns text
language plpgsql volatile
as $$
begin
    perform app.beat_cover(tests.job('first'), tests.lease('first'), told.percent);
    return tests.job_of('first');
end;
$$;
select is(tests.told(percent), expected, format('progress of %s', coalesce(percent::text, 'nobody knows what')))
from (values
    (null, 'generating after 1'), (-5, 'generating after 1'), (0, 'generating after 1'), (40, 'generating 40% after 1'),
    (30, 'generating 40% after 1'), (null, 'generating 40% after 1'), (99, 'generating 99% after 1'), (100, 'generating 100% after 1'),
    (2147483647, 'generating 100% after 1'), (-2147483648, 'generating 100% after 1')
) as v (percent, expected);
select ask_cover('theirs', 'neighbour', 'Theirs'), take('theirs');
select is(lost('first', token), all_lost(), format('attack: with the token %s', token))
from unnest(array['null', 'gen_random_uuid()', 'tests.lease(''theirs'')', 'tests.job(''first'')',
    '''00000000-0000-0000-0000-000000000000''']) as token;
select note('nothing', md5('nothing')::uuid::text);
select is(lost('nothing', token), all_lost(), format('attack: of a job that is not there, with %s', token))
from unnest(array['null', 'gen_random_uuid()', 'tests.lease(''first'')']) as token;
select is(
    refusal('select app.finish_cover(null, null, null)'), (all_lost())[1], 'attack: nothing but nulls');
select is(job_of('first') || ', ' || job_of('theirs'), 'generating 100% after 1, generating after 1', 'nothing of this did anything');

-- A picture that is none ------------------------------------------------------------------------------------
select matches(refusal(format('select tests.finish(''first'', changes => %L)', changes)), '^(23502|23514|22P02|22003) ',
    format('attack: an image with %s', changes))
from unnest(array[
    '{"file": null}', '{"file": ""}', '{"file": "../../etc/passwd"}', '{"file": "a.webp"}', '{"thumbnail_file": null}',
    '{"thumbnail_file": "https://evil.example/a.webp"}', '{"media_type": "text/html"}', '{"media_type": null}', '{"width": 0}',
    '{"width": "wide"}',
    '{"height": null}', '{"height": 1e9}', '{"bytes": 0}', '{"bytes": null}', '{"bytes": "NaN"}', '{"seed": "x"}',
    '{"seed": 1e30}']) as changes;
select matches(refusal($$ select app.finish_cover(tests.job('first'), tests.lease('first'), null) $$), '^23502 ',
    'attack: no image at all');
select is(job_of('first') || ' ' || credits('author'), 'generating 100% after 1 995 + 5', 'nothing of this did anything');
select is_empty('select * from app.story_covers', 'there is no cover');

-- The picture ------------------------------------------------------------------------------------------------
select is(finish('first'), 'completed 100% after 1', 'IP12: the worker is done');
select is(credits('author'), '995 + 0', 'IP12: the credits are spent');
select is(moved('first'), '{spend 5 wallet>reserved,capture 5 reserved>redeemed}', 'in two movements, to the platform');
select is_empty($$ select from ledger.transfers as t where t.kind = 'earning' $$, 'nobody earns by a cover');
select is(attempts_of('first'), '{1 at gpu1:7860 finished}', 'the attempt is over');
select results_eq(
    $$ select c.story_id, c.user_id, c.job_id, c.style, c.wish, c.model, c.prompt, c.negative_prompt, c.options, c.seed, c.width, c.height,
           c.bytes, c.file, c.thumbnail_file, c.media_type, c.cost_credits, c.is_primary
       from app.story_covers as c where c.id = tests.cover('first') $$,
    $$ select j.story_id, j.user_id, j.id, j.style, j.wish, j.model, j.prompt, j.negative_prompt, j.options, 1234567890::bigint, 512, 768,
           40000::bigint, i ->> 'file', i ->> 'thumbnail_file', 'image/webp', 5::bigint, true
       from app.cover_jobs as j cross join tests.image('first') as i where j.id = tests.job('first') $$,
    'IP12: the story has a cover, with all that is needed to make it again');
select results_eq(
    $$ select j.lease_token, j.leased_until, j.estimated_completion, j.finished_at >= j.started_at from app.cover_jobs as j
       where j.id = tests.job('first') $$,
    $$ values (null::uuid, null::timestamptz, null::timestamptz, true) $$, 'nobody has it any more');
select is(lost('first', 'tests.lease(''first'')'), all_lost(), 'case: the answer was lost and the worker says it again');
select is(credits('author'), '995 + 0', 'it was paid for once');
select is((select count(*) from app.story_covers), 1::bigint, 'and is there once');
select is(finish('theirs', changes => '{"model": "dreamshaper_7 [abc]"}'), 'completed 100% after 1',
    'the server may say the model''s name in full');
select is((select c.model from app.story_covers as c where c.id = cover('theirs')), 'dreamshaper_7 [abc]', 'which is kept');

-- Passing failures -----------------------------------------------------------------------------------------------
select ask_cover('fails', 'author', prompt => 'fails'), take('fails'), app.beat_cover(job('fails'), lease('fails'), 50);
select is(fail_job('fails'), 'pending', 'IP12: what went wrong is tried again');
select is(job_of('fails'), 'pending after 1 because out_of_memory: In the server''s own words.', 'from the beginning');
select is(waits('fails') between 5 and 10, true, 'IP12: after some seconds');
select is(credits('author'), '990 + 5', 'the credits wait with it');
select is(lost('fails', 'tests.lease(''fails'')'), all_lost(), 'who gave up has given it up');
select is_empty($$ select from app.claim_cover('gpu1:7860', array['dreamshaper_7']) $$, 'nobody takes it before');
select is(take('fails', 'gpu2:7860'), 'attempt 2', 'another one tries');
select is(job_of('fails'), 'generating after 2 because out_of_memory: In the server''s own words.', 'what went wrong last is still known');
select is(fail_job('fails', 'timeout'), 'pending', 'without luck');
select is(waits('fails') between 10 and 20, true, 'IP12: then it waits longer');
select take('fails');
select is(fail_job('fails', 'server_error'), 'failed', 'IP12: the third time was the last');
select is(job_of('fails'), 'failed after 3 because server_error: In the server''s own words.', 'it is dead');
select is(credits('author'), '995 + 0', 'IP12: the credits are back');
select is(moved('fails'), '{spend 5 wallet>reserved,refund 5 reserved>wallet}', 'once');
select is(
    attempts_of('fails'),
    array['1 at gpu1:7860 failed because out_of_memory: In the server''s own words.',
        '2 at gpu2:7860 failed because timeout: In the server''s own words.',
        '3 at gpu1:7860 failed because server_error: In the server''s own words.'],
    'IP12: its history stays');
select is(lost('fails', 'tests.lease(''fails'')'), all_lost(), 'a dead job stays dead');
select is(credits('author'), '995 + 0', 'and nothing comes back twice');
update app.economy set cover_attempts = 20;
select ask_cover('often', 'author', prompt => 'often');
update app.cover_jobs set attempts = 18 where id = job('often');
select take('often'), fail_job('often');
select is(waits('often') between 300 and 600, true, 'IP12: never longer than ten minutes');
update app.economy set cover_attempts = 1;
select take('often');
select is(fail_job('often'), 'failed', 'as often as the policy says on the day');
select ask_cover('once', 'author', prompt => 'once'), take('once');
select is(fail_job('once'), 'failed', 'which may be once');
update app.economy set cover_attempts = 3;
select ask_cover('bad', 'author', prompt => 'bad'), take('bad');
select is(fail_job('bad', 'bad_request', true), 'failed', 'IP12: what will never work is not tried again');
select ask_cover('odd', 'author', prompt => 'odd'), take('odd');
select is(app.fail_cover(job('odd'), lease('odd'), null, null, null), 'pending', 'attack: nobody knows why, or whether for good');
select take('odd');
select is(app.fail_cover(job('odd'), lease('odd'), repeat('c', 100000), repeat('m', 100000), true), 'failed',
    'attack: a server that says too much');
select is((select length(j.error_code) || ' ' || length(j.error_message) from app.cover_jobs as j where j.id = job('odd')), '100 1000',
    'of which not all is kept');
select is(credits('author'), '995 + 0', 'all of it is back');
select is_empty('select * from ledger.verify()', 'and all is balanced');

-- Given back untried -------------------------------------------------------------------------------------------------
select ask_cover('back', 'author', prompt => 'back'), take('back'), app.beat_cover(job('back'), lease('back'), 10);
select is(app.release_cover(job('back'), lease('back')), true, 'IP12: a worker that stops gives it back');
select is(job_of('back'), 'pending after 0', 'as if nobody had tried');
select is(attempts_of('back'), '{1 at gpu1:7860 released}', 'which is on record');
select is(waits('back'), 0.0, 'the next may take it at once');
select is(lost('back', 'tests.lease(''back'')'), all_lost(), 'it cannot come back to it');
select is(take('back', 'gpu2:7860'), 'attempt 1', 'another one takes it');
select is((select j.webui_task_id from app.cover_jobs as j where j.id = job('back')), format('task(%s-2)', job('back')),
    'under another name');
select fail_job('back'), take('back'), app.release_cover(job('back'), lease('back')), take('back'), fail_job('back'), take('back');
select is(job_of('back'), 'generating after 3 because out_of_memory: In the server''s own words.', 'what was given back does not count');
select is(cardinality(attempts_of('back')), 5, 'and is known');
select is(finish('back'), 'completed 100% after 3', 'in the end it is made');

-- Whoever dies ------------------------------------------------------------------------------------------------------------
select is(app.recover_cover(), false, 'nothing is left alone');
select ask_cover('left', 'author', prompt => 'left'), take('left'), note('old', noted('left_lease'));
select is(app.recover_cover(), false, 'what somebody has is theirs');
select lapse('left');
select is(app.beat_cover(job('left'), lease('left')), true, 'who was late, but nobody missed them, goes on');
select is(app.recover_cover(), false, 'and has it again');
select lapse('left');
select is(array[app.recover_cover(), app.recover_cover()], '{t,f}', 'IP12: whoever is not heard of for a minute has lost it');
select is(job_of('left'), 'pending after 1 because lease_expired: Whoever worked on it was not heard of any more.',
    'it is to be done again');
select is(waits('left') <= 0, true, 'at once');
select is(attempts_of('left'), '{1 at gpu1:7860 expired because lease_expired: Whoever worked on it was not heard of any more.}',
    'the attempt is over');
select is(lost('left', 'tests.noted(''old'')::uuid'), all_lost(), 'IP12: the late worker is refused');
select is(take('left', 'gpu2:7860'), 'attempt 2', 'another one takes it');
select is(lost('left', 'tests.noted(''old'')::uuid'), all_lost(), 'IP12: the late worker is refused while another one draws');
select is(job_of('left'), 'generating after 2 because lease_expired: Whoever worked on it was not heard of any more.',
    'whom that does not disturb');
select is(finish('left'), 'completed 100% after 2', 'and who makes it');
select is(lost('left', 'tests.noted(''old'')::uuid'), all_lost(), 'IP12: the late worker is refused when all is done');
select is(moved('left'), '{spend 5 wallet>reserved,capture 5 reserved>redeemed}', 'IP12: one cover, one charge');
select ask_cover('slow', 'author', prompt => 'slow'), take('slow'), lapse('slow');
select is(finish('slow'), 'completed 100% after 1', 'who was late, but nobody missed them, is in time');
select ask_cover('killer', 'author', prompt => 'killer'), take('killer'), lapse('killer'),
    ask_cover('second', 'author', prompt => 'second'), take('second'), lapse('second');
select is(array[app.recover_cover(), app.recover_cover(), app.recover_cover()], '{t,t,f}', 'each is taken care of');
select cancel_cover('second', 'author'), take('killer'), lapse('killer'), app.recover_cover(), take('killer'), lapse('killer');
select note('before', credits('author'));
select is(app.recover_cover(), true, 'a job that kills whoever draws it');
select is(job_of('killer'), 'failed after 3 because lease_expired: Whoever worked on it was not heard of any more.',
    'is dead after three of them');
select is(moved('killer'), '{spend 5 wallet>reserved,refund 5 reserved>wallet}', 'and its credits are back');
select is(credits('author'), '980 + 0', 'what was made is paid for, and nothing else');

-- What nobody can make --------------------------------------------------------------------------------------------------------
select ask_cover('never', 'author', prompt => 'never'), ask_cover('tried', 'author', prompt => 'tried'),
    ask_cover('held', 'author', prompt => 'held'),
    ask_cover('young', 'author', prompt => 'young');
select take('tried'), fail_job('tried', 'model_missing'), take('held');
update app.cover_jobs set created_at = now() - interval '24 hours' where id in (job('never'), job('tried'), job('held'));
select is(app.recover_cover(), false, 'for a day it waits');
update app.cover_jobs set created_at = now() - interval '24 hours 1 millisecond' where id in (job('never'), job('tried'), job('held'));
select is(array[app.recover_cover(), app.recover_cover(), app.recover_cover()], '{t,t,f}', 'IP12: then it is given up');
select is(
    array[job_of('never'), job_of('tried'), job_of('held'), job_of('young')],
    array['failed after 0 because waited_too_long: Nobody could make it in time.',
        'failed after 1 because model_missing: In the server''s own words.',
        'generating after 1', 'pending after 0'],
    'but what is drawn goes on');
select is(credits('author'), '970 + 10', 'IP12: the credits are back');
select is(fail_job('held'), 'pending', 'what was not to be had in a day');
select is(app.recover_cover(), true, 'is given up when it fails');
select is(job_of('held'), 'failed after 1 because out_of_memory: In the server''s own words.', 'with what went wrong');
update app.economy set cover_patience_hours = 1;
update app.cover_jobs set created_at = now() - interval '61 minutes' where id = job('young');
select is(app.recover_cover(), true, 'patience is a policy');
select is(credits('author'), '980 + 0', 'nothing is set aside any more');

-- Canceled ----------------------------------------------------------------------------------------------------------------------
select ask_cover('gone', 'author', prompt => 'gone'), ask_cover('drawn', 'author', prompt => 'drawn'), take('drawn');
select is(
    refusal($$ select app.cancel_cover(tests.job('gone')) $$),
    'PT401 login_required: Please sign in first. The call carries no token with a subject.', 'nobody has nothing to cancel');
select is(
    refusal(format('select tests.cancel_cover(%L, %L)', name, handle)),
    'PT404 cover_job_not_found: There is no such cover of yours in the queue.', format('isolation: %s cannot cancel %s', handle, name))
from (values ('gone', 'neighbour'), ('drawn', 'neighbour'), ('gone', 'operator'), ('left', 'neighbour'), ('nothing', 'author'),
    ('gone', 'newcomer')) as v (name, handle);
select authenticate_as('author');
select is(refusal('select api.cancel_cover(null)'), 'PT404 cover_job_not_found: There is no such cover of yours in the queue.',
    'attack: no job');
select results_eq(
    $$ select state, credits_returned, balance from api.cancel_cover(tests.job('gone')) $$,
    $$ values ('canceled', 5::bigint, 975::bigint) $$,
    'IP12: an author cancels, and the credits are back');
select is((select credits_returned from api.cancel_cover(job('drawn'))), 5::bigint, 'IP12: also while it is drawn');
select sign_out();
select is(job_of('drawn'), 'canceled after 1 because canceled: You canceled it.', 'so it says');
select is(attempts_of('drawn'), '{1 at gpu1:7860 canceled because canceled: You canceled it.}', 'the attempt is over');
select is(lost('drawn', 'tests.lease(''drawn'')'), all_lost(), 'IP12: who draws it hears that nobody wants it');
select is(moved('drawn'), '{spend 5 wallet>reserved,refund 5 reserved>wallet}', 'once');
select is(
    refusal(format('select tests.cancel_cover(%L, %L)', name, 'author')),
    format('PT409 cover_job_over: It is too late to cancel this cover. It is %s.', state), format('too late to cancel what is %s', state))
from (values ('gone', 'canceled'), ('drawn', 'canceled'), ('left', 'completed'), ('fails', 'failed')) as v (name, state);
select is(credits('author'), '980 + 0', 'nothing comes back twice');
select ask_cover('again', 'author', prompt => 'gone'), take('again'), fail_job('again');
select is(cancel_cover('again', 'author'), 'canceled, 5 back, 980 in the wallet', 'what waits to be tried again can be canceled');
select ask_cover('service', 'author', prompt => 'gone'), authenticate_as_service('author');
select is((select state from api.cancel_cover(job('service'))), 'canceled', 'the service role cancels for whom it speaks');
select sign_out();

-- For nothing ----------------------------------------------------------------------------------------------------------------------
update app.economy set cover_price_credits = 0;
select ask_cover('free', 'author', prompt => 'free'), ask_cover('freed', 'author', prompt => 'freed'),
    ask_cover('worthless', 'author', prompt => 'worthless');
update app.economy set cover_price_credits = 5;
select is(take('free'), 'attempt 1', 'what costs nothing is drawn as well');
select is(finish('free'), 'completed 100% after 1', 'and finished');
select is(cancel_cover('freed', 'author'), 'canceled, 0 back, 980 in the wallet', 'or canceled');
select take('worthless');
select is(fail_job('worthless', is_permanent => true), 'failed', 'or fails');
select is(moved('free') || moved('freed') || moved('worthless'), '{}', 'and moves nothing');
select is((select c.cost_credits from app.story_covers as c where c.id = cover('free')), 0::bigint, 'its cover cost nothing');

-- The story meanwhile ------------------------------------------------------------------------------------------------------------------
select ask_cover('archived', 'author', prompt => 'archived'), take('archived'), claim('author'), app.archive_story(story_id()), sign_out();
select is(finish('archived'), 'completed 100% after 1', 'a story that was archived meanwhile gets its cover');
select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select is_empty($$ select from app.cover_attempts as a where a.ended_at is null $$, 'nobody is at work any more');
select * from finish();
rollback;
