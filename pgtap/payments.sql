-- payments: money for credits, from the first request to the credits, in whatever order the news come (IP3, K6).
begin;
\ir helpers.psql
\ir alone.psql
select plan(80);

select count(tests.create_person(p)) from unnest(array['reader', 'friend', 'crowd', 'operator']) as p;
select tests.make_package('Small', 3, 0, 100);

create function tests.package_id(name text)
returns uuid
language sql stable security definer
return (select p.id from app.credit_packages as p where p.name = package_id.name);

-- start_payment as the caller, as one line: status, price, credits and bonus.
create function tests.started(
    package text, idempotency_key text default null, customer text default 'cus_reader', method text default 'intent')
returns text
language plpgsql volatile
as $$
declare
    v_payment record;
begin
    select * into v_payment
    from app.start_payment(
        tests.package_id(started.package), started.method, started.customer, false, 'https://app.example/back',
        'https://app.example/stop', started.idempotency_key);
    perform tests.note('started', v_payment.payment_id::text), tests.note('request', v_payment.request_id::text);
    return format(
        '%s %s %s %s+%s', v_payment.status, v_payment.amount_cents, v_payment.currency, v_payment.credits, v_payment.bonus_credits);
end;
$$;

-- What a payment is: its status, its failure, the credits that it brought, its receipt.
create function tests.state(payment_id uuid)
returns text
language sql stable security definer
return (
    select concat_ws(
        ' ', p.status, p.failure_code,
        (select sum(l.credits) from ledger.lots as l where l.payment_id = p.id), 'receipt ' || p.receipt_serial)
    from app.payments as p
    where p.id = state.payment_id
);

create function tests.failed_intent(payment_id uuid)
returns jsonb
language sql stable
return tests.payment_intent(payment_id, 'requires_payment_method', jsonb_build_object(
    'last_payment_error', jsonb_build_object(
        'code', 'card_declined', 'decline_code', 'insufficient_funds', 'message', 'Your card has insufficient funds.')));

create function tests.last_error()
returns text
language sql volatile security definer
return (select e.error from app.stripe_events as e where e.state = 'failed' order by e.handled_at desc limit 1);

-- Beginning -----------------------------------------------------------------------------------
select is(
    refusal($$ select tests.started('Starter Pack') $$),
    'PT401 login_required: Please sign in first. The call carries no token with a subject.', 'nobody pays nothing');
select tests.claim('reader');
select is(
    refusal($$ select tests.started('Starter Pack') $$),
    'PT409 customer_missing: Your customer at Stripe is not ready. Please try again.', 'first one becomes a customer');
select is(tests.stripe_customer('reader'), 'cus_reader', 'which one is');
select is(tests.stripe_customer('friend'), 'cus_friend', 'each for themselves');
select is(
    refusal($$ select tests.started('Starter Pack', customer => 'cus_friend') $$),
    'PT409 customer_missing: Your customer at Stripe is not ready. Please try again.', 'nobody pays as somebody else');
select is(
    refusal($$ select tests.started('Nothing') $$), 'PT404 package_not_found: There is no such package on sale.',
    'what is not there cannot be bought');
update app.credit_packages set is_active = false where name = 'Small';
select matches(refusal($$ select tests.started('Small') $$), '^PT404 package_not_found: ', 'nor what is off sale');
update app.credit_packages set is_active = true, currency = 'eur' where name = 'Small';
select is(
    refusal($$ select tests.started('Small') $$), 'PT422 currency_not_supported: This package cannot be paid for yet. eur',
    'nor what has a price in other money');
update app.credit_packages set currency = 'usd' where name = 'Small';
select matches(refusal($$ select tests.started('Small', '') $$), '^PT400 invalid_idempotency_key: ', 'a key is not empty');
select matches(refusal($$ select tests.started('Small', repeat('k', 201)) $$), '^PT400 invalid_idempotency_key: ', 'nor endless');
select is_empty('select * from app.payments', 'none of that left a payment');

select is(tests.started('Starter Pack', 'key-1'), 'pending 499 usd 100+10', 'IP3: the price is the package''s');
select note('paid', noted('started')), note('first_request', noted('request'));
select is(tests.started('Starter Pack', 'key-1'), 'pending 499 usd 100+10', 'the same key again gets the same answer');
select results_eq(
    $$ select noted('started'), noted('request') $$, $$ select noted('paid'), noted('first_request') $$, 'and the same payment');
select is(
    refusal($$ select tests.started('Small', 'key-1') $$),
    'PT409 idempotency_mismatch: This idempotency key was used for another call. '
    'It first came with start_payment. Use a new key for a new call.', 'another package under the same key is refused');
select matches(
    refusal($$ select tests.started('Starter Pack', 'key-1', method => 'checkout') $$), '^PT409 idempotency_mismatch: ',
    'and another way to pay');
select results_eq(
    $$ select count(*)::integer from app.payments $$, $$ values (1) $$, 'one payment was begun');
select results_eq(
    $$ select kind, subject_id, user_id, parameters, state from app.stripe_requests where kind <> 'customer' $$,
    $$ values ('payment_intent', payment('paid'), user_id('reader'), jsonb_build_object(
        'amount', 499, 'currency', 'usd', 'customer', 'cus_reader', 'description', 'Starter Pack: 110 credits',
        'automatic_payment_methods', jsonb_build_object('enabled', true), 'metadata', jsonb_build_object(
            'payment_id', payment('paid'), 'user_id', user_id('reader'), 'request_id', noted('first_request'))), 'pending') $$,
    'what Stripe is asked for is kept to the letter');

-- Paying --------------------------------------------------------------------------------------
select app.begin_stripe_request(noted('first_request')::uuid);
select app.record_stripe_answer(
    noted('first_request')::uuid, tests.payment_intent(payment('paid'), 'requires_payment_method'));
select is(tests.state(payment('paid')), 'pending', 'an intent alone moves nothing');
update app.credit_packages set price_cents = 1, credits_amount = 1000, name = 'Dearer' where name = 'Starter Pack';
select is(tests.deliver('payment_intent.succeeded', tests.payment_intent(payment('paid')), id => 'evt_first'), 'applied', 'paid');
select is(tests.state(payment('paid')), 'succeeded 110 receipt 1', 'IP3: what was begun is credited, whatever the package is by now');
update app.credit_packages set price_cents = 499, credits_amount = 100, name = 'Starter Pack' where name = 'Dearer';
select is(
    tests.deliver('payment_intent.succeeded', tests.payment_intent(payment('paid')), id => 'evt_first'), 'duplicate',
    'case 1: the same event twice');
select is(tests.pay(payment('paid')), 'applied', 'case 1: another event about the same');
select is(tests.deliver('payment_intent.processing', tests.payment_intent(payment('paid'), 'processing')), 'applied', 'case 1: an old one');
select is(tests.deliver('payment_intent.payment_failed', tests.failed_intent(payment('paid'))), 'applied', 'case 1: a worse one');
select is(app.replay_stripe_event('evt_first'), 'applied', 'case 1: a replay');
select is(tests.state(payment('paid')), 'succeeded 110 receipt 1', 'case 1: still 110, once');
select results_eq(
    $$ select source::text, credits::bigint, paid_microdollars from ledger.lots order by id $$,
    $$ values ('purchase', 100::bigint, 4536363::bigint), ('bonus', 10::bigint, 453637::bigint) $$,
    'the price is shared over all credits, to the micro-dollar');
select results_eq(
    $$ select debit_kind, credit_kind, amount::bigint, reference_type, reference_id, transaction_id, balance_after
       from ledger.transfers where kind = 'charge' $$,
    $$ select 'sales', 'stripe', 4990000::bigint, 'payment', payment('paid'), p.transaction_id, null::bigint from app.payments as p $$,
    'one movement of dollars');
select authenticate_as('reader');
select results_eq(
    $$ select transaction_type, amount, balance_after, description, reference_type, reference_id
       from api.credit_transactions order by id $$,
    $$ values
       ('purchase', 100::bigint, 100::bigint, 'Credits bought', 'purchase', noted('paid')),
       ('bonus', 10::bigint, 110::bigint, 'Bonus credits', 'purchase', noted('paid')) $$,
    'the statement shows 100 and 10');
select results_eq(
    $$ select id, amount_usd, credits_purchased, bonus_credits, status, stripe_payment_intent_id, receipt_number
       from api.payments $$,
    $$ values (payment('paid'), 4.99, 100::bigint, 10::bigint, 'succeeded', tests.stripe_id('pi', payment('paid')),
        format('R-%s-000001', extract(year from now() at time zone 'UTC'))) $$,
    'the payer sees the payment');
select authenticate_as('friend');
select is_empty('select * from api.payments', 'nobody else does');
select tests.sign_out();
select is(
    tests.deliver('charge.succeeded', jsonb_build_object(
        'object', 'charge', 'payment_intent', tests.stripe_id('pi', payment('paid')), 'payment_method_details',
        '{"type": "card", "card": {"brand": "visa", "last4": "4242"}}'::jsonb)), 'applied', 'a charge says how it was paid');
select is(
    tests.deliver('charge.succeeded', '{"object": "charge", "payment_intent": "pi_x", "metadata": {}}'), 'ignored',
    'but of a payment of ours');
select is((select payment_method from app.payments where id = payment('paid')), 'visa 4242', 'visa 4242');
select is_empty('select * from ledger.verify()', 'verify agrees');

-- Every order of the news (case 1) ------------------------------------------------------------
create function tests.permutations(items text[])
returns setof text[]
language sql immutable
as $$
    with recursive p (taken, rest) as (
        select '{}'::text[], items
        union all
        select p.taken || i.item, array_remove(p.rest, i.item) from p cross join lateral unnest(p.rest) as i (item)
    )
    select p.taken from p where p.rest = '{}';
$$;

-- Deliver these news in this order; answers the states that the payment went through.
create function tests.history(news text[])
returns text
language plpgsql volatile
as $$
declare
    v_payment_id constant uuid := tests.start_payment('crowd', 'Small');
    v_news text;
    v_states text[] := '{pending}';
begin
    foreach v_news in array history.news loop
        perform tests.deliver(
            'payment_intent.' || v_news,
            case v_news
                when 'failed' then tests.failed_intent(v_payment_id)
                when 'pending' then tests.payment_intent(v_payment_id, 'requires_payment_method')
                else tests.payment_intent(v_payment_id, v_news) end);
        v_states := v_states || split_part(tests.state(v_payment_id), ' ', 1);
    end loop;
    if v_states <> array(select s from unnest(v_states) as s order by app.payment_rank(s)) then
        return 'went back: ' || v_states::text;
    end if;
    return regexp_replace(tests.state(v_payment_id), ' receipt \d+$', ' receipt');
end;
$$;
select results_eq(
    $$ select tests.history(p), count(*)::integer from tests.permutations('{pending,processing,failed,canceled,succeeded}') as p
       group by 1 $$,
    $$ values ('succeeded 3 receipt', 120) $$, 'case 1: money that came in is credited once, in each of 120 orders');
select results_eq(
    $$ select tests.history(p), count(*)::integer from tests.permutations('{pending,processing,failed,canceled}') as p
       group by 1 order by 1 $$,
    $$ values ('canceled', 12), ('canceled insufficient_funds', 12) $$,
    'case 1: without it a payment ends as canceled, and never goes back');
select is_empty('select * from ledger.verify()', 'verify agrees with 144 histories');

-- Why it failed, and trying again.
select note('declined', tests.start_payment('friend')::text);
select tests.deliver('payment_intent.payment_failed', tests.failed_intent(payment('declined')));
select tests.authenticate_as('friend');
select results_eq(
    $$ select status, failure_code, failure_reason, processed_at is not null, receipt_number from api.payments $$,
    $$ values ('failed', 'insufficient_funds', 'Your card has insufficient funds.', true, null::text) $$,
    'who was declined is told why');
select tests.sign_out();
select tests.pay(payment('declined'));
select results_eq(
    $$ select status, failure_code, failure_reason from app.payments where id = payment('declined') $$,
    $$ values ('succeeded', null::text, null::text) $$, 'another card, and it is forgotten');

-- Checkout ------------------------------------------------------------------------------------
select note('checkout', tests.start_payment('reader', 'Starter Pack', 'checkout')::text);
select results_eq(
    $$ select kind, parameters - 'metadata' - 'payment_intent_data', parameters #> '{payment_intent_data,metadata}'
       from app.stripe_requests where subject_id = payment('checkout') $$,
    $$ values ('checkout_session', jsonb_build_object(
        'mode', 'payment', 'customer', 'cus_reader', 'client_reference_id', payment('checkout'),
        'success_url', 'https://app.example/back', 'cancel_url', 'https://app.example/stop',
        'line_items', jsonb_build_array(jsonb_build_object('quantity', 1, 'price_data', jsonb_build_object(
            'currency', 'usd', 'unit_amount', 499,
            'product_data', '{"name": "Starter Pack: 110 credits"}'::jsonb)))),
        jsonb_build_object('payment_id', payment('checkout'), 'user_id', user_id('reader'))) $$,
    'a checkout asks for the same money');
create function tests.session_result(name text)
returns text
language sql stable security definer
return (
    select concat_ws(' ', r.status, r.package, r.credits, r.balance, r.receipt_number is not null)
    from app.checkout_result(tests.stripe_id('cs_test', tests.payment(name))) as r
);
select is(tests.session_result('checkout'), null, 'an unknown session has no result');
select tests.deliver('checkout.session.created', tests.checkout_session(payment('checkout'), 'open', 'unpaid', '{"payment_intent": null}'));
select is(tests.session_result('checkout'), 'pending Starter Pack 110 110 f', 'an open one waits');
select tests.deliver('checkout.session.completed', tests.checkout_session(payment('checkout'), 'complete', 'unpaid'));
select is(tests.session_result('checkout'), 'processing Starter Pack 110 110 f', 'a slow payment is on its way');
select tests.deliver('checkout.session.async_payment_succeeded', tests.checkout_session(payment('checkout')));
select is(tests.session_result('checkout'), 'succeeded Starter Pack 110 220 t', 'then it is there');
select is((select stripe_charge_id from app.payments where id = payment('checkout')), null, 'a session does not name its charge');
select tests.pay(payment('checkout'));
select is(
    (select stripe_charge_id from app.payments where id = payment('checkout')), tests.stripe_id('ch', payment('checkout')),
    'the intent does, and credits nothing more');
select is(tests.balance('reader'), 220::bigint, 'once');
select note('backwards', tests.start_payment('reader', 'Starter Pack', 'checkout')::text);
select tests.pay(payment('backwards'));
select is(tests.session_result('backwards'), null, 'the intent before the session:');
select tests.deliver('checkout.session.completed', tests.checkout_session(payment('backwards')));
select is(tests.session_result('backwards'), 'succeeded Starter Pack 110 330 t', 'credited once');
select note('abandoned', tests.start_payment('reader', 'Starter Pack', 'checkout')::text);
select tests.deliver('payment_intent.payment_failed', tests.failed_intent(payment('abandoned')));
select tests.deliver('checkout.session.expired', tests.checkout_session(payment('abandoned'), 'expired', 'unpaid'));
select is(tests.state(payment('abandoned')), 'canceled insufficient_funds', 'who gives up after a decline keeps its reason');
select is(
    tests.deliver('checkout.session.completed', tests.checkout_session(payment('checkout'), changes => '{"id": "cs_other"}')), 'ignored',
    'another session for the same payment is not ours');
select is(
    tests.deliver('checkout.session.completed', tests.checkout_session(payment('checkout'), changes => '{"mode": "setup"}')), 'ignored',
    'nor one that is not for money');

-- What does not fit ---------------------------------------------------------------------------
select note('odd', tests.start_payment('friend')::text);
select is(
    array(select tests.deliver('payment_intent.succeeded', tests.payment_intent(payment('odd'), changes => c))
            || ': ' || tests.last_error()
            from unnest(array['{"amount_received": 498}', '{"amount_received": null}', '{"currency": "eur"}']::jsonb[]) as c),
    array[
        'failed: Another amount was paid than was asked for. 498 usd instead of 499 usd',
        'failed: Another amount was paid than was asked for.  usd instead of 499 usd',
        'failed: Another amount was paid than was asked for. 499 eur instead of 499 usd'],
    'another amount or other money is kept for the operator');
select is(tests.state(payment('odd')), 'pending', 'and brings nothing');
select is(
    tests.deliver('payment_intent.succeeded', tests.payment_intent(payment('declined'), changes => '{"id": "pi_second"}'))
    || ': ' || tests.last_error(),
    format('failed: This payment was made with another intent already. Refund one of them at Stripe. payment %s: %s and pi_second',
        payment('declined'), tests.stripe_id('pi', payment('declined'))),
    'paid twice: the second is kept for the operator');
select is(
    tests.deliver('payment_intent.processing', tests.payment_intent(payment('declined'), 'processing', '{"id": "pi_second"}')),
    'ignored', 'as long as it is not paid, another intent is nothing');
select is(
    tests.deliver('payment_intent.succeeded', tests.payment_intent(payment('odd'), changes => '{"id": "pi_x", "metadata": {}}')),
    'ignored', 'an intent without our mark is not ours');
select is(
    tests.deliver('payment_intent.succeeded', tests.payment_intent(payment('odd'), changes => '{"metadata": {"payment_id": "; drop"}}')),
    'parked', 'nor is one with a mark that nobody knows');
select is(
    array(select tests.deliver(t, o, 'connect') from (values
        ('payment_intent.succeeded', tests.payment_intent(payment('odd'))),
        ('checkout.session.completed', tests.checkout_session(payment('odd'))),
        ('charge.refunded', tests.refund_object(payment('declined'), 'theirs', 499)),
        ('charge.dispute.closed', tests.dispute_object(payment('declined'), 'theirs', 499, 'lost'))) as v (t, o)),
    '{ignored,ignored,ignored,ignored}', 'what a connected account says of our payments moves nothing');
select is(
    tests.deliver('checkout.session.completed', tests.checkout_session(
        payment('odd'), changes => jsonb_build_object('metadata', jsonb_build_object('payment_id', app.new_id())))),
    'parked', 'a session of a payment that is not there yet waits for it');
select is(tests.state(payment('odd')), 'pending', 'not a credit');
select is(tests.balance('friend'), 110::bigint, 'to nobody');

-- Stripe refuses.
select app.record_stripe_failure(r.id, 'parameter_invalid', 'No such customer.', true)
from app.stripe_requests as r where r.subject_id = payment('odd');
select is(tests.state(payment('odd')), 'failed parameter_invalid', 'a request that Stripe refuses ends its payment');
select app.record_stripe_failure(r.id, 'api_error', 'Later.', false)
from app.stripe_requests as r where r.subject_id = payment('abandoned');
select is(tests.state(payment('abandoned')), 'canceled insufficient_funds', 'one that may succeed later does not');
select app.record_stripe_failure(r.id, 'gone', 'Gone.', true) from app.stripe_requests as r where r.subject_id = payment('backwards');
select matches(tests.state(payment('backwards')), '^succeeded 110 ', 'and money that is there stays');
select is_empty('select * from ledger.verify()', 'verify agrees with what went wrong');

-- How often -----------------------------------------------------------------------------------
select is(
    array(select app.count_call('payment', user_id('reader')::text) > 0 from generate_series(1, 12)),
    array_fill(false, array[10]) || array[true, true], 'ten payments at once, then one must wait');
select is(app.count_call('payment', user_id('friend')::text), 0, 'nobody else must');

-- Figures -------------------------------------------------------------------------------------
select authenticate_as_service('operator');
select results_eq(
    $$ select started, succeeded, failed, canceled, waiting, success_basis_points, charged_cents, refunded_cents, disputed_cents,
           failure_reasons, events_parked, events_failed from api.payment_figures() $$,
    $$ values (150::bigint, 124::bigint, 1::bigint, 25::bigint, 0::bigint, 9920::bigint, 13996::bigint, 0::bigint, 0::bigint,
        '{"parameter_invalid": 1}'::jsonb, 2::bigint, 4::bigint) $$, 'the operator sees how payments do');
select is(
    array(select refusal(format('select api.payment_figures(%s)', d)) from unnest(array['0', '3661', 'null']) as d),
    array_fill('PT400 invalid_days: Please ask for 1 to 3660 days.'::text, array[3]), 'for some days');
select tests.sign_out();

-- Nothing vanishes; what verify sees (K8) -----------------------------------------------------
select is(
    array(select left(refusal(s), 19) from unnest(array[
        'delete from app.payments', 'truncate app.payments cascade', 'truncate app.refunds', 'truncate app.disputes']) as s),
    array_fill('PT403 append_only: '::text, array[4]), 'no payment vanishes');
select is(tests.seen_after(statement), seen, format('K8: verify sees %s', what))
from (values
    ('another price', $$ update app.payments set amount_cents = 500 where id = payment('paid') $$,
        array['payment: 500 cents for 110 credits, the ledger says 4990000 micro-dollars, 110 credits worth 4990000']),
    ('other credits', $$ update app.payments set bonus_credits = 0 where id = payment('paid') $$,
        array['payment: 499 cents for 100 credits, the ledger says 4990000 micro-dollars, 110 credits worth 4990000']),
    ('a payment that was not made',
        $$ update app.payments set status = 'succeeded', transaction_id = app.new_id(), receipt_year = 2000, receipt_serial = 1,
               receipt_seller = '{}'
           where id = payment('odd') $$,
        array['payment: 499 cents for 110 credits, the ledger says 0 micro-dollars, 0 credits worth 0']),
    ('a charge that is gone', $$ delete from ledger.transfers where kind = 'charge' and reference_id = payment('paid') $$,
        array['payment: 499 cents for 110 credits, the ledger says 0 micro-dollars, 110 credits worth 4990000']),
    ('a payment that is gone', $$ delete from app.payments where id = payment('paid') $$,
        array['charge_without_payment: 4990000 micro-dollars', 'receipt_serials: 124 numbers were given out, 123 payments have one']),
    ('a number that was given to nobody', 'update app.receipt_serials set last_serial = last_serial + 1',
        array['receipt_serials: 125 numbers were given out, 124 payments have one'])
) as tampering (what, statement, seen);

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
