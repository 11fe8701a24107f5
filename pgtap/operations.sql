-- operations: how everything is, in one answer; what verify found is kept.
begin;
\ir helpers.psql
\ir alone.psql
\ir covers.psql
select plan(65);

select count(tests.create_person(p)) from unnest(array['reader', 'creator', 'operator']) as p;

-- A part of the summary, by the way that leads to it.
create function tests.said(path text)
returns jsonb
language sql stable security definer
return app.operations_summary() #> string_to_array(said.path, '.');

-- shape and privileges
select has_function('api', 'operations_summary', array[]::text[], 'there is a summary');
select volatility_is('api', 'operations_summary', array[]::text[], 'stable', 'which GET can ask for');
select is(
    array(select r from unnest(array['anon', 'authenticated', 'service_role', 'edge']) as r
        where has_function_privilege(r, 'app.operations_summary()', 'EXECUTE')),
    array['service_role', 'edge'], 'operators and the edge may ask');
select is_empty(
    $$ select p.oid::regprocedure, r from pg_proc as p, unnest(array['anon', 'authenticated', 'service_role', 'edge']) as r
       where p.proname in ('run_verification', 'verify_when_due', 'note_figures')
           and has_function_privilege(r, p.oid, 'EXECUTE') $$,
    'nobody from outside runs what reads the whole ledger');
select tests.authenticate_as_service('operator');
select is(
    array(select k from jsonb_object_keys(by_get('select api.operations_summary()') -> 0 -> 'operations_summary') as k order by k),
    array[
        'archive', 'at', 'cache', 'last_day', 'ledger', 'noted_seconds', 'outbox', 'payments', 'payouts', 'queues',
        'solvency', 'subscriptions', 'verification', 'webhooks'],
    'an operator asks by GET');
select tests.authenticate_as('reader');
select is(
    refusal('select api.operations_summary()'), '42501 : permission denied for function operations_summary', 'a reader does not');
select tests.sign_out();

-- an empty platform
select is(tests.said('verification'), 'null', 'nothing was verified yet');
select is(tests.said('solvency'), 'null', 'nor noted');
select is(tests.said('noted_seconds'), 'null', 'and that is no age of zero');
select is(tests.said('payments.last_hour.success_basis_points'), 'null', 'no payment, no rate');
select is(tests.said('payouts.last_batch'), 'null', 'no month was closed');
select is(tests.said('ledger.default_partition_rows'), '0', 'the default partition is empty');
select is(tests.said('ledger.partitions_ahead'), '3', 'three months have their partitions');
select is(tests.said('ledger.seal'), 'null', 'nothing is sealed');

-- payments
select tests.buy_credits('one', 'reader'), tests.buy_credits('two', 'reader'), tests.buy_credits('three', 'reader');
select tests.note('lost', tests.start_payment('reader')::text), tests.note('open', tests.start_payment('reader')::text);
select tests.deliver(
    'payment_intent.payment_failed', tests.payment_intent(
        tests.payment('lost'), 'requires_payment_method',
        '{"last_payment_error": {"code": "card_declined", "message": "Declined."}}'));
select is(
    tests.said('payments.last_hour') - 'canceled',
    '{"begun": 5, "succeeded": 3, "failed": 1, "waiting": 1, "renewals": 0, "success_basis_points": 7500}',
    'what became of the payments of this hour');
select tests.tamper($$ update app.payments set created_at = now() - interval '2 hours' where status = 'failed' $$);
select is(tests.said('payments.last_hour.success_basis_points'), '10000', 'what failed two hours ago is not of this hour');
select is(tests.said('payments.last_day.success_basis_points'), '7500', 'but of this day');

-- webhooks
select is(tests.said('webhooks.lag_seconds'), '0', 'nothing waits');
select tests.deliver('refund.updated', jsonb_build_object(
    'object', 'refund', 'id', 're_unknown', 'payment_intent', 'pi_unknown', 'amount', 100, 'currency', 'usd', 'status', 'succeeded',
    'created', 1790000000));
select is(tests.said('webhooks.parked'), '1', 'an event that came before its payment is parked');
select tests.tamper(
    $$ update app.stripe_events set received_at = now() - interval '20 minutes' where state = 'parked' $$);
select is(tests.said('webhooks.lag_seconds'), '1200', 'and the time that it waits is the lag');
select tests.tamper(
    $$ update app.stripe_events set received_at = now() - interval '8 days' where state = 'parked' $$);
select is(
    tests.said('webhooks') - array['received', 'slowest_seconds', 'last_received_seconds', 'list_read_seconds', 'waiting'],
    '{"parked": 1, "failed": 0, "parked_this_week": 0, "failed_this_week": 0, "lag_seconds": 0}',
    'what waits for more than a week is counted and raises no alarm');
select tests.tamper(
    $$ update app.stripe_events set created_at = received_at - interval '77 seconds'
       where id = (select e.id from app.stripe_events as e where e.state = 'applied' limit 1) $$);
select tests.tamper(
    $$ update app.stripe_events set created_at = received_at - interval '1 second'
       where created_at <> received_at - interval '77 seconds' $$);
select is(tests.said('webhooks.slowest_seconds'), '77', 'the longest way from Stripe to here');
select is(tests.said('webhooks.last_received_seconds'), '0', 'the newest came just now');
select is(tests.said('webhooks.list_read_seconds'), 'null', 'the list of events was never read');
select app.move_stripe_cursor('events', now() - interval '90 seconds');
select is(tests.said('webhooks.list_read_seconds'), '90', 'then it was');

-- the outbox
select is(tests.said('outbox.retrying'), '0', 'nothing had to be asked twice');
select tests.note('asked', (select count(*)::text from app.stripe_requests as r where r.state = 'pending'));
select tests.tamper($$
    insert into app.stripe_requests (kind, subject_id, parameters, idempotency_key, is_live, attempts, created_at, next_attempt_at)
    values ('refund', gen_random_uuid(), '{}', 'stuck', false, 7, now() - interval '2 hours', now() - interval '10 minutes') $$);
select is(
    tests.said('outbox'),
    jsonb_build_object('pending', noted('asked')::integer + 1, 'retrying', 1, 'oldest_seconds', 7200,
        'oldest_retrying_seconds', 7200, 'overdue_seconds', 600),
    'a request that Stripe does not take');
select tests.tamper($$ delete from app.stripe_requests where idempotency_key = 'stuck' $$);

-- payouts
select tests.connect('creator'), tests.claim('creator'), app.adjust_earnings(tests.user_id('creator'), 100000000, 'a test', null);
select tests.sign_out();
select tests.ask_payout('first', 'creator', 20), tests.ask_payout('second', 'creator', 20), tests.ask_payout('third', 'creator', 20);
select app.hold_payout(tests.payout('third'), 'a test');
select tests.begin_transfer('second'), tests.fail_transfer('second', 'a_test');
select is(
    tests.said('payouts') - array['last_batch', 'month_due', 'month_overdue_seconds', 'oldest_seconds'],
    '{"pending": 1, "processing": 0, "held": 1, "failed": 0}',
    'a payout that failed is made good by a later one, though that is held');
select tests.begin_transfer('first'), tests.fail_transfer('first', 'a_test'), app.stop_payout(tests.payout('third'), 'a test');
select is(tests.said('payouts.failed'), '2', 'those that nobody followed up');
select tests.tamper(
    $$ update app.payouts set failure_reason = id::text, id = overlay(id::text placing '017f0000-0000' from 1 for 13)::uuid
       where status = 'failed' $$);
select is(tests.said('payouts.failed'), '0', 'for sixty days');
select tests.tamper($$ update app.payouts set id = failure_reason::uuid where status = 'failed' $$);

-- the month's end: noted by the worker, and over as soon as the batch is closed
select is(tests.said('payouts.month_due'), 'null', 'no month is due, as far as was noted');
insert into app.noted_figures (name, figures, noted_at)
values ('month', jsonb_build_object('due', app.month_of(now() - interval '3 months')), now() - interval '4 minutes');
select is(tests.said('payouts.month_due'), to_jsonb(app.month_of(now() - interval '3 months')), 'a month that was not closed');
select cmp_ok((tests.said('payouts.month_overdue_seconds'))::bigint, '>', 86400::bigint, 'for longer than a day');
select is(tests.said('noted_seconds'), '240', 'noted four minutes ago');
select app.run_monthly_payouts((now() - interval '3 months')::date);
select is(tests.said('payouts.month_due'), 'null', 'it is closed');
select is(tests.said('payouts.month_overdue_seconds'), '0', 'so nothing is overdue');
select is(tests.said('payouts.last_batch.state'), '"closed"', 'and this is the last batch');

-- queues
select tests.publish_story('creator', 1, 'On sale');
update app.economy set cover_price_credits = 0;
select tests.ask_cover('drawn', 'creator', 'On sale');
select tests.tamper($$ update app.cover_jobs set created_at = now() - interval '31 minutes' $$);
select is(
    (tests.said('queues.covers')) - array['completed_today', 'failed_today', 'median_seconds'],
    '{"waiting": 1, "running": 0, "oldest_waiting_seconds": 1860}', 'a cover that nobody draws');
select tests.tamper($$
    insert into app.exports (user_id, story_id, format, cost_credits, copy_code, created_at)
    values (gen_random_uuid(), gen_random_uuid(), 'epub', 0, 1, now() - interval '1 minute') $$);
select is(tests.said('queues.exports'), '{"waiting": 1, "oldest_waiting_seconds": 60}', 'a file that nobody makes');
select tests.tamper('delete from app.exports');
select is(tests.said('queues.generations'), '{"waiting": 0, "oldest_waiting_seconds": 0}', 'no text is asked for');
select cmp_ok((tests.said('queues.mail.waiting'))::bigint, '>=', 0::bigint, 'mail that waits is counted');

-- the cache
select is(tests.said('cache.hit_rate_percent'), 'null', 'nobody asked the cache');
select tests.note('text', (app.add_generation_job(
    tests.user_id('creator'), tests.story_id('On sale'), 1, '{"genre": "fiction", "model": "m", "prompt": "x"}',
    null, 'none', null, null, 0, 0)).id::text);
select app.finish_generation(tests.noted('text')::uuid, '"A text."', 0, 0, 0);
select count((app.add_generation_job(
    tests.user_id('reader'), tests.story_id('On sale'), 1, c.request, null, 'exact', 10000, c.id, 0, 0)).id)
from app.infinite_pages_cache as c;
select is(
    tests.said('cache'), '{"requests": 2, "hits": 1, "hit_rate_percent": 50, "credits_saved": 0}', 'one of two was there already');

-- what is noted
select tests.buy('reader', tests.story_id('On sale'), 'premium_unlock');
select app.note_figures();
select is(tests.said('noted_seconds'), '0', 'the worker noted the figures');
select is(tests.said('last_day.credits.purchase'), '300', 'the credits of three payments were bought today');
select is(tests.said('last_day.credits.spend'), '50', 'and some were spent');
select is(tests.said('last_day.earned_microdollars'), '1750000', 'which a creator earned by');
select tests.tamper($$ update ledger.transfers set created_at = now() - interval '2 days' where kind = 'spend' $$);
select is(app.day_of_movements() #> '{credits,spend}', null, 'a sale of the day before yesterday is not counted');
select is(
    tests.said('solvency'),
    (select to_jsonb(s) - 'source' from ledger.solvency() as s where s.source is null), 'solvency, as it was noted');
insert into app.subscriptions (
    id, user_id, plan_id, stripe_subscription_id, stripe_customer_id, is_live, status, told_at, current_period_start)
select
    md5(n.name)::uuid, tests.user_id('reader'), p.id, n.name, 'cus_x', false, n.status, now(), now() - n.age
from (values
    ('fresh', 'active', interval '1 hour'), ('unpaid', 'active', interval '2 days'), ('paid', 'active', interval '2 days'),
    ('over', 'canceled', interval '2 days')) as n (name, status, age)
cross join app.subscription_plans as p
where p.slug = 'premium';
insert into app.invoice_allowances (stripe_invoice_id, subscription_id, user_id, credits, granted, created_at)
values
('in_1', md5('paid')::uuid, tests.user_id('reader'), 0, 0, now() - interval '47 hours'),
('in_2', md5('over')::uuid, tests.user_id('reader'), -40, 0, now() - interval '47 hours');
select app.note_figures();
select is(
    tests.said('subscriptions'),
    '{"states": {"active": 3, "canceled": 1}, "credits_owed": 40, "allowances_missing": 1}',
    'subscriptions by state, and the one whose period brought nothing');
select tests.tamper('delete from app.invoice_allowances');

-- a month without a partition
create function tests.lose_partition()
returns void
language plpgsql volatile security definer
as $$
declare
    v_name constant text := 'transfers_' || to_char(now() at time zone 'UTC', 'YYYY_MM');
begin
    set constraints all immediate;
    execute format('alter table ledger.transfers detach partition ledger.%I', v_name);
    execute format('insert into ledger.transfers select * from ledger.%I', v_name);
    execute format('drop table ledger.%I', v_name);
end;
$$;
create temp table before as select * from ledger.transfers;
select tests.lose_partition();
select is(
    tests.said('ledger.default_partition_rows'), (select to_jsonb(count(*)) from before), 'movements without a partition of their own');
select is(ledger.ensure_partitions(), 0, 'which can not be made any more');
select is(app.empty_default_partition(), (select count(*) from before), 'they are moved');
select is(tests.said('ledger.default_partition_rows'), '0', 'the default partition is empty again');
select set_eq('select * from ledger.transfers', 'select * from before', 'nothing in them has changed');
select bag_eq(
    $$ select concat_ws(' ', c.relrowsecurity, obj_description(c.oid, 'pg_class') ~ '^Movements of ', t.tgtype)
       from pg_inherits as i
       inner join pg_class as c on c.oid = i.inhrelid
       inner join pg_trigger as t on t.tgrelid = c.oid and t.tgname = 'tg_' || c.relname || '__no_truncate'
       where i.inhparent = 'ledger.transfers'::regclass and c.relname <> 'transfers_default' $$,
    $$ select 't t 34' from generate_series(1, 4) $$, 'and every month is guarded as it was');
select is(app.empty_default_partition(), 0::bigint, 'where nothing is to be moved, nothing is');
select is_empty(
    $$ select v.* from ledger.verify() as v where v.check_name in ('default_partition', 'guard_missing', 'seal') $$,
    'the guards are on, and the seals right');

-- verify is run, and what it found is kept
select is_empty('select * from app.run_verification()', 'verify finds nothing');
select is(tests.said('verification.violations'), '0', 'and that is kept');
select is(app.verify_when_due(), null, 'it is not due again today');
select tests.tamper($$ update app.verifications set began_at = now() - interval '2 days', ended_at = now() - interval '25 hours' $$);
select tests.tamper(
    $$ update ledger.accounts set balance = balance + 1 where owner_id = tests.user_id('reader') and kind = 'wallet' $$);
select cmp_ok(app.verify_when_due(), '>', 1::bigint, 'after a day it is, and finds a wallet that is wrong');
select is(
    (select array[v.violations, jsonb_array_length(v.found)] from app.verifications as v order by v.id desc limit 1),
    array[(tests.said('verification.violations'))::bigint, (select count(*) from ledger.verify())],
    'what was found is kept, and its number told');
select is(
    array(select left(refusal(s), 19) from unnest(array[
        'delete from app.verifications', 'update app.verifications set violations = 0', 'truncate app.verifications']) as s),
    array_fill('PT403 append_only: '::text, array[3]), 'what was found is never changed');
-- A standby, where nothing can be written.
select isnt(
    by_get('select * from app.run_verification()'), null, 'where nothing can be kept, it says what it finds all the same');
select tests.tamper(
    $$ update ledger.accounts set balance = balance - 1 where owner_id = tests.user_id('reader') and kind = 'wallet' $$);

select * from finish();
rollback;
