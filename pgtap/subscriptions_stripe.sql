-- subscriptions: what Stripe says of them and of their invoices, in every order.
begin;
\ir helpers.psql
\ir subscriptions.psql
select plan(91);

select count(create_person(p)) from unnest(array['reader', 'friend', 'saver', 'payer', 'creator', 'operator']) as p;

create function tests.unsettled()
returns setof text
language sql stable security definer
begin atomic
    select format('%s %s %s', e.state, e.object_id, e.error) from app.stripe_events as e where e.state in ('parked', 'failed');
end;
comment on function tests.unsettled() is 'Events that wait or failed.';

-- In the usual order ---------------------------------------------------------------------------
select stripe_customer('reader');
select is(tell(subscription_object('one', 'reader', 'premium', 'incomplete')), 'applied', 'somebody begins');
select is(array[known('one'), tier()], array['premium incomplete', 'free'], 'and has nothing yet');
select is(
    tell(invoice_object('bad', 'one', array[whole('premium')], status => 'open')), 'applied', 'the first card is declined');
select is(told(), '{}', 'Stripe''s page says so, and nobody else');
select is(tell(subscription_object('one', 'reader', 'premium'), now() + interval '1 second'), 'applied', 'another one is not');
select is(array[known('one'), tier()], array['premium active', 'premium'], 'now they have it');
select is(told(), array['subscription_started: Welcome to Premium'], 'and are told');
select is(tell(invoice_charge('a')), 'ignored', 'the charge comes before its invoice');
select is(tell(invoice_intent('a', 1499)), 'ignored', 'so does the intent');
select is(tell(invoice_object('a', 'one', array[whole('premium')])), 'applied', 'the invoice is paid');
select is(paid('one'), '{1499 300 -}', 'a payment with its credits');
select is(tell(invoice_payment('a')), 'applied', 'what paid it');
select is(paid('one'), '{1499 300 ch_a}', 'the intent had named the charge');
select is(credits(), 300::bigint, 'the credits are there');
select results_eq(
    $$ select source::text, credits::bigint, paid_microdollars::bigint, expires_at from ledger.lots where book_id = user_id('reader') $$,
    $$ values ('allowance', 300::bigint, 14990000::bigint, to_timestamp(epoch(now() + interval '20 days'))) $$,
    'as one lot that ends with the period, worth what was paid');
select authenticate_as('reader');
select results_eq(
    $$ select package, status, amount_cents, payment_method, method from api.payments $$,
    $$ values ('Premium', 'succeeded', 1499::bigint, 'visa 4242', 'subscription') $$, 'the payer sees a payment');
select results_eq(
    'select kind, amount_cents, description, receipt_number is not null from api.billing_history',
    $$ values ('payment', 1499::bigint, 'Premium: 300 credits', true) $$, 'a line in the billing history');
select results_eq(
    'select package, credits, bonus_credits, net_cents from api.receipts',
    $$ values ('Premium', 300::bigint, 0::bigint, 1499::bigint) $$, 'a receipt');
select results_eq(
    'select transaction_type, amount, description from api.credit_transactions',
    $$ values ('bonus', 300::bigint, 'Monthly credits') $$, 'and a line in the statement');
select sign_out();

-- Case 1: twice, and once more -------------------------------------------------------------------
select is(tell(invoice_object('a', 'one', array[whole('premium')])), 'applied', 'case 1: the same invoice by another event');
select is(tell(invoice_object('a', 'one', array[whole('premium')]), id => 'evt_same'), 'applied', 'case 1: and another');
select is(tell(invoice_object('a', 'one', array[whole('premium')]), id => 'evt_same'), 'duplicate', 'case 1: the same event');
select is(tell(invoice_payment('a')), 'applied', 'case 1: the same payment');
select is(tell(invoice_intent('a', 1499)), 'applied', 'case 1: the same intent');
select is(app.replay_stripe_event('evt_same'), 'applied', 'case 1: replayed by hand');
select is(array[credits()::text, array_to_string(paid('one'), ',')], '{300,1499 300 ch_a}', 'case 1: once');
select is_empty('select * from ledger.verify()', 'case 1: verify agrees');

-- Case 1: before their parent --------------------------------------------------------------------
select stripe_customer('friend');
create function tests.first_words(name text)
returns jsonb[]
language sql stable
return array[
    tests.subscription_object(name, 'friend', 'basic'), tests.invoice_object(name, name, array[tests.whole('basic')]),
    tests.invoice_payment(name), tests.invoice_intent(name, 499),
    jsonb_build_object(
        'object', 'refund', 'id', 're_' || name, 'status', 'succeeded', 'amount', 499, 'currency', 'usd',
        'payment_intent', 'pi_' || name, 'reason', 'duplicate')];
-- All 120 orders of a subscription, its first invoice, what paid it, the intent, and a refund: each of another subscription.
create temp table orders as
with recursive picks as (
    select array[i] as picked from generate_series(1, 5) as i
    union all
    select p.picked || i from picks as p cross join generate_series(1, 5) as i where i <> all (p.picked)
)
select 'order' || array_to_string(p.picked, '') as name, p.picked from picks as p where cardinality(p.picked) = 5;
select is((select count(*) from orders), 120::bigint, 'there are 120 orders');
do $do$
declare
    v_order record;
begin
    for v_order in select * from orders order by name loop
        perform tests.tell((tests.first_words(v_order.name))[i]) from unnest(v_order.picked) as i;
    end loop;
end
$do$;
select is_empty('select unsettled()', 'case 1: in every order all of it was applied, without the worker');
select is(
    (select count(*) from orders as o where known(o.name) = 'basic active'), 120::bigint, 'case 1: every subscription is known');
select is(
    (select count(*) from orders as o where paid(o.name) = array['499 100 ch_' || o.name]), 120::bigint,
    'case 1: paid once, with its charge');
select is(
    (select count(*) from app.refunds as r inner join app.payments as p on p.id = r.payment_id
        where p.user_id = user_id('friend') and r.status = 'succeeded' and r.credits = 100), 120::bigint,
    'case 5: each refund took its allowance');
select is(balance('friend'), 0::bigint, 'case 5: nothing is left of them');
select is_empty('select * from ledger.verify()', 'case 1: verify agrees');
select app.import_stripe_balance_transactions((
    select jsonb_agg(jsonb_build_object(
        'id', 'txn_' || l.id, 'type', l.type, 'amount', l.cents, 'fee', 0, 'net', l.cents, 'currency', 'usd', 'source', l.id,
        'created', epoch(now())))
    from (
        select 'ch_a', 'charge', 1499
        union all
        select 'ch_' || o.name, 'charge', 499 from orders as o
        union all
        select 're_' || o.name, 'refund', -499 from orders as o
    ) as l (id, type, cents)));
select is_empty('select * from app.reconcile()', 'case 1: Stripe''s statement says the same');

-- Parked for the worker: what waits for an invoice that came otherwise.
select is(tell(invoice_payment('late')), 'parked', 'a payment of an invoice that nobody knows waits');
select is(app.replay_parked_subscription_events(), 0, 'the worker leaves it alone until then');
select is(tell(invoice_object('late', 'nobody', array[whole('basic')])), 'parked', 'so does an invoice of no subscription');
select is(app.replay_parked_subscription_events(), 0, 'both of them');
select is(tell(subscription_object('nobody', 'stranger', 'basic')), 'ignored', 'a subscription of somebody else''s customer is not ours');
select is(app.replay_parked_subscription_events(), 0, 'what waits for it waits on');
update app.stripe_events set state = 'ignored', waits_for = null where state = 'parked';

-- Older news, and news of one second --------------------------------------------------------------
select is(tell(subscription_object('one', 'reader', 'basic', 'past_due'), now() - interval '1 hour'), 'applied', 'older news');
select is(known('one'), 'premium active', 'change nothing');
select results_eq(
    $$ select * from app.subscriptions_to_read(false, 'news', 10) $$, $$ values ('sub_one') $$, 'but are looked into');
select lives_ok(
    $$ select app.record_subscription(subscription_object('one', 'reader', 'premium')
        || jsonb_build_object('happened_at', now() + interval '1 minute')) $$, 'Stripe says how it is');
select is_empty($$ select * from app.subscriptions_to_read(false, 'news', 10) $$, 'and all is known');
select is(tell(subscription_object('one', 'reader', 'premium', 'past_due'), now() + interval '2 minutes'), 'applied', 'late news');
select is(tell(subscription_object('one', 'reader', 'premium'), now() + interval '2 minutes'), 'applied', 'and others of the same second');
select is(known('one'), 'premium active', 'what came last is believed');
select isnt_empty($$ select * from app.subscriptions_to_read(false, 'news', 10) $$, 'until Stripe was asked');
select is(tell(subscription_object('one', 'reader', 'premium', 'incomplete'), now() + interval '2 minutes'), 'applied', 'how it began');
select is(known('one'), 'premium active', 'was before, though');
select is(tell(subscription_object('ended', 'reader', 'premium', 'canceled'), now() + interval '2 minutes'), 'applied', 'an end');
select is(
    tell(subscription_object('ended', 'reader', 'premium', 'active'), now() + interval '2 minutes'), 'applied', 'and what was before');
select is(known('ended'), 'premium canceled', 'of the same second: it has ended');
select app.record_subscription(
    subscription_object('ended', 'reader', 'premium', 'canceled') || jsonb_build_object('happened_at', now() + interval '3 minutes'));
select app.record_subscription(subscription_object('one', 'reader',
    'premium') || jsonb_build_object('happened_at', now() + interval '3 minutes'));
select is_empty($$ select * from app.subscriptions_to_read(false, 'stale', 10) $$, 'nothing is old');
update app.subscriptions set read_at = now() - interval '25 hours' where id = subscription('one');
select results_eq(
    $$ select * from app.subscriptions_to_read(false, 'stale', 10) $$, $$ values ('sub_one') $$, 'what was not heard of for a day is');
select is_empty($$ select * from app.subscriptions_to_read(true, 'stale', 10) $$, 'in its own mode');

-- States ------------------------------------------------------------------------------------------
select told();
select is(
    tell(invoice_object('next', 'one', array[whole('premium')], status => 'open')), 'applied', 'the next payment does not go through');
select is(
    tell(invoice_object('next', 'one', array[whole('premium')], status => 'open', changes => '{"attempt_count": 2}')), 'applied', 'twice');
select is(turn('past_due'), 'premium past_due, premium', 'it is late, and all goes on for now');
select is(told(), array['subscription_payment_failed: Your payment of $14.99 for Premium did not go through'], 'the payer is told once');
select is(
    (select n.data ->> 'url' from app.notices as n where n.kind = 'subscription_payment_failed'), 'https://invoice.example/next',
    'with where to pay');
select is(credits(), 300::bigint, 'no credits for what was not paid');
select is(turn('unpaid'), 'premium unpaid, free', 'in the end it gives nothing');
select is(told(), array['subscription_ended: Premium has ended'], 'and that is told');
select is(pay_invoice('next', 'one', array[whole('premium')]), 'applied applied applied', 'then it is paid after all');
select is(turn('active'), 'premium active, premium', 'and goes on');
select is(credits(), 600::bigint, 'with its credits');
select is(turn('paused'), 'premium paused, free', 'paused it gives nothing');
select is(told(), '{}', 'which who pauses it knows');
select is(turn('active'), 'premium active, premium', 'resumed it does');
select is(
    turn('active', '{"cancel_at_period_end": true, "canceled_at": 1790000000}'), 'premium active ending, premium', 'canceled by the API');
select is(turn('active'), 'premium active, premium', 'and kept');
select is(
    turn('active', jsonb_build_object('cancel_at', epoch(now() + interval '20 days'))), 'premium active ending, premium',
    'the portal says when it ends');
select told();
select is(
    turn('canceled', jsonb_build_object('ended_at', epoch(now()), 'canceled_at', epoch(now()))), 'premium canceled, free', 'it has ended');
select is(told(), array['subscription_ended: Premium has ended'], 'and that is told');
select is(credits(), 600::bigint, 'what was paid for stays to the period''s end');
select ok(
    (select s.ended_at is not null and s.canceled_at is not null from app.subscriptions as s where s.id = subscription('one')),
    'it says when');
select is_empty(
    $$ select * from app.subscriptions_to_read(false, 'stale', 10) where subscriptions_to_read = 'sub_one' $$,
    'and is not asked for again');
select is(turn('incomplete_expired', name => 'never'), 'premium incomplete_expired, free', 'one that never began');
select is(told(), '{}', 'is nothing to tell');

-- What is not ours --------------------------------------------------------------------------------
select is(
    tell(subscription_object('unknown', 'reader', 'basic', changes => '{"metadata": {}}')), 'ignored', 'a subscription to something else');
select is(
    tell(subscription_object('unknown', 'reader', 'basic', changes => '{"metadata": {"plan_id": "no uuid"}}')), 'ignored',
    'or to nonsense');
select is(tell(invoice_object('unknown', 'unknown', array[whole('basic')])), 'parked', 'its invoices wait for nothing');
select is(
    tell(invoice_object('bill', 'one', array[whole('basic')], changes => '{"parent": null}')), 'ignored', 'an invoice of no subscription');
select is(tell(invoice_payment('bill') || '{"status": "open"}'), 'ignored', 'a payment that was not made');
select is(
    tell(invoice_object('euro', 'one', array[whole('basic')], changes => '{"currency": "eur"}')), 'failed',
    'another currency is for the operator');
select is(
    (select e.error from app.stripe_events as e where e.object_id = 'in_euro'), 'A subscription is paid in US dollars here. eur',
    'who sees why');
select is(
    tell(invoice_object('void', 'one', array[whole('basic')], status => 'void')), 'applied', 'an invoice that was taken back');
select is(
    (select count(*) from app.invoice_allowances where stripe_invoice_id in ('in_euro', 'in_void')), 0::bigint, 'neither brought anything');

select * from finish();
rollback;
