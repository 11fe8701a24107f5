-- stripe: the outbox, everybody's customer at Stripe, and how far Stripe's lists were read.
begin;
\ir helpers.psql
select plan(92);

select count(create_person(p)) from unnest(array['reader', 'other', 'operator']) as p;

create function tests.request(request_id text)
returns text
language sql stable
return (
    select concat_ws(' ', r.state, 'after ' || r.attempts, 'as ' || r.stripe_id, 'because ' || r.error_code || ': ' || r.error_message)
    from app.stripe_requests as r where r.id = request.request_id::uuid);
comment on function tests.request(text) is 'Where a request stands, in one line.';

create function tests.ask(name text, livemode boolean default false)
returns text
language plpgsql volatile
as $$
declare
    v_customer record;
begin
    v_customer := app.stripe_customer(ask.livemode);
    perform tests.note(ask.name, v_customer.request_id::text);
    return coalesce(v_customer.stripe_customer_id, 'to be asked');
end;
$$;
comment on function tests.ask(text, boolean) is 'The caller''s customer; the request that makes one is noted.';

create function tests.customer(request text, id text, changes jsonb default '{}')
returns jsonb
language sql stable
return jsonb_build_object(
    'id', id, 'object', 'customer', 'livemode', false,
    'metadata', jsonb_build_object('request_id', tests.noted(request))) || changes;

-- Customers -----------------------------------------------------------------------------------

select is(
    refusal('select app.stripe_customer(false)'),
    'PT401 login_required: Please sign in first. The call carries no token with a subject.', 'nobody is no customer');
select sign_in('none', jsonb_build_object('sub', user_id('newcomer'), 'role', 'authenticated', 'email', 'new@example.org'));
select is(ask('first'), 'to be asked', 'who buys for the first time has to be made known to Stripe');
select results_eq(
    $$ select user_id, kind, subject_id, parameters, idempotency_key, is_live, state, stripe_id, attempts, answered_at,
           next_attempt_at > now() + interval '25 seconds'
       from app.stripe_requests where id = tests.noted('first')::uuid $$,
    $$ values (
        tests.user_id('newcomer'), 'customer', tests.user_id('newcomer'),
        jsonb_build_object('email', 'new@example.org', 'metadata', jsonb_build_object(
            'user_id', tests.user_id('newcomer'), 'request_id', tests.noted('first'))),
        format('customer-%s-1', tests.user_id('newcomer')), false, 'pending', null, 0, null::timestamptz, true) $$,
    'by a request that carries its own id, with a key of its own, and some time for whoever asked');
select is(ask('second'), 'to be asked', 'asked again before Stripe has answered');
select is(noted('second'), noted('first'), 'it is the same request');
select is(ask('live', true), 'to be asked', 'in live mode');
select isnt(noted('live'), noted('first'), 'it is another one');
select is(
    (select idempotency_key from app.stripe_requests where id = noted('live')::uuid),
    format('customer-%s-2', user_id('newcomer')), 'with another key');
select lives_ok(
    $$ select app.record_stripe_answer(tests.noted('first')::uuid, tests.customer('first', 'cus_1')) $$, 'Stripe answers');
select is(request(noted('first')), 'succeeded after 0 as cus_1', 'the request has succeeded');
select is(ask('first_again'), 'cus_1', 'now there is a customer');
select is(noted('first_again'), null, 'and nothing to ask');
select is(ask('live_again', true), 'to be asked', 'in test mode only');
select is(noted('live_again'), noted('live'), 'live mode still waits');
select lives_ok(
    $$ select app.record_stripe_answer(tests.noted('live')::uuid, tests.customer('live', 'cus_2', '{"livemode": true}')) $$,
    'until Stripe answers there');
select results_eq(
    $$ select is_live, stripe_customer_id from app.stripe_customers where user_id = tests.user_id('newcomer') order by is_live $$,
    $$ values (false, 'cus_1'), (true, 'cus_2') $$, 'one customer in each mode');
select is(
    deliver('customer.created', customer('first', 'cus_1')), 'applied', 'the event about the same customer');
select is(deliver('customer.created', customer('first', 'cus_3')), 'applied', 'or about one made twice');
select is(ask('first_again'), 'cus_1', 'changes nothing: the first one stays');
select is(
    deliver('customer.created', customer('nothing', 'cus_4')), 'ignored', 'a customer that was made by hand is ignored');
select is(
    deliver('customer.created', customer('first', 'cus_5', '{"metadata": {"request_id": "not a uuid"}}')), 'ignored',
    'so is one with other metadata');

select claim('other');
select ask('refused');
select is(
    (select parameters from app.stripe_requests where id = noted('refused')::uuid) - 'metadata', '{}'::jsonb,
    'without an address none is sent');
select is(
    deliver('customer.created', customer('refused', 'cus_5', '{"deleted": true}')), 'ignored', 'a deleted customer is nobody''s');
select app.record_stripe_failure(noted('refused')::uuid, 'email_invalid', 'Invalid email address.', true);
select is(
    request(noted('refused')), 'failed after 0 because email_invalid: Invalid email address.', 'Stripe may refuse a customer');
select is(ask('other'), 'to be asked', 'then it is asked anew');
select is(
    (select idempotency_key from app.stripe_requests where id = noted('other')::uuid), format('customer-%s-2', user_id('other')),
    'under a new key: under the old one Stripe would say the same again');
select is(
    deliver('customer.created', customer('refused', 'cus_5')), 'applied',
    'the event of a customer whose answer was lost counts as well');
select is(ask('other_again'), 'cus_5', 'it is theirs');

-- Sending ---------------------------------------------------------------------------------------

select sign_out();
create function tests.pending(name text, kind text default 'customer')
returns text
language plpgsql volatile
as $$
begin
    perform tests.note(
        pending.name,
        app.add_stripe_request(tests.user_id('reader'), pending.kind, app.new_id(), '{"metadata": {"a": "b"}}', false)::text);
    return tests.noted(pending.name);
end;
$$;
comment on function tests.pending(text, text) is 'A request about something of its own.';

select pending('send');
select results_eq(
    $$ select r.kind, r.parameters, r.idempotency_key, r.attempts, r.state, r.stripe_id, r.created_at
       from app.begin_stripe_request(tests.noted('send')::uuid) as r $$,
    $$ select 'customer', jsonb_build_object('metadata', jsonb_build_object('a', 'b', 'request_id', tests.noted('send'))),
           s.idempotency_key, 1, 'pending', null, now()
       from app.stripe_requests as s where s.id = tests.noted('send')::uuid $$,
    'whoever sends a request gets all that has to be sent, and the attempt is counted');
select is(
    (select next_attempt_at from app.stripe_requests where id = noted('send')::uuid), now() + interval '60 seconds',
    'for a minute nobody else will');
select is((app.begin_stripe_request(noted('send')::uuid)).attempts, 2, 'a second attempt has to look the answer up first');
select is(
    refusal($$ select app.begin_stripe_request(app.new_id()) $$),
    'PT404 stripe_request_not_found: There is no such request.', 'a request that is not there is 404');
select is(
    refusal($$ select app.begin_stripe_request(null) $$),
    'PT404 stripe_request_not_found: There is no such request.', 'so is none');
select app.record_stripe_answer(noted('send')::uuid, customer('send', 'cus_send'));
select results_eq(
    $$ select r.state, r.stripe_id, r.attempts from app.begin_stripe_request(tests.noted('send')::uuid) as r $$,
    $$ values ('succeeded', 'cus_send', 2) $$, 'what was answered is not sent again');

-- The worker ------------------------------------------------------------------------------------

-- Set aside what was asked for above.
update app.stripe_requests set next_attempt_at = 'infinity' where state = 'pending';
create function tests.due(name text, seconds integer)
returns void
language sql volatile
as $$
    update app.stripe_requests set next_attempt_at = now() - make_interval(secs => seconds) where id = tests.noted(name)::uuid;
$$;
select pending('new'), pending('a'), pending('b'), pending('c'), pending('done');
select is_empty('select * from app.claim_stripe_requests(10, false)', 'what was just asked for is left to whoever asked');
select due('a', 1), due('b', 3), due('c', 2), due('done', 5);
select app.record_stripe_answer(noted('done')::uuid, customer('done', 'cus_done'));
select set_eq(
    'select r.id::text, r.attempts, r.state from app.claim_stripe_requests(2, false) as r',
    $$ values (tests.noted('b'), 1, 'pending'), (tests.noted('c'), 1, 'pending') $$, 'the worker takes what has waited longest, so many');
select results_eq(
    'select r.id::text, r.kind, r.parameters, r.idempotency_key, r.attempts, r.state, r.stripe_id, r.created_at
     from app.claim_stripe_requests(10, false) as r',
    $$ select s.id::text, s.kind, s.parameters, s.idempotency_key, 1, 'pending', null, now()
       from app.stripe_requests as s where s.id = tests.noted('a')::uuid $$, 'then the next, with all that has to be sent');
select is_empty('select * from app.claim_stripe_requests(10, false)', 'what is taken is not taken twice');
select is_empty(
    $$ select r.id from app.stripe_requests as r
       where r.id in (tests.noted('a')::uuid, tests.noted('b')::uuid, tests.noted('c')::uuid)
           and r.next_attempt_at <> now() + interval '60 seconds' $$, 'for a minute');
select due('a', 0);
select results_eq(
    'select r.id::text, r.attempts from app.claim_stripe_requests(10, false) as r', $$ values (tests.noted('a'), 2) $$,
    'what a worker that died left behind is taken by the next');
select is_empty('select * from app.claim_stripe_requests(0, false)', 'none is none');

-- Failures --------------------------------------------------------------------------------------

select app.record_stripe_failure(noted('a')::uuid, 'api_connection_error', 'Nobody answered.', false);
select is(
    request(noted('a')), 'pending after 2 because api_connection_error: Nobody answered.', 'a passing failure leaves the request');
select is_empty('select * from app.claim_stripe_requests(10, false)', 'it is not tried again at once');

create function tests.waits(attempts integer, times integer default 40)
returns int4range
language plpgsql volatile
as $$
declare
    v_seconds integer[] := '{}';
begin
    for i in 1 .. waits.times loop
        update app.stripe_requests set attempts = waits.attempts where id = tests.noted('a')::uuid;
        perform app.record_stripe_failure(tests.noted('a')::uuid, 'x', 'x', false);
        v_seconds := v_seconds || (
            select ceil(extract(epoch from r.next_attempt_at - now()))::integer
            from app.stripe_requests as r where r.id = tests.noted('a')::uuid);
    end loop;
    return (select int4range(min(s), max(s), '[]') from unnest(v_seconds) as s);
end;
$$;
comment on function tests.waits(integer, integer) is 'The shortest and the longest wait after so many attempts, in seconds.';
select ok(tests.waits(attempts) <@ allowed, format('after %s attempts between %s seconds are waited', attempts, allowed))
from (values
    (0, '[3,5]'::int4range), (1, '[5,10]'), (2, '[10,20]'), (5, '[80,160]'), (9, '[1280,2560]'), (10, '[1800,3600]'),
    (12, '[1800,3600]'), (1000, '[1800,3600]'), (2147483647, '[1800,3600]')
) as backoff (attempts, allowed);
select ok(upper(w) - lower(w) > 100, 'and not all the same: who failed together does not come back together')
from tests.waits(10) as w;

select app.record_stripe_failure(noted('b')::uuid, repeat('c', 300), repeat('m', 2000), true);
select results_eq(
    $$ select state, length(error_code), length(error_message), answered_at from app.stripe_requests where id = tests.noted('b')::uuid $$,
    $$ values ('failed', 200, 1000, now()) $$, 'a permanent failure ends a request, with as much of the reason as fits');
select is((app.begin_stripe_request(noted('b')::uuid)).state, 'failed', 'it is not sent again');
select due('b', 10);
select is_empty('select * from app.claim_stripe_requests(10, false)', 'nor taken by the worker');
select app.record_stripe_failure(noted('b')::uuid, 'later', 'Again.', false);
select alike(request(noted('b')), 'failed after 1 because cc%', 'and what comes after is too late');
select app.record_stripe_failure(noted('done')::uuid, 'later', 'Again.', true);
select is(request(noted('done')), 'succeeded after 0 as cus_done', 'nothing that succeeded fails afterwards');
select lives_ok($$ select app.record_stripe_failure(app.new_id(), 'x', 'x', true) $$, 'a failure of nothing is nothing');

-- An hour, and refunds for ever.
create function tests.older(name text, age interval)
returns text
language plpgsql volatile
as $$
begin
    update app.stripe_requests set created_at = now() - older.age where id = tests.noted(older.name)::uuid;
    perform app.record_stripe_failure(tests.noted(older.name)::uuid, 'api_error', 'No.', false);
    return tests.request(tests.noted(older.name));
end;
$$;
select is(tests.older('c', '1 hour'), 'pending after 1 because api_error: No.', 'for an hour a customer is asked for');
select is(tests.older('c', '1 hour 1 second'), 'failed after 1 because api_error: No.', 'then no more');
select pending('back', 'refund');
select is(
    tests.older('back', '1 year'), 'pending after 0 because api_error: No.', 'money that has to go back has to go back, after a year too');

-- Answers -----------------------------------------------------------------------------------------

select note('bought', start_payment('reader')::text);
select note('request', (select r.id::text from app.stripe_requests as r where r.subject_id = payment('bought')));
select results_eq(
    $$ select r.kind, r.parameters -> 'metadata', r.idempotency_key, r.is_live
       from app.stripe_requests as r where r.id = tests.noted('request')::uuid $$,
    $$ values (
        'payment_intent',
        jsonb_build_object(
            'payment_id', tests.noted('bought'), 'user_id', tests.user_id('reader'), 'request_id', tests.noted('request')),
        format('payment_intent-%s-1', tests.noted('bought')), false) $$,
    'a payment''s request names the payment and itself');
select app.begin_stripe_request(noted('request')::uuid);
select lives_ok(
    $$ select app.record_stripe_answer(tests.noted('request')::uuid, tests.payment_intent(tests.payment('bought'))) $$,
    'an answer takes effect');
select is(request(noted('request')), 'succeeded after 1 as ' || stripe_id('pi', payment('bought')), 'the request has succeeded');
select is(balance('reader'), 110::bigint, 'like an event''s');
select lives_ok(
    $$ select app.record_stripe_answer(
        tests.noted('request')::uuid, tests.payment_intent(tests.payment('bought'), changes => '{"id": "pi_other"}')) $$,
    'a second answer');
select is(request(noted('request')), 'succeeded after 1 as ' || stripe_id('pi', payment('bought')), 'comes too late');
select is(deliver('payment_intent.succeeded', payment_intent(payment('bought'))), 'applied', 'the event');
select is(balance('reader'), 110::bigint, 'brings nothing twice');
select lives_ok(
    $$ select app.record_stripe_answer(app.new_id(), tests.payment_intent(tests.payment('bought'), changes => '{"amount_received": 1}')) $$,
    'an answer to nothing is nothing');

select note('lost', start_payment('reader')::text);
select note('request', (select r.id::text from app.stripe_requests as r where r.subject_id = payment('lost')));
select app.record_stripe_failure(noted('request')::uuid, 'api_error', 'No.', true);
select is((select status from app.payments where id = payment('lost')), 'failed', 'a request that fails takes its payment along');
select is(
    refusal(format('select app.record_stripe_answer(%L, %L)', noted('request'), payment_intent(payment('lost')))), 'allowed',
    'when Stripe did it all the same');
select is(
    request(noted('request')), 'succeeded after 0 as ' || stripe_id('pi', payment('lost')),
    'the answer counts for more than the failure before');
select is(balance('reader'), 220::bigint, 'and the money as well');

select note('short', start_payment('reader')::text);
select note('request', (select r.id::text from app.stripe_requests as r where r.subject_id = payment('short')));
select is(
    refusal(format(
        'select app.record_stripe_answer(%L, %L)', noted('request'),
        payment_intent(payment('short'), changes => '{"amount_received": 498}'))),
    'PT422 amount_mismatch: Another amount was paid than was asked for. 498 usd instead of 499 usd',
    'an answer that cannot be is refused');
select is(request(noted('request')), 'pending after 0', 'and the request stays as it was');

-- Refunds: the edge's call from beginning to end, as the role that the edge has --------------------------

select note('back', ask_refund(payment('bought'), 100)::text);
select note('request', (select r.id::text from app.stripe_requests as r where r.subject_id = noted('back')::uuid));
set local role edge;
select results_eq(
    $$ select r.kind, r.parameters from app.begin_stripe_request(tests.noted('request')::uuid) as r $$,
    $$ values ('refund', jsonb_build_object(
        'payment_intent', tests.stripe_id('pi', tests.payment('bought')), 'amount', 100, 'reason', 'requested_by_customer',
        'metadata', jsonb_build_object(
            'refund_id', tests.noted('back'), 'payment_id', tests.noted('bought'), 'request_id', tests.noted('request')))) $$,
    'a refund''s request names the payment, the refund and itself');
select app.record_stripe_answer(
    noted('request')::uuid,
    refund_object(
        payment('bought'), 'back', 100,
        changes => jsonb_build_object('metadata', jsonb_build_object('refund_id', noted('back')))));
reset role;
select results_eq(
    $$ select status, stripe_refund_id, credits from app.refunds where id = tests.noted('back')::uuid $$,
    $$ values ('succeeded', 're_back', 22::bigint) $$, 'the answer is the refund');

-- Of another mode, without an id, about a customer that is gone ---------------------------------------
select note('test_mode', tests.start_payment('reader')::text);
update app.stripe_requests set next_attempt_at = now() where subject_id = noted('test_mode')::uuid;
select is_empty(
    $$ select r.id from app.claim_stripe_requests(10, true) as r $$, 'a live key does not send what was begun in test mode');
select is(
    refusal($$ select app.record_stripe_answer(app.new_id(), '{"object": "payment_intent"}') $$),
    'PT400 invalid_answer: This is not an object of Stripe.', 'what has no id is no answer');
select app.record_stripe_failure(r.id, 'resource_missing', 'No such customer: cus_reader', true)
from app.stripe_requests as r where r.subject_id = noted('test_mode')::uuid;
select is_empty(
    $$ select * from app.stripe_customers where user_id = tests.user_id('reader') $$,
    'a customer that somebody removed at Stripe is forgotten');
select tests.claim('reader');
select is(
    (select c.stripe_customer_id is null and c.request_id is not null from app.stripe_customer(false) as c), true,
    'and made anew with the next payment');
select sign_out();

-- Nothing vanishes ----------------------------------------------------------------------------------

select is(
    refusal(statement),
    'PT403 append_only: Rows of app.stripe_requests are never changed or removed. Post a new row that corrects the old one.',
    format('%s is refused: the next key is counted from them', statement))
from (values ('delete from app.stripe_requests'), ('truncate app.stripe_requests')) as removals (statement);
select is_empty(
    $$ select r.id from app.stripe_requests as r where r.parameters #>> '{metadata,request_id}' is distinct from r.id::text $$,
    'every request carries its id');

-- How far the lists were read -------------------------------------------------------------------------

select is(app.stripe_cursor('events'), 'epoch'::timestamptz, 'at first nothing was read');
select app.move_stripe_cursor('events', '2026-11-21 12:00+00');
select is(app.stripe_cursor('events'), '2026-11-21 12:00+00'::timestamptz, 'then up to there');
select app.move_stripe_cursor('events', '2026-11-21 11:00+00'), app.move_stripe_cursor('events', null);
select is(app.stripe_cursor('events'), '2026-11-21 12:00+00'::timestamptz, 'it never goes back');
select is(app.stripe_cursor('balance_transactions'), 'epoch'::timestamptz, 'each list by itself');
select app.move_stripe_cursor('nothing', now());
select is(app.stripe_cursor('nothing'), null, 'another list there is not');

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
