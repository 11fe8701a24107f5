-- Who may do what: every view and function in api, called by everybody. An object without a line
-- here fails, and so does a line without an object.
begin;
\ir helpers.psql
\ir alone.psql
\ir covers.psql
\ir authorization.psql
select plan(53);

create function tests.outcome(source text)
returns text
language plpgsql volatile
as $$
declare
    v_rows bigint;
begin
    execute format('select count(answer) from %s as answer', outcome.source) into v_rows;
    raise exception using errcode = 'UNDO0';
exception
    when sqlstate 'UNDO0' then
        return v_rows;
    when insufficient_privilege then
        return '-';
    when others then
        return case when sqlstate like 'PT%' then substring(sqlstate from 3) else sqlstate || ' ' || sqlerrm end;
end;
$$;
comment on function tests.outcome(text) is
'The number of rows that a view or a function call gives, - without the privilege, or the status it fails with. It is undone.';

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select tests.tamper($$ insert into ledger.seals values (1, 0, 1, 1, '\x00', '\x00') $$);
-- What each caller gets: a number of rows (0: no answer), - without the privilege, or the status of a refusal.
-- `nameless` has a token without a subject.
create temp table expected (
    object text, source text,
    anon text, nameless text, stranger text, reader text, creator text, cowriter text, service text);
grant select on expected to public;
insert into expected values
('audit_log', 'api.audit_log', '-', '-', '-', '-', '-', '-', '11'),
('billing_history', 'api.billing_history', '-', '0', '0', '4', '0', '0', '7'),
('cancel_cover', $$api.cancel_cover(tests.job('open'))$$, '-', '401', '404', '404', '1', '404', '404'),
('cancel_cover', $$api.cancel_cover(tests.job('drawn'))$$, '-', '401', '404', '404', '1', '404', '404'),
('cancel_cover', $$api.cancel_cover(tests.job('shown'))$$, '-', '401', '404', '404', '409', '404', '404'),
('cancel_cover', 'api.cancel_cover(null)', '-', '401', '404', '404', '404', '404', '404'),
('cover_attempts', 'api.cover_attempts', '-', '-', '-', '-', '-', '-', '5'),
('cover_figures', 'api.cover_figures()', '-', '-', '-', '-', '-', '-', '1'),
('cover_generation_queue', 'api.cover_generation_queue', '-', '0', '0', '0', '6', '0', '6'),
('cover_queue', 'api.cover_queue()', '-', '401', '0', '0', '6', '0', '-'),
('cover_styles', 'api.cover_styles', '5', '5', '5', '5', '5', '5', '5'),
('cover_url', '(select api.cover_url(s) as answer from api.stories as s)', '1', '1', '1', '2', '3', '2', '3'),
('remove_cover', $$api.remove_cover(tests.cover('shown'))$$, '-', '401', '404', '404', '1', '404', '-'),
('remove_cover', $$api.remove_cover(tests.cover('uploaded'))$$, '-', '401', '404', '404', '1', '404', '-'),
('remove_cover', 'api.remove_cover(null)', '-', '401', '404', '404', '404', '404', '-'),
('request_cover', $$api.request_cover(tests.story_id('On sale'), 'artistic')$$, '-', '401', '404', '404', '1', '404', '404'),
('request_cover', $$api.request_cover(tests.story_id('Draft'), 'artistic')$$, '-', '401', '404', '404', '1', '404', '404'),
('request_cover', $$api.request_cover(tests.story_id('Archived'), 'artistic')$$, '-', '401', '404', '404', '1', '404', '404'),
('request_cover', $$api.request_cover(null, 'artistic')$$, '-', '401', '404', '404', '404', '404', '404'),
(
    'request_cover', $$api.request_cover(tests.story_id('On sale'), 'artistic', priority => 1)$$,
    '-', '401', '403', '403', '403', '403', '404'
),
('set_primary_cover', $$api.set_primary_cover(tests.cover('kept'))$$, '-', '401', '404', '404', '1', '404', '-'),
('set_primary_cover', $$api.set_primary_cover(tests.cover('drafted'))$$, '-', '401', '404', '404', '1', '404', '-'),
('set_primary_cover', 'api.set_primary_cover(null)', '-', '401', '404', '404', '404', '404', '-'),
('story_covers', 'api.story_covers', '1', '1', '1', '2', '5', '2', '5'),
('thumbnail_url', '(select api.thumbnail_url(s) as answer from api.stories as s)', '1', '1', '1', '2', '3', '2', '3'),
('ai_usage_logs', 'api.ai_usage_logs', '-', '0', '0', '1', '5', '0', '6'),
('cache_figures', 'api.cache_figures()', '-', '-', '-', '-', '-', '-', '1'),
('cache_lookup', $$api.cache_lookup('{"genre": "fiction", "model": "m", "prompt": "done"}')$$, '-', '401', '1', '1', '1', '1', '-'),
('cache_rewards', 'api.cache_rewards', '-', '0', '0', '1', '0', '0', '1'),
('cancel_generation', $$api.cancel_generation(tests.noted('ungenerated')::uuid)$$, '-', '401', '404', '404', '1', '404', '-'),
('cancel_generation', $$api.cancel_generation(tests.noted('generated')::uuid)$$, '-', '401', '404', '404', '409', '404', '-'),
('fail_generation', $$api.fail_generation(tests.noted('generated')::uuid, 'a test')$$, '-', '-', '-', '-', '-', '-', '409'),
('finish_generation', $$api.finish_generation(tests.noted('ungenerated')::uuid, '"A text."')$$, '-', '-', '-', '-', '-', '-', '1'),
('generation_jobs', 'api.generation_jobs', '-', '0', '0', '1', '2', '0', '3'),
('generation_logs', 'api.generation_logs', '-', '0', '0', '1', '5', '0', '6'),
('infinite_pages_cache', 'api.infinite_pages_cache', '-', '0', '0', '0', '1', '0', '1'),
('my_plan', 'api.my_plan()', '-', '401', '3', '3', '3', '3', '-'),
('my_cache_figures', 'api.my_cache_figures()', '-', '401', '1', '1', '1', '1', '-'),
('operations_summary', 'api.operations_summary()', '-', '-', '-', '-', '-', '-', '1'),
('record_ai_usage', $$api.record_ai_usage(tests.user_id('creator'), 'other', 'm')$$, '-', '-', '-', '-', '-', '-', '1'),
(
    'request_generation',
    $$api.request_generation(tests.story_id('On sale'), '{"genre": "fiction", "model": "m", "prompt": "done"}')$$,
    '-', '401', '404', '404', '402', '404', '-'
),
('chapters', 'api.chapters', '4', '4', '4', '7', '9', '6', '9'),
('creator_clawbacks', 'api.creator_clawbacks', '-', '0', '0', '0', '1', '1', '0'),
('creator_earnings', 'api.creator_earnings', '-', '0', '0', '0', '4', '3', '0'),
('creator_earnings_accumulation', 'api.creator_earnings_accumulation', '-', '0', '1', '1', '1', '1', '1'),
('creator_tiers', 'api.creator_tiers', '4', '4', '4', '4', '4', '4', '4'),
('creators', 'api.creators', '2', '2', '2', '2', '2', '2', '2'),
('credit_packages', 'api.credit_packages', '3', '3', '3', '3', '3', '3', '4'),
('credit_transactions', 'api.credit_transactions', '-', '0', '0', '11', '0', '0', '0'),
('disputes', 'api.disputes', '-', '0', '0', '1', '0', '0', '2'),
('economy', 'api.economy', '1', '1', '1', '1', '1', '1', '1'),
('individual_payouts', 'api.individual_payouts', '-', '0', '0', '0', '1', '0', '2'),
('monthly_payout_batches', 'api.monthly_payout_batches', '-', '-', '-', '-', '-', '-', '2'),
('notice_settings', 'api.notice_settings', '-', '0', '1', '1', '1', '1', '-'),
('notices', 'api.notices', '-', '0', '0', '3', '8', '0', '-'),
('payments', 'api.payments', '-', '0', '0', '3', '0', '0', '4'),
('payout_accounts', 'api.payout_accounts', '-', '-', '-', '-', '-', '-', '2'),
('payout_reversals', 'api.payout_reversals', '-', '0', '0', '0', '1', '0', '2'),
('payout_skips', 'api.payout_skips', '-', '0', '0', '0', '1', '2', '4'),
('payout_statements', 'api.payout_statements', '-', '0', '0', '0', '1', '1', '0'),
('payouts', 'api.payouts', '-', '0', '0', '0', '4', '0', '8'),
('profiles', 'api.profiles', '-', '0', '1', '1', '1', '1', '1'),
('reading_progress', 'api.reading_progress', '-', '0', '0', '2', '0', '0', '-'),
('reading_state', 'api.reading_state', '-', '0', '0', '2', '0', '0', '-'),
('receipts', 'api.receipts', '-', '0', '0', '2', '0', '0', '3'),
('refunds', 'api.refunds', '-', '0', '0', '1', '0', '0', '2'),
('seals', 'api.seals', '-', '-', '-', '-', '-', '-', '1'),
('seller', 'api.seller', '1', '1', '1', '1', '1', '1', '1'),
('stories', 'api.stories', '1', '1', '1', '2', '3', '2', '3'),
('story_authors', 'api.story_authors', '2', '2', '2', '3', '5', '4', '5'),
('story_entitlements', 'api.story_entitlements', '-', '0', '0', '2', '0', '0', '3'),
('story_pricing', 'api.story_pricing', '1', '1', '1', '2', '3', '2', '3'),
('story_purchases', 'api.story_purchases', '-', '0', '0', '3', '0', '0', '4'),
('stripe_balance_transactions', 'api.stripe_balance_transactions', '-', '-', '-', '-', '-', '-', '1'),
('stripe_events', 'api.stripe_events', '-', '-', '-', '-', '-', '-', '9'),
('stripe_requests', 'api.stripe_requests', '-', '-', '-', '-', '-', '-', '16'),
('subscription_plans', 'api.subscription_plans', '7', '7', '7', '7', '7', '7', '7'),
('subscription_usage', 'api.subscription_usage', '-', '0', '1', '1', '1', '1', '-'),
('subscriptions', 'api.subscriptions', '-', '0', '0', '1', '0', '0', '2'),
('transfers', 'api.transfers', '-', '-', '-', '-', '-', '-', '56'),
('user_library', 'api.user_library', '-', '0', '0', '2', '0', '0', '-'),

('exports', 'api.exports', '-', '0', '0', '0', '0', '0', '0'),
('make_export_link', 'api.make_export_link(null)', '-', '401', '404', '404', '404', '404', '-'),
('request_export', $$api.request_export(tests.story_id('On sale'), 'epub')$$, '-', '401', '403', '403', '403', '403', '-'),
('request_export', $$api.request_export(tests.story_id('Draft'), 'epub')$$, '-', '401', '404', '404', '404', '404', '-'),
('trace_watermark', $$api.trace_watermark('nothing')$$, '-', '-', '-', '-', '-', '-', '0'),
('leave_story', $$api.leave_story(tests.story_id('On sale'))$$, '-', '401', '404', '404', '422', '1', '404'),
('adjust_earnings', $$api.adjust_earnings(tests.user_id('creator'), 1, 'a test')$$, '-', '-', '-', '-', '-', '-', '1'),
('archive_story', $$api.archive_story(tests.story_id('On sale'))$$, '-', '401', '404', '404', '1', '404', '404'),
('before_request', 'api.before_request()', '0', '0', '0', '0', '0', '0', '0'),
('cancel_payout', $$api.cancel_payout(tests.payout('creatorpending'))$$, '-', '401', '404', '404', '1', '404', '404'),
('cancel_payout', $$api.cancel_payout(tests.payout('neighbourpending'))$$, '-', '401', '404', '404', '404', '404', '404'),
('cancel_payout', 'api.cancel_payout(null)', '-', '401', '404', '404', '404', '404', '404'),
('create_story', $$api.create_story('Mine')$$, '-', '401', '1', '1', '1', '1', '1'),
('count_unread_notices', 'api.count_unread_notices()', '-', '401', '1', '1', '1', '1', '-'),
('credit_balance', 'api.credit_balance()', '-', '401', '1', '1', '1', '1', '1'),
('explain_stripe_line', $$api.explain_stripe_line('txn_nobody', 'a test')$$, '-', '-', '-', '-', '-', '-', '404'),
('end_review', $$api.end_review(tests.user_id('creator'))$$, '-', '-', '-', '-', '-', '-', '0'),
('earnings_summary', 'api.earnings_summary()', '-', '401', '1', '1', '1', '1', '1'),
('erase_me', 'api.erase_me()', '-', '401', '1', '409', '409', '409', '-'),
('erase_person', $$api.erase_person(tests.user_id('stranger'), 'a test')$$, '-', '-', '-', '-', '-', '-', '1'),
('erase_person', $$api.erase_person(tests.user_id('reader'), 'a test')$$, '-', '-', '-', '-', '-', '-', '409'),
('export_my_data', 'api.export_my_data()', '-', '401', '1', '1', '1', '1', '-'),
('export_person', $$api.export_person(tests.user_id('reader'))$$, '-', '-', '-', '-', '-', '-', '1'),
('has_feature', $$api.has_feature('library')$$, '-', '401', '1', '1', '1', '1', '-'),
('grant_credits', $$api.grant_credits(tests.user_id('stranger'), 5, 'a gift')$$, '-', '-', '-', '-', '-', '-', '1'),
('hold_payout', $$api.hold_payout(tests.payout('creatorpending'), 'a test')$$, '-', '-', '-', '-', '-', '-', '0'),
('mark_notices_read', 'api.mark_notices_read()', '-', '401', '1', '1', '1', '1', '-'),
('me', 'api.me()', '-', '401', '1', '1', '1', '1', '1'),
('package_margins', 'api.package_margins()', '-', '-', '-', '-', '-', '-', '3'),
('payment_figures', 'api.payment_figures()', '-', '-', '-', '-', '-', '-', '1'),
('payment_figures', 'api.payment_figures(0)', '-', '-', '-', '-', '-', '-', '400'),
('pause_payouts', 'api.pause_payouts()', '-', '401', '1', '1', '1', '1', '1'),
('payout_account', 'api.payout_account()', '-', '401', '1', '1', '1', '1', '1'),
('payout_statement', 'api.payout_statement()', '-', '401', '1', '1', '1', '1', '1'),
('payout_statement', $$api.payout_statement(null, tests.user_id('creator'))$$, '-', '401', '403', '403', '1', '403', '1'),
('payout_statement', $$api.payout_statement(null, tests.user_id('nobody'))$$, '-', '401', '403', '403', '403', '403', '404'),
(
    'payout_statement_pages',
    $$(select regexp_matches(api.payout_statement_pages(s)::text, '<html', 'g') from api.payout_statements as s)$$,
    '-', '0', '0', '0', '1', '1', '0'
),
(
    'payout_statement_tables',
    $$(select regexp_matches(api.payout_statement_tables(s)::text, 'month,', 'g') from api.payout_statements as s)$$,
    '-', '0', '0', '0', '1', '1', '0'
),
('publish_story', $$api.publish_story(tests.story_id('Draft'))$$, '-', '401', '404', '404', '1', '404', '404'),
('purchase_story', $$api.purchase_story(tests.story_id('On sale'), 'chapter', '{3}')$$, '-', '401', '402', '1', '1', '1', '402'),
('purchase_story', $$api.purchase_story(tests.story_id('On sale'), 'chapter', '{5}')$$, '-', '401', '404', '404', '404', '404', '404'),
('purchase_story', $$api.purchase_story(tests.story_id('Draft'), 'premium_unlock')$$, '-', '401', '404', '404', '1', '1', '404'),
('purchase_story', $$api.purchase_story(tests.story_id('Archived'), 'chapter', '{3}')$$, '-', '401', '404', '1', '1', '404', '404'),
('quote_story', $$api.quote_story(tests.story_id('On sale'), 'chapter', '{3}')$$, '1', '1', '1', '1', '1', '1', '1'),
('quote_story', $$api.quote_story(tests.story_id('On sale'), 'chapter', '{5}')$$, '404', '404', '404', '404', '404', '404', '404'),
('quote_story', $$api.quote_story(tests.story_id('Draft'), 'premium_unlock')$$, '404', '404', '404', '404', '1', '1', '404'),
('quote_story', $$api.quote_story(tests.story_id('Archived'), 'chapter', '{3}')$$, '404', '404', '404', '1', '1', '404', '404'),
('read_chapter', $$api.read_chapter(tests.story_id('On sale'), 1)$$, '1', '1', '1', '1', '1', '1', '1'),
('read_chapter', $$api.read_chapter(tests.story_id('On sale'), 3)$$, '402', '402', '402', '1', '1', '1', '402'),
('read_chapter', $$api.read_chapter(tests.story_id('On sale'), 4)$$, '402', '402', '402', '402', '1', '1', '402'),
('read_chapter', $$api.read_chapter(tests.story_id('On sale'), 5)$$, '404', '404', '404', '404', '1', '1', '404'),
('read_chapter', $$api.read_chapter(tests.story_id('Draft'), 1)$$, '404', '404', '404', '404', '1', '1', '404'),
('read_chapter', $$api.read_chapter(tests.story_id('Archived'), 3)$$, '404', '404', '404', '1', '1', '404', '404'),
('reading_year', 'api.reading_year()', '-', '401', '1', '1', '1', '1', '-'),
('receipt', $$api.receipt(tests.payment('paid'))$$, '-', '401', '404', '1', '404', '404', '1'),
('receipt', $$api.receipt(tests.payment('theirs'))$$, '-', '401', '404', '404', '404', '404', '1'),
('receipt', $$api.receipt(tests.payment('waiting'))$$, '-', '401', '404', '404', '404', '404', '404'),
('receipt', 'api.receipt(null)', '-', '401', '404', '404', '404', '404', '404'),
(
    'receipt_pages',
    $$(select regexp_matches(api.receipt_pages(r)::text, '<html', 'g') from api.receipts as r)$$,
    '-', '0', '0', '2', '0', '0', '3'
),
('reconcile', 'api.reconcile()', '-', '-', '-', '-', '-', '-', '10'),
(
    'refund_story_purchase',
    $$api.refund_story_purchase(tests.user_id('reader'), tests.noted('purchase')::uuid, 'give it back')$$,
    '-', '-', '-', '-', '-', '-', '1'
),
('release_payout', $$api.release_payout(tests.payout('creatorheld'))$$, '-', '-', '-', '-', '-', '-', '0'),
('remove_from_library', $$api.remove_from_library(tests.story_id('On sale'))$$, '-', '401', '404', '1', '404', '404', '-'),
('replay_stripe_event', $$api.replay_stripe_event(tests.noted('event'))$$, '-', '-', '-', '-', '-', '-', '1'),
('replay_stripe_event', $$api.replay_stripe_event('evt_nobody')$$, '-', '-', '-', '-', '-', '-', '404'),
('request_payout', 'api.request_payout()', '-', '401', '403', '403', '1', '403', '403'),
('retry_payout', $$api.retry_payout(tests.payout('creatorheld'))$$, '-', '-', '-', '-', '-', '-', '409'),
('review_creator', $$api.review_creator(tests.user_id('creator'), 'a test')$$, '-', '-', '-', '-', '-', '-', '0'),
('run_monthly_payouts', 'api.run_monthly_payouts(null)', '-', '-', '-', '-', '-', '-', '400'),
('save_chapter', $$api.save_chapter(tests.story_id('On sale'), 1, 'Mine now', 'Text')$$, '-', '401', '404', '404', '1', '404', '404'),
('save_progress', $$api.save_progress(tests.story_id('On sale'), 1, 60)$$, '-', '401', '1', '1', '1', '1', '-'),
('save_progress', $$api.save_progress(tests.story_id('On sale'), 3, 60)$$, '-', '401', '402', '1', '1', '1', '-'),
('save_progress', $$api.save_progress(tests.story_id('On sale'), 4, 60)$$, '-', '401', '402', '402', '1', '1', '-'),
('save_progress', $$api.save_progress(tests.story_id('Draft'), 1, 60)$$, '-', '401', '404', '404', '1', '1', '-'),
('save_progress', $$api.save_progress(tests.story_id('Archived'), 3, 60)$$, '-', '401', '404', '1', '1', '404', '-'),
('search_stories', 'api.search_stories()', '1', '1', '1', '1', '1', '1', '1'),
(
    'set_story_authors',
    $$api.set_story_authors(tests.story_id('On sale'), array[tests.user_id('creator'), tests.user_id('stranger')], '{1,9999}')$$,
    '-', '401', '404', '404', '1', '404', '404'
),
('set_story_pricing', $$api.set_story_pricing(tests.story_id('On sale'), 0)$$, '-', '401', '404', '404', '1', '404', '404'),
('solvency', 'api.solvency()', '-', '-', '-', '-', '-', '-', '4'),
('stop_payout', $$api.stop_payout(tests.payout('creatorheld'), 'a test')$$, '-', '-', '-', '-', '-', '-', '0'),
('story_splits', 'api.story_splits()', '-', '401', '0', '0', '5', '4', '0'),
('update_library', $$api.update_library(tests.story_id('On sale'))$$, '-', '401', '1', '1', '1', '1', '-'),
('update_library', $$api.update_library(tests.story_id('Draft'))$$, '-', '401', '404', '404', '1', '1', '-'),
('update_library', $$api.update_library(tests.story_id('Archived'))$$, '-', '401', '404', '1', '1', '404', '-'),
('update_notice_settings', 'api.update_notice_settings(true)', '-', '401', '1', '1', '1', '1', '-'),
('update_profile', $$api.update_profile(handle => 'reader')$$, '-', '401', '409', '1', '409', '409', '409'),
('update_story', $$api.update_story(tests.story_id('On sale'), 'Mine now')$$, '-', '401', '404', '404', '1', '404', '404'),
('use_feature', $$api.use_feature(tests.user_id('stranger'), 'library')$$, '-', '-', '-', '-', '-', '-', '1'),
('use_feature', $$api.use_feature(tests.user_id('stranger'), 'downloads')$$, '-', '-', '-', '-', '-', '-', '403'),
('use_feature', $$api.use_feature(null, 'library')$$, '-', '-', '-', '-', '-', '-', '400'),
('verify', 'api.verify()', '-', '-', '-', '-', '-', '-', '1');

-- The catalog says the same ---------------------------------------------------
create temp view exposed as
select
    c.relname as object, has_table_privilege('anon', c.oid, 'SELECT') as anon,
    has_table_privilege('authenticated', c.oid, 'SELECT') as authenticated,
    has_table_privilege('service_role', c.oid, 'SELECT') as service
from pg_class as c
where c.relnamespace = 'api'::regnamespace and c.relkind not in ('c', 'i', 'I')
union all
select
    p.proname, has_function_privilege('anon', p.oid, 'EXECUTE'),
    has_function_privilege('authenticated', p.oid, 'EXECUTE'),
    has_function_privilege('service_role', p.oid, 'EXECUTE')
from pg_proc as p
where p.pronamespace = 'api'::regnamespace;

select set_eq(
    'select object from exposed',
    'select object from expected',
    'every object in api has its line here, and every line its object');
select bag_eq(
    'select object, anon, authenticated, service from exposed',
    $$ select distinct object, anon <> '-' as anon, stranger <> '-' as authenticated, service <> '-' as service from expected $$,
    'each role has exactly the privileges written here');
select is_empty(
    $$ select source from expected where '-' in (nameless, stranger, reader, creator, cowriter)
       and (nameless, stranger, reader, creator, cowriter) <> ('-', '-', '-', '-', '-') $$,
    'a privilege is the same for everybody who is signed in');

-- And this is what happens ----------------------------------------------------
select tests.authenticate_as_anon();
select set_eq(
    'select source, tests.outcome(source) from expected', 'select source, anon from expected', 'anon gets what is public');
select tests.sign_in('authenticated', '{"role": "authenticated"}');
select set_eq(
    'select source, tests.outcome(source) from expected', 'select source, nameless from expected',
    'a token without a subject is nobody');
select tests.authenticate_as('stranger');
select set_eq(
    'select source, tests.outcome(source) from expected', 'select source, stranger from expected',
    'a stranger gets nothing of anybody else');
select tests.authenticate_as('reader');
select set_eq(
    'select source, tests.outcome(source) from expected', 'select source, reader from expected',
    'a reader gets what is bought and paid for, and no more');
select tests.authenticate_as('creator');
select set_eq(
    'select source, tests.outcome(source) from expected', 'select source, creator from expected',
    'a creator gets their own stories and earnings');
select tests.authenticate_as('cowriter');
select set_eq(
    'select source, tests.outcome(source) from expected', 'select source, cowriter from expected',
    'a co-author reads drafts, and changes nothing');
select tests.authenticate_as_service('operator');
select set_eq(
    'select source, tests.outcome(source) from expected', 'select source, service from expected',
    'the service role sees all, and writes nobody''s stories');

-- There is no other way in ----------------------------------------------------
select tests.authenticate_as('creator');
select throws_ok(
    'select * from app.chapter_texts', '42501', 'permission denied for schema app', 'product tables are out of reach');
select throws_ok(
    'select * from ledger.accounts', '42501', 'permission denied for schema ledger', 'so is the ledger');
select throws_ok(
    $$ update api.story_pricing set price_per_chapter = 0 $$, '42501', 'permission denied for view story_pricing',
    'a view is not a way to write');
select tests.authenticate_as_service('operator');
select throws_ok(
    'select ledger.fold()', '42501', 'permission denied for schema ledger', 'the service role has no kernel function either');

-- The edge calls its functions and nothing else ---------------------------------
select tests.sign_out();
select set_eq(
    $$ select p.oid::regprocedure::text from pg_proc as p
       where p.pronamespace in ('app'::regnamespace, 'ledger'::regnamespace, 'api'::regnamespace)
           and has_function_privilege('edge', p.oid, 'EXECUTE') $$,
    array[
        'app.count_call(text,text)', 'app.stripe_customer(boolean)',
        'app.start_payment(uuid,text,text,boolean,text,text,text)', 'app.refund_payment(uuid,bigint,text,text)',
        'app.begin_stripe_request(uuid)', 'app.record_stripe_answer(uuid,jsonb)',
        'app.record_stripe_failure(uuid,text,text,boolean)', 'app.handle_stripe_event(jsonb,text,boolean)',
        'app.start_subscription(text,text,boolean,text,text,text)', 'app.subscription_checkout_result(text)',
        'app.portal_customer(boolean)',
        'app.checkout_result(text)', 'app.checkout_receipt(text)', 'app.connect_account(boolean)', 'app.payout_account_state(text)',
        'app.record_payout_account(jsonb,boolean,timestamp with time zone)', 'app.check_cover_upload(uuid)',
        'app.add_uploaded_cover(uuid,jsonb,boolean)', 'app.take_download(text)', 'app.operations_summary()'],
    'the edge may call these');
set local role edge;
select throws_ok(statement, '42501', 'permission denied for ' || what, format('the edge is refused: %s', statement))
from (values
    ('select * from app.payments', 'table payments'), ('update app.seller set name = ''me''', 'table seller'),
    ('select * from api.payments', 'schema api'), ('select ledger.verify()', 'schema ledger'),
    ('select app.audit(''x'', ''x'')', 'function audit'),
    ('select app.run_verification()', 'function run_verification'),
    ('select app.claim_stripe_requests(1, false)', 'function claim_stripe_requests'),
    ('select app.replay_stripe_event(''x'')', 'function replay_stripe_event'),
    ('select app.apply_stripe_payment_intent(''{}'')', 'function apply_stripe_payment_intent'),
    ('select app.import_stripe_balance_transactions(''[]'')', 'function import_stripe_balance_transactions'),
    ('select * from app.subscriptions', 'table subscriptions'),
    ('select app.record_subscription(''{}'')', 'function record_subscription'),
    ('select app.use_feature_for(null, ''downloads'', 1)', 'function use_feature_for'),
    ('select * from app.payouts', 'table payouts'), ('update app.payout_accounts set user_id = null', 'table payout_accounts'),
    ('select app.request_payout(1, null)', 'function request_payout'), ('select app.release_payout(null)', 'function release_payout'),
    ('select app.run_monthly_payouts(null)', 'function run_monthly_payouts'),
    ('select app.stale_payout_accounts(false, 1)', 'function stale_payout_accounts'),
    ('select app.apply_stripe_transfer(''{}'')', 'function apply_stripe_transfer'),
    ('select app.apply_stripe_account(''{}'')', 'function apply_stripe_account'),
    ('select * from app.cover_jobs', 'table cover_jobs'), ('update app.story_covers set is_primary = true', 'table story_covers'),
    ('select app.request_cover(null, null, null, 3, null)', 'function request_cover'),
    ('select app.claim_cover(''gpu1:7860'', ''{dreamshaper_7}'')', 'function claim_cover'),
    ('select app.finish_cover(null, null, null)', 'function finish_cover'), ('select app.recover_cover()', 'function recover_cover'),
    ('select app.add_cover(null, null, null, true)', 'function add_cover'),
    ('select * from app.unused_cover_files(''{}'')', 'function unused_cover_files')
) as ways (statement, what);
-- Who calls through it is known by the token, as everywhere.
select tests.sign_out();
select tests.claim('stranger');
set local role edge;
select throws_ok(
    $$ select app.refund_payment(tests.payment('paid'), null, 'mine', null) $$, 'PT403',
    'Only the operators of this platform may do this.', 'through the edge nobody refunds but operators');
reset role;

-- Two things in api are no view and no function ------------------------------------
select set_eq(
    $$ select t.typname::text from pg_type as t
       where t.typnamespace = 'api'::regnamespace and t.typrelid = 0 and t.typelem = 0 $$,
    array['text/html', 'text/csv'], 'the media types of receipts and statements');

-- Should a view forget whose rows it shows, the policies do not ------------------
select tests.sign_out();
grant usage on schema ledger, app to anon, authenticated, service_role;
create temp table behind (source text, anon text, nameless text, stranger text, reader text, creator text, service text);
grant select on behind to public;
insert into behind values
('ledger.accounts', '-', '0', '1', '1', '2', '9'),
('ledger.transfers', '-', '0', '0', '23', '15', '56'),
('ledger.lots', '-', '0', '0', '6', '0', '9'),
('app.story_purchases', '-', '0', '0', '3', '0', '4'),
('app.story_entitlements', '-', '0', '0', '3', '0', '4'),
('app.user_library', '-', '0', '0', '2', '0', '-'),
('app.reading_progress', '-', '0', '0', '2', '0', '-'),
('app.reading_days', '-', '-', '-', '-', '-', '-'),
('app.chapters', '4', '4', '4', '7', '9', '9'),
('app.chapter_texts', '-', '-', '-', '-', '-', '-'),
('app.infinite_pages_cache', '-', '0', '0', '0', '1', '1'),
('app.cache_vectors', '-', '-', '-', '-', '-', '-'),
('app.generation_jobs', '-', '0', '0', '1', '2', '3'),
('app.cache_rewards', '-', '0', '0', '1', '0', '1'),
('app.ai_usage_logs', '-', '0', '0', '1', '5', '6'),
('app.audit_log', '-', '-', '-', '-', '-', '11'),
('app.payments', '-', '0', '0', '3', '0', '4'),
('app.subscription_plans', '7', '7', '7', '7', '7', '8'),
('app.plan_features', '24', '24', '24', '24', '24', '39'),
('app.subscriptions', '-', '0', '0', '1', '0', '2'),
('app.subscription_checkouts', '-', '-', '-', '-', '-', '1'),
('app.feature_usage', '-', '0', '0', '1', '0', '1'),
('app.invoice_allowances', '-', '-', '-', '-', '-', '-'),
('app.refunds', '-', '0', '0', '1', '0', '2'),
('app.disputes', '-', '0', '0', '1', '0', '2'),
('app.receipts', '-', '0', '0', '2', '0', '3'),
('app.notices', '-', '0', '0', '3', '8', '-'),
('app.notice_settings', '-', '0', '0', '0', '0', '-'),
('app.notice_templates', '-', '-', '-', '-', '-', '-'),
('app.cover_jobs', '-', '0', '0', '0', '6', '6'),
('app.cover_attempts', '-', '-', '-', '-', '-', '5'),
('app.cover_styles', '5', '5', '5', '5', '5', '5'),
('app.story_covers', '1', '1', '1', '2', '5', '5'),
('ledger.reservations', '-', '-', '-', '-', '-', '-'),
('app.payouts', '-', '0', '0', '0', '4', '8'),
('app.payout_reversals', '-', '0', '0', '0', '1', '2'),
('app.payout_skips', '-', '0', '0', '0', '1', '4'),
('app.monthly_payout_batches', '-', '-', '-', '-', '-', '2'),
('(select b.total_cents from app.monthly_payout_batches as b)', '-', '-', '-', '-', '-', '2'),
('(select b.id, b.month, b.currency from app.monthly_payout_batches as b)', '-', '2', '2', '2', '2', '2'),
('app.payout_accounts', '-', '-', '-', '-', '-', '2'),
('app.payout_settings', '-', '-', '-', '-', '-', '2'),
('app.seller', '1', '1', '1', '1', '1', '1'),
('app.stripe_events', '-', '-', '-', '-', '-', '9'),
('app.stripe_requests', '-', '-', '-', '-', '-', '16'),
('app.stripe_balance_transactions', '-', '-', '-', '-', '-', '1'),
('app.stripe_customers', '-', '-', '-', '-', '-', '-'),
('app.stripe_cursors', '-', '-', '-', '-', '-', '-'),
('app.receipt_serials', '-', '-', '-', '-', '-', '-'),
('app.operators', '-', '-', '-', '-', '-', '-'),
('app.rate_limits', '-', '-', '-', '-', '-', '-'),
('app.verifications', '-', '-', '-', '-', '-', '-'),
('app.noted_figures', '-', '-', '-', '-', '-', '-'),
('app.rate_buckets', '-', '-', '-', '-', '-', '-'),
('ledger.earning_totals', '-', '-', '-', '-', '-', '-'),
('ledger.recalls', '-', '-', '-', '-', '-', '-'),
('ledger.recall_lines', '-', '-', '-', '-', '-', '-'),
('ledger.requests', '-', '-', '-', '-', '-', '-'),
('ledger.draws', '-', '-', '-', '-', '-', '-');
-- There only with pgvector.
delete from behind where source = 'app.cache_vectors' and to_regclass('app.cache_vectors') is null;
select tests.authenticate_as_anon();
select set_eq('select source, tests.outcome(source) from behind', 'select source, anon from behind', 'not to anon');
select tests.sign_in('authenticated', '{"role": "authenticated"}');
select set_eq('select source, tests.outcome(source) from behind', 'select source, nameless from behind', 'not to nobody');
select tests.authenticate_as('stranger');
select set_eq('select source, tests.outcome(source) from behind', 'select source, stranger from behind', 'not to a stranger');
select tests.authenticate_as('reader');
select set_eq('select source, tests.outcome(source) from behind', 'select source, reader from behind', 'to a reader their own');
select tests.authenticate_as('creator');
select set_eq(
    'select source, tests.outcome(source) from behind', 'select source, creator from behind', 'to a creator what was earned, and no more');
select tests.authenticate_as_service('operator');
select set_eq('select source, tests.outcome(source) from behind', 'select source, service from behind', 'to the service role all');

select tests.sign_out();
select * from finish();
rollback;
