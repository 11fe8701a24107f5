-- payouts: what operators do with them, in every state; reviews and corrections (IP7, K6).
begin;
\ir helpers.psql
select plan(115);

select count(create_person(p)) from unnest(array['stranger', 'operator']) as p;
select create_creator('maker', 500000000);

-- One payout in each state ------------------------------------------------------------------------
select ask_payout(s, 'maker', 20) from unnest(array['pending', 'processing', 'paid', 'failed', 'held', 'canceled']) as s;
select begin_transfer(s) from unnest(array['processing', 'paid', 'failed']) as s;
select answer_transfer('paid'), fail_transfer('failed', 'account_invalid');
select app.hold_payout(noted('held')::uuid, 'A look.'), app.stop_payout(noted('canceled')::uuid, 'No.');

create function tests.attempt(call text, name text)
returns text
language plpgsql volatile
as $$
declare
    v_answer text;
begin
    perform tests.claim('maker');
    v_answer := tests.refusal(format(attempt.call, coalesce(tests.noted(attempt.name), attempt.name)));
    if v_answer = 'allowed' then
        v_answer := format(
            '%s | %s | %s%s', tests.payout_of(attempt.name), array_to_string(tests.asked_of_stripe(attempt.name), ', '),
            tests.owed('maker'), (select ', broken: ' || string_agg(v.detail, ', ') from ledger.verify() as v));
    end if;
    raise sqlstate 'UNDO0';
exception
    when sqlstate 'UNDO0' then
        return v_answer;
end;
$$;
comment on function tests.attempt(text, text) is
'What comes of a call about a noted payout: why it was refused, or the payout, what Stripe is asked, and the money. It is undone.';

create temp table attempts (call text, state text, expected text);
grant select on attempts to public;
insert into attempts values
('select app.hold_payout(%L, ''Why.'')', 'pending', 'held 2000 held: Why. | withdrawn after 0 | 420000000 | 60000000 | 20000000'),
('select app.hold_payout(%L, ''Why.'')', 'held', 'held 2000 held: Why. | withdrawn after 0 | 420000000 | 60000000 | 20000000'),
('select app.release_payout(%L)', 'held', 'pending 2000 | withdrawn after 0, pending after 0 | 420000000 | 60000000 | 20000000'),
(
    'select app.stop_payout(%L, '' Why. '')', 'pending',
    'canceled 2000 because canceled_by_operator: Why. | withdrawn after 0 | 440000000 | 40000000 | 20000000'
),
(
    'select app.stop_payout(%L, '' Why. '')', 'held',
    'canceled 2000 because canceled_by_operator: Why. | withdrawn after 0 | 440000000 | 40000000 | 20000000'
),
(
    'select app.cancel_payout(%L)', 'pending',
    'canceled 2000 because canceled_by_creator: You canceled it. | withdrawn after 0 | 440000000 | 40000000 | 20000000'
),
(
    'select app.cancel_payout(%L)', 'held',
    'PT409 payout_held: A person looks at this payout. It cannot be canceled until that is done. A look.'
),
('select app.retry_payout(%L)', 'pending', 'pending 2000 | pending after 0 | 420000000 | 60000000 | 20000000'),
('select app.retry_payout(%L)', 'processing', 'processing 2000 | pending after 1 | 420000000 | 60000000 | 20000000'),
(
    'select app.retry_payout(%L)', 'failed',
    'failed 2000 because account_invalid: Your Stripe account is not connected any more. | failed after 1 | 400000000 | 80000000 | 20000000'
);
insert into attempts
select c.call, s.state, format(c.refusal, s.state)
from (values
    ('select app.hold_payout(%L, ''Why.'')', 'PT409 payout_not_pending: It is too late: this payout cannot be stopped any more. It is %s.'),
    ('select app.stop_payout(%L, '' Why. '')',
        'PT409 payout_not_pending: It is too late: this payout cannot be stopped any more. It is %s.'),
    ('select app.cancel_payout(%L)', 'PT409 payout_not_pending: It is too late: this payout cannot be stopped any more. It is %s.'),
    ('select app.release_payout(%L)', 'PT409 payout_not_held: Only a payout that is held can be released. It is %s.'),
    ('select app.retry_payout(%L)',
        'PT409 payout_not_failed: Only a payout that failed, or was not answered yet, can be tried again. It is %s.')
) as c (call, refusal)
cross join unnest(array['pending', 'processing', 'paid', 'failed', 'held', 'canceled']) as s (state)
where not exists (select from attempts as a where a.call = c.call and a.state = s.state);
insert into attempts
select format(c.call, '%L', ''), name, 'PT404 payout_not_found: There is no such payout.'
from (values
    ('select app.hold_payout(%s, ''Why.'')'), ('select app.stop_payout(%s, ''Why.'')'), ('select app.cancel_payout(%s)'),
    ('select app.release_payout(%s)'), ('select app.retry_payout(%s)')
) as c (call)
cross join (values (null), ('00000000-0000-0000-0000-000000000001')) as n (name);
select is(tests.attempt(call, state), expected, format('IP7: %s of %s', substring(call from 'app\.(\w+)'), coalesce(state, 'none')))
from attempts;
select is(
    refusal(format('select app.%s(%L, %L)', name, noted('pending'), reason)), expected, format('%s because of %L', name, left(reason, 5)))
from unnest(array['hold_payout', 'stop_payout']) as name
cross join (values
    (null, 'PT400 text_required: Please give the reason.'), (' ', 'PT400 text_required: Please give the reason.'),
    (repeat('x', 501), 'PT400 text_too_long: The reason is too long. It has 501 characters; at most 500 are allowed.')
) as v (reason, expected);

-- Holding and letting go ------------------------------------------------------------------------------
select sign_out();
select app.release_payout(noted('held')::uuid);
select is(
    (select idempotency_key from app.stripe_requests where id = transfer_request('held')), format('transfer-%s-2', noted('held')),
    'what was held is asked for under a new key');
select set_eq(
    $$ select r.id from app.claim_stripe_requests(100, false) as r where r.parameters #>> '{metadata,payout_id}' = tests.noted('held') $$,
    $$ select tests.transfer_request('held') $$, 'IP7: and only by it: what was withdrawn is never sent');
select is(payout_of('held'), 'processing 2000', 'it goes its way');
select is(
    refusal(format('select app.hold_payout(%L, ''Too late.'')', noted('held'))),
    'PT409 payout_not_pending: It is too late: this payout cannot be stopped any more. It is processing.', 'then it is too late');
select is(answer_transfer('held'), 'paid 2000 by tr_held', 'and arrives');
select ask_payout('two', 'maker', 20);
select app.hold_payout(noted('two')::uuid, 'First.'), app.release_payout(noted('two')::uuid), app.hold_payout(noted('two')::uuid, 'Again.');
select is(asked_of_stripe('two'), '{withdrawn after 0,withdrawn after 0}', 'it can be held twice');
select authenticate_as('maker');
select is((select hold_reason from api.payouts where status = 'held'), 'Again.', 'its creator sees why');
select sign_out();
select app.release_payout(noted('two')::uuid);
select set_eq(
    $$ select action, count(*) from app.audit_log where subject = tests.noted('two') group by action $$,
    $$ values ('hold_payout', 2::bigint), ('release_payout', 2::bigint) $$, 'all of it is on record');

-- Trying again -------------------------------------------------------------------------------------------
select note('retry', app.retry_payout(noted('failed')::uuid)::text);
select results_eq(
    $$ select retries_id, batch_id, amount_cents, status from app.payouts where id = tests.noted('retry')::uuid $$,
    $$ values (tests.noted('failed')::uuid, null::uuid, 2000::bigint, 'pending') $$,
        'IP7: a payout that failed is tried again, as another one');
select is(app.retry_payout(noted('failed')::uuid)::text, noted('retry'), 'case 2: once, however often that is asked');
select is(owed('maker'), '380000000 | 80000000 | 40000000', 'the money is set aside once');
select begin_transfer('retry'), fail_transfer('retry', 'api_error');
select note('retry2', app.retry_payout(noted('retry')::uuid)::text);
select is(payout_of('retry2'), 'pending 2000', 'IP7: the second try can be tried a third time');
select is(app.retry_payout(noted('failed')::uuid)::text, noted('retry2'),
    'case 2: asked of the first one, it is the one that is on its way');
select results_eq(
    $$ select details from app.audit_log where action = 'retry_payout' order by id $$,
    $$ values (jsonb_build_object('payout_id', tests.noted('retry'))), (jsonb_build_object('payout_id', tests.noted('retry2'))) $$,
        'on record');
create function tests.failed(name text, handle text)
returns text
language sql volatile
as $$
    select tests.ask_payout(name, handle, 20);
    select tests.begin_transfer(name);
    select tests.fail_transfer(name, 'api_error');
$$;
create function tests.retried(name text)
returns text
language sql volatile
as $$
    select tests.refusal(format('select app.retry_payout(%L)', tests.noted(name)));
$$;
select create_creator('retrier', 20000000);
select failed('again', 'retrier');
select app.adjust_earnings(user_id('retrier'), -1, 'a test', null);
select is(
    retried('again'), 'PT422 not_enough_available: Less is available now than this payout was for. '
    '$19.999999 is available, and $0.00 waits inside the hold.', 'IP7: not with money that is gone');
select app.adjust_earnings(user_id('retrier'), -30000000, 'a test', null);
select alike(retried('again'), 'PT422 not_enough_available: %-$10.000001 is available%', 'nor on credit');
select app.adjust_earnings(user_id('retrier'), 30000001, 'a test', null), app.review_creator(user_id('retrier'), 'a look');
select is(retried('again'), 'PT403 payouts_under_review: Your payouts are being reviewed. We will write to you.', 'nor under review');
select app.end_review(user_id('retrier')), claim('retrier'), app.pause_payouts(true), sign_out();
select is(retried('again'), 'PT409 payouts_paused: You have paused your payouts. Resume them first.', 'nor against the creator''s will');
select claim('retrier'), app.pause_payouts(false), sign_out();
update app.payout_accounts set transfers_status = 'inactive' where user_id = user_id('retrier');
select alike(retried('again'), 'PT403 payout_account_incomplete: Stripe has paused payouts%', 'nor without an account');
update app.payout_accounts set transfers_status = 'active' where user_id = user_id('retrier');
update app.economy set minimum_payout_cents = 100000, payout_review_cents = 2000;
select note('again2', app.retry_payout(noted('again')::uuid)::text);
select is(
    payout_of('again2'), 'held 2000 held: Payouts of this size are looked at by a person first.',
    'IP7: but below a minimum that was raised since, and past nobody who looks at large ones');
update app.economy set minimum_payout_cents = 1000;

-- Large ones ------------------------------------------------------------------------------------------------
select create_creator('large', 100000000);
select is(ask_payout('small', 'large', 19.99), 'pending 1999', 'a small payout is nobody''s concern');
select is(ask_payout('large', 'large', 20), 'held 2000', 'IP7: from a sum on a person looks first');
select is(asked_of_stripe('large'), '{}', 'before Stripe is asked');
select is(owed('large'), '60010000 | 39990000 | 0', 'its money is set aside');
select app.release_payout(noted('large')::uuid);
select is(payout_of('large') || asked_of_stripe('large')::text, 'pending 2000{"pending after 0"}', 'released it is asked for');
select ask_payout('larger', 'large', 30), app.stop_payout(noted('larger')::uuid, 'Not this one.');
select is(payout_of('larger'), 'canceled 3000 because canceled_by_operator: Not this one.', 'or it is stopped');
select authenticate_as('large');
select results_eq(
    'select failure_code, failure_reason from api.payouts where status = ''canceled''',
    $$ values ('canceled_by_operator', 'Not this one.') $$, 'and its creator sees why');
select sign_out();
update app.economy set payout_review_cents = 6000;
select is(ask_payout('third', 'large', 20), 'pending 2000', 'what was sent or waits counts with it, what was canceled does not');
select is(ask_payout('split', 'large', 10), 'held 1000', 'IP7: several small ones are as good as a large one');
update app.economy set payout_review_cents = null;

-- Reviews -----------------------------------------------------------------------------------------------------
select create_creator('watched', 60000000);
select ask_payout('made', 'watched', 20);
select authenticate_as_service('operator');
select lives_ok($$ select api.review_creator(tests.user_id('watched'), ' Odd sales. ') $$, 'IP7: an operator reviews a creator');
select lives_ok($$ select api.review_creator(tests.user_id('watched'), 'Very odd sales.') $$, 'and finds another reason');
select results_eq(
    $$ select review_since, review_reason, paused_at from api.payout_accounts where user_id = tests.user_id('watched') $$,
    $$ values (now(), 'Very odd sales.', null::timestamptz) $$, 'operators see it');
select authenticate_as('watched');
select is(
    refusal('select api.request_payout(10)'), 'PT403 payouts_under_review: Your payouts are being reviewed. We will write to you.',
    'IP7: nothing is paid then');
select results_eq(
    $$ select state, is_under_review, is_paused from api.payout_account() $$, $$ values ('ready', true, false) $$,
        'the creator sees that, and not why');
select sign_out();
select is(payout_of('made'), 'pending 2000', 'what was made before goes on');
select is(
    refusal(format('select app.%s', call)), expected, call)
from (values
    ('review_creator(tests.user_id(''watched''), null)', 'PT400 text_required: Please give the reason.'),
    ('review_creator(tests.user_id(''watched''), repeat(''x'', 501))',
        'PT400 text_too_long: The reason is too long. It has 501 characters; at most 500 are allowed.'),
    ('review_creator(tests.user_id(''nobody''), ''x'')', 'PT404 creator_not_found: There is no such creator.'),
    ('review_creator(null, ''x'')', 'PT404 creator_not_found: There is no such creator.'),
    ('end_review(tests.user_id(''nobody''))', 'PT404 creator_not_found: There is no such creator.'),
    ('end_review(null)', 'PT404 creator_not_found: There is no such creator.')
) as v (call, expected);
select claim('watched'), app.pause_payouts(true), sign_out();
select authenticate_as_service('operator');
select api.end_review(tests.user_id('watched')), api.end_review(tests.user_id('watched')), api.end_review(tests.user_id('stranger'));
select authenticate_as('watched');
select results_eq(
    $$ select is_under_review, is_paused from api.payout_account() $$, $$ values (false, true) $$, 'it ends, and a pause goes on');
select api.pause_payouts(false);
select is((select amount_cents from api.request_payout(10)), 1000::bigint, 'then the creator is paid');
select sign_out();
select set_eq(
    $$ select action, actor_id, count(*) from app.audit_log where subject = tests.user_id('watched')::text group by action, actor_id $$,
    $$ values ('review_creator', tests.user_id('operator'), 2::bigint), ('end_review', tests.user_id('operator'), 2::bigint) $$,
        'on record');

-- Corrections -------------------------------------------------------------------------------------------------------
select create_creator('fixed', 10000000);
select is(
    refusal(format('select app.adjust_earnings(tests.user_id(''fixed''), %s, ''x'', null)', coalesce(amount::text, 'null'))),
    'PT400 invalid_amount: Please give an amount in micro-dollars, above or below zero. At most a million dollars.',
    format('case 11: nothing is corrected by %s', coalesce(amount::text, 'null')))
from (values (null::bigint), (0), (1000000000001), (-1000000000001), (9223372036854775807), (-9223372036854775808)) as v (amount);
select is(
    refusal(format('select app.adjust_earnings(tests.user_id(%L), 1, %L, %L)', handle, reason, key)), expected, what)
from (values
    ('fixed', null, null, 'PT400 text_required: Please give the reason.', 'without a reason nothing is'),
    ('fixed', repeat('x', 501), null, 'PT400 text_too_long: The reason is too long. It has 501 characters; at most 500 are allowed.',
        'nor with a long one'),
    ('nobody', 'x', null, 'PT404 creator_not_found: There is no such creator.', 'nor for nobody'),
    ('fixed', 'x', '', 'PT400 invalid_idempotency_key: An idempotency key has 1 to 200 characters. This one has 0.',
        'nor with an empty key'),
    ('fixed', 'x', repeat('k', 201), 'PT400 invalid_idempotency_key: An idempotency key has 1 to 200 characters. This one has 201.',
        'nor with a long one')
) as v (handle, reason, key, expected, what);
select authenticate_as_service('operator');
select is(api.adjust_earnings(tests.user_id('fixed'), 2500000, 'A sale was lost.', 'up'), 12500000::bigint, 'K6: an operator gives');
select is(api.adjust_earnings(tests.user_id('fixed'), -20000001, 'Paid by hand.', 'down'), -7500001::bigint,
    'K6: and takes, below zero too');
select is(api.adjust_earnings(tests.user_id('fixed'), 2500000, 'A sale was lost.', 'up'), 12500000::bigint,
    'case 2: the same again answers the same');
select is(
    refusal($$ select api.adjust_earnings(tests.user_id('fixed'), 2500001, 'A sale was lost.', 'up') $$),
    'PT409 idempotency_mismatch: This idempotency key was used for another call. '
    'It first came with adjust_earnings. Use a new key for a new call.',
    'case 2: another amount is another call');
select is(api.adjust_earnings(tests.user_id('stranger'), 5, 'x', 'up'), 5::bigint, 'case 2: of another creator too');
select set_config('request.headers', '{"idempotency-key": "head"}', true);
select is(api.adjust_earnings(tests.user_id('fixed'), 7500001, 'Once.'), 0::bigint, 'a key may come as a header');
select is(api.adjust_earnings(tests.user_id('fixed'), 7500001, 'Once.'), 0::bigint, 'once');
select set_config('request.headers', '', true);
select is(api.adjust_earnings(tests.user_id('fixed'), 1, 'x'), 1::bigint, 'without a key');
select is(api.adjust_earnings(tests.user_id('fixed'), 1, 'x'), 2::bigint, 'each counts');
select sign_out();
select claim('fixed');
select alike(
    refusal($$ select app.request_payout(10, 'up') $$), 'PT422 not_enough_available%', 'an operator''s key is not the creator''s');
select sign_out();
select set_eq(
    $$ select t.debit_kind, t.credit_kind, t.amount::bigint, t.book_id = tests.user_id('fixed'), t.reference_type
       from ledger.transfers as t where t.kind = 'correction' and t.book_id = tests.user_id('fixed') $$,
    $$ values ('royalties', 'earnings', 2500000::bigint, true, 'correction'), ('earnings', 'royalties', 20000001::bigint, true,
        'correction'),
        ('royalties', 'earnings', 7500001::bigint, true, 'correction'), ('royalties', 'earnings', 1::bigint, true, 'correction') $$,
    'each is a movement in the creator''s book');
select results_eq(
    $$ select details from app.audit_log where action = 'adjust_earnings' and subject = tests.user_id('fixed')::text order by id limit 2 $$,
    $$ values ('{"amount_microdollars": 2500000, "reason": "A sale was lost."}'::jsonb),
        ('{"amount_microdollars": -20000001, "reason": "Paid by hand."}'::jsonb) $$, 'with its reason on record');
select is(ledger.lifetime_earned(user_id('fixed')), 2::bigint, 'IP6: it counts as earned');

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
