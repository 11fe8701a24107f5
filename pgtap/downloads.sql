-- downloads: stories as files for those whose plan has it, each copy marked with whose it is.
begin;
\ir helpers.psql
\ir downloads.psql
select plan(212);

-- The shape -------------------------------------------------------------------------------------
select columns_are('api', 'exports', array[
    'id', 'user_id', 'story_id', 'format', 'status', 'cost_credits', 'file_name', 'media_type', 'bytes', 'chapters', 'links',
    'downloads', 'ready_at', 'expires_at', 'created_at', 'updated_at'], 'what a reader sees of an export, and no error of ours');
select results_eq(
    'select download_price_credits, download_hours, download_links from app.economy',
    $$ values (250::bigint, 24, 3) $$, 'seed 000: 250 credits, 24 hours');
select results_eq(
    $$ select p.slug, f.monthly_limit from app.plan_features as f
       inner join app.subscription_plans as p on p.id = f.plan_id where f.feature = 'downloads' $$,
    $$ values ('premium', 5::bigint) $$, 'downloads come with premium');
select is(refusal(format('update app.economy set %s', change)) ~ '^23514 ', true, format('no policy: %s', change))
from unnest(array['download_price_credits = -1', 'download_hours = 0', 'download_links = 0']) as change;
select is(
    (select functions @> '{request_export,make_export_link}' from app.rate_limits where class = 'money'), true,
    'both are counted with the calls that move money');

-- Who may do what ----------------------------------------------------------------------------------
select is(
    has_function_privilege(r, f::regprocedure, 'execute'), r = allowed,
    format('%s %s %s', r, case when r = allowed then 'may call' else 'may not call' end, f))
from (values
    ('api.request_export(uuid, text, text)', 'authenticated'), ('api.make_export_link(uuid)', 'authenticated'),
    ('api.trace_watermark(text)', 'service_role'), ('app.take_download(text)', 'edge'),
    ('app.claim_export()', 'nobody'), ('app.export_content(uuid)', 'nobody'),
    ('app.finish_export(uuid, text, text, bytea, integer)', 'nobody'), ('app.fail_export(uuid, text, boolean)', 'nobody'),
    ('app.expire_exports()', 'nobody'), ('app.new_copy_code()', 'nobody'), ('app.watermark(bigint)', 'nobody'),
    ('app.weave_watermark(text, bigint)', 'nobody'), ('app.readable_chapters(uuid, uuid)', 'nobody')
) as v (f, allowed)
cross join unnest(array['anon', 'authenticated', 'service_role', 'edge']) as r;
select is(
    has_table_privilege(r, t, p), false, format('%s may not %s %s', r, p, t))
from unnest(array['anon', 'authenticated', 'service_role', 'edge']) as r
cross join unnest(array['app.export_files', 'app.export_links']) as t
cross join unnest(array['select', 'insert', 'update', 'delete']) as p;
select is(
    has_table_privilege(r, 'app.exports', p), false, format('%s may not %s exports', r, p))
from unnest(array['anon', 'authenticated', 'service_role', 'edge']) as r
cross join unnest(array['insert', 'update', 'delete']) as p;

-- A request --------------------------------------------------------------------------------------------
select is(
    refusal($$ select app.request_export(tests.story_id('Carried Forward'), 'epub', null) $$),
    'PT401 login_required: Please sign in first. The call carries no token with a subject.', 'nobody has no file');
select alike(asked('x', 'free'), 'PT403 plan_required: Your plan does not include this. %Premium.', 'premium it has to be');
select is(asked('x', 'poor'), 'PT402 insufficient_credits: Not enough credits. This costs 250 credits; you have 249.', 'and paid');
select is(used('poor'), 0::bigint, 'what is refused does not count');
select is(asked('x', 'reader', 'pdf'), 'PT400 unknown_format: Stories come as markdown, html or epub. pdf', 'in three formats');
select is(asked('x', 'reader', null), 'PT400 unknown_format: Stories come as markdown, html or epub.', 'one of them');
select alike(asked('x', 'reader', title => 'No such story'), 'PT404 story_not_found: %', 'of a story that is there');
select is(asked('one', 'reader', idempotency_key => 'k'), 'allowed', 'a premium reader may');
select note('first', noted('one'));
select is(asked('one', 'reader', idempotency_key => 'k'), 'allowed', 'the same again');
select is(noted('one'), noted('first'), 'is the same export');
select alike(asked('x', 'reader', 'epub', idempotency_key => 'k'), 'PT409 idempotency_mismatch: %', 'another is none');
select is(credits('reader'), '1750 + 250', 'its price is set aside, once');
select is(used('reader'), 1::bigint, 'it counts, once');
select is(export_of('one'), 'pending after 0 0 links 0 downloads', 'and waits');
select alike(linked('one', 'reader'), 'PT409 export_not_ready: %', 'there is no address yet');
select is_empty('select * from ledger.verify()', 'and all is balanced');

-- Making it ------------------------------------------------------------------------------------------------
select results_eq(
    'select c.export_id::text, c.format from app.claim_export() as c', $$ values (tests.noted('one'), 'markdown') $$, 'a worker takes it');
create temp table claim as select c.* from app.export_content(noted('one')::uuid) as c;
select results_eq(
    'select c.title, c.author, c.language, c.identifier, jsonb_array_length(c.chapters) from claim as c',
    $$ select 'Carried Forward', 'author', 'en', 'urn:uuid:' || tests.noted('one'), 2 $$,
    'and gets all that belongs into it: what is free');
select is(
    (select c.copy_line from claim as c),
    format(
        'This copy was made for reader on %s. Copy %s.',
        to_char(now() at time zone 'UTC', 'YYYY-MM-DD'), upper(to_hex(copy_code('one')))),
    'and whose it is');
select is_empty('select * from app.claim_export()', 'nobody else gets it meanwhile');
select is(export_of('one'), 'pending after 1 0 links 0 downloads', 'the attempt is counted');
update app.exports set run_at = now() where id = noted('one')::uuid;
select is((select count(*) from app.claim_export()), 1::bigint, 'after the claim somebody else does');
select is(app.fail_export(noted('one')::uuid, 'broken', false), 'pending', 'a failure is not the end');
select is(
    (
        select e.run_at between now() + interval '9 seconds' and now() + interval '21 seconds'
        from app.exports as e
        where e.id = noted('one')::uuid),
    true, 'it is tried later');
select is_empty('select * from app.claim_export()', 'not at once');
select is(made('one'), true, 'it is made');
select is_empty(format('select * from app.export_content(%L)', noted('one')), 'then nobody needs its words');
select is_empty('select * from app.export_content(gen_random_uuid())', 'nor those of what is not there');
select is(made('one'), false, 'once');
select is(app.fail_export(noted('one')::uuid, 'late', true), 'ready', 'whoever fails later changes nothing');
select is(credits('reader'), '1750 + 0', 'its price is spent');
select is(export_of('one'), 'ready after 2 0 links 0 downloads', 'it is ready');
select is(
    (select e.expires_at - e.ready_at from app.exports as e where e.id = noted('one')::uuid), interval '24 hours', 'for a day');

-- Failing ----------------------------------------------------------------------------------------------------
select is(asked('bad', 'reader'), 'allowed', 'another');
select is(app.fail_export(noted('bad')::uuid, 'no good', true), 'failed', 'fails for good');
select is(credits('reader'), '1750 + 0', 'and the credits are back');
select is(used('reader'), 1::bigint, 'and it does not count');
select is(made('bad'), false, 'it is not made any more');
select alike(linked('bad', 'reader'), 'PT409 export_failed: %', 'and has no address');
select is(app.fail_export(gen_random_uuid(), 'x', true), null, 'what is not there does not fail');
select is(app.finish_export(gen_random_uuid(), 'x', 'x', 'x', 1), false, 'nor is it made');
select asked('often', 'reader');
update app.exports set attempts = 5 where id = noted('often')::uuid;
select is(app.fail_export(noted('often')::uuid, 'again', false), 'failed', 'five times are enough');
select asked('lost', 'other');
update app.exports set attempts = 4, run_at = now() where id = noted('lost')::uuid;
select results_eq(
    'select c.export_id::text from app.claim_export() as c', $$ values (tests.noted('lost')) $$,
    'a fifth time it is handed out');
select is_empty('select * from app.claim_export()', 'and is theirs');
select is(export_of('lost'), 'pending after 5 0 links 0 downloads', 'for as long as any');
update app.exports set run_at = now() where id = noted('lost')::uuid;
select is_empty('select * from app.claim_export()', 'a sixth time it is not');
select is(
    export_of('lost'), 'failed after 5 0 links 0 downloads because Whoever tried to make this file never came back.', 'it has failed');
select is(credits('other'), '1000 + 0', 'and the credits are back');
select is(used('other'), 0::bigint, 'and it does not count');
select is_empty('select * from ledger.verify()', 'and all is balanced');
select asked('long', 'other');
select is((select count(*) from app.claim_export()), 1::bigint, 'a long story');
-- Long chapters are quicker than many.
alter table app.chapter_texts drop constraint chapter_texts_content_check;
create function tests.longer(megabytes integer)
returns void
language sql volatile security definer
begin atomic
    update app.chapter_texts as t set content = repeat('words and ', longer.megabytes * 100000)
    from app.chapters as c
    where c.id = t.chapter_id and c.story_id = tests.story_id('Carried Forward') and c.chapter_number = 1;
end;
create temp table short_text as
select t.* from app.chapter_texts as t
inner join app.chapters as c on c.id = t.chapter_id where c.story_id = story_id('Carried Forward') and c.chapter_number = 1;
select longer(2);
select is((select jsonb_array_length(c.chapters) from app.export_content(noted('long')::uuid) as c), 2, 'is read');
select is(
    (select e.run_at - now() from app.exports as e where e.id = noted('long')::uuid), interval '1 minute 40 seconds',
    'and its worker has the time for it');
select longer(50);
select is(
    refusal(format('select app.export_content(%L)', noted('long'))),
    'PT400 text_too_long: The story is too long for a file. It has 51 MB of text; 50 MB are the most.', 'up to a length');
update app.chapter_texts as t set content = s.content from short_text as s where s.chapter_id = t.chapter_id;
select is(app.fail_export(noted('long')::uuid, 'too long', true), 'failed', 'then it fails');
select results_eq(
    $$ select n.kind, n.data ->> 'credits' from app.notices as n
       where n.user_id = tests.user_id('reader') and n.kind like 'download%' order by n.id $$,
    $$ values ('download_ready', '0'), ('download_failed', '250'), ('download_failed', '250') $$, 'the reader is told');
update app.economy set download_price_credits = 0;
select is(asked('gift', 'reader'), 'allowed', 'it may cost nothing');
select is((select e.transaction_id from app.exports as e where e.id = noted('gift')::uuid), null, 'then nothing is set aside');
select is(made('gift'), true, 'and it is made');
update app.economy set download_price_credits = 250;
select is_empty('select * from ledger.verify()', 'all is balanced');

-- The address ----------------------------------------------------------------------------------------------------
select alike(linked('one', 'other'), 'PT404 export_not_found: %', 'isolation: nobody gets an address of somebody else''s');
select is(linked('one', 'reader'), 'allowed', 'the reader does');
select matches(noted('one_token'), '^[0-9a-f]{64}$', 'one that cannot be guessed');
select is_empty(
    $$ select from app.export_links as l
       where encode(l.token_hash, 'hex') = tests.noted('one_token')
           or l.token_hash = convert_to(tests.noted('one_token'), 'utf8') $$,
    'only its hash is kept');
select note('old_token', noted('one_token'));
select is(linked('one', 'reader'), 'allowed', 'another one');
select alike(refusal(format('select app.take_download(%L)', noted('old_token'))), 'PT410 download_used: %', 'takes the place of the first');
select results_eq(
    format('select * from app.take_download(%L)', noted('one_token')), $$ values ('A.md', 'text/markdown', 'a file'::bytea) $$,
    'it gives the file');
select alike(refusal(format('select app.take_download(%L)', noted('one_token'))), 'PT410 download_used: %', 'once');
select is(
    refusal(format('select app.take_download(%L)', token)), 'PT404 download_not_found: There is no such download.',
    format('%s is no address', token))
from unnest(array['', 'x', repeat('0', 64), null]) as token;
select is(linked('one', 'reader'), 'allowed', 'a third');
select alike(linked('one', 'reader'), 'PT429 too_many_links: %', 'and no fourth');
select is(export_of('one'), 'ready after 2 3 links 1 downloads', 'all is counted');
update app.exports set expires_at = now() where id = noted('one')::uuid;
select alike(refusal(format('select app.take_download(%L)', noted('one_token'))), 'PT410 export_expired: %', 'after a day it is gone');
select alike(linked('one', 'reader'), 'PT410 export_expired: %', 'and has no address any more');
select is(app.expire_exports(), 1, 'the file is thrown away');
select is(app.expire_exports(), 0, 'once');
select is_empty($$ select from app.export_files as f where f.export_id = tests.noted('one')::uuid $$, 'truly');
select alike(refusal(format('select app.take_download(%L)', noted('one_token'))), 'PT410 export_expired: %', 'and no more is said');
select is(asked('gone', 'other'), 'allowed', 'another file');
select is(made('gone'), true, 'is made');
select is(linked('gone', 'other'), 'allowed', 'and has an address');
delete from app.export_files where export_id = noted('gone')::uuid;
select alike(
    refusal(format('select app.take_download(%L)', noted('gone_token'))), 'PT410 export_expired: %', 'a file that just went has expired');
insert into app.export_files (export_id, content) values (noted('gone')::uuid, 'a file');
select is_empty('select * from ledger.verify()', 'all is balanced');

-- Isolation -------------------------------------------------------------------------------------------------------
select asked('theirs', 'other');
select authenticate_as('reader');
select results_eq('select distinct user_id from api.exports', $$ values (tests.user_id('reader')) $$, 'isolation: readers see their own');
select is(refusal(statement) ~ '^(42501|PT403) ', true, format('isolation: %s', statement))
from unnest(array[
    'update api.exports set downloads = 0', 'delete from api.exports', 'select * from app.export_files', 'select * from app.export_links',
    'select app.claim_export()', 'select app.take_download(''x'')', 'select api.trace_watermark(''x'')']) as statement;
select authenticate_as_anon();
select alike(refusal('select * from api.exports'), '42501 %', 'isolation: nobody sees none');
select authenticate_as_service('operator');
select is((select count(distinct user_id) from api.exports), 2::bigint, 'operators see all');
select sign_out();
select is(refusal(statement) ~ '^PT403 append_only', true, format('%s is refused', statement))
from unnest(array['delete from app.exports', 'truncate app.exports cascade']) as statement;

-- What cannot be ------------------------------------------------------------------------------------------------------
select asked('mine', 'reader');
select is(
    refusal(format($$ update app.exports set %s where id = tests.noted('mine')::uuid $$, change)) ~ '^23514 ', true,
    format('no export: %s', change))
from unnest(array[
    'format = ''pdf''', 'state = ''lost''', 'state = ''ready''', 'ready_at = now()', 'cost_credits = 0', 'transaction_id = null',
    'copy_code = 0']) as change;
select matches(
    array_to_string(seen_after(format($$ update app.exports set state = 'failed' where id = %L $$, noted('mine'))), '|'),
    'export_reservation: it is failed for 250 credits; its reservation is held of 250', 'verify sees who failed and was not paid back');
select matches(
    array_to_string(seen_after($$ delete from app.export_files $$), '|'), 'export_file: it is ready, and its file is not there',
    'and a file that is missing');
select matches(
    array_to_string(
        seen_after(format($$ update app.exports set transaction_id = null, cost_credits = 0 where id = %L $$, noted('one'))), '|'),
    'export_sale_without_export: 250 credits were set aside', 'and credits that were taken for nothing');
select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
