-- payouts: creators ask for what is available, to the cent, and take it back while nobody sent it (IP6, IP7).
begin;
\ir helpers.psql
\ir alone.psql
select plan(112);

select count(create_person(p)) from unnest(array['reader', 'poor', 'unknown', 'operator']) as p;
select create_creator('maker', 100000000), create_creator('other', 50000000);
select give('reader', 1000, 'purchase', paid_microdollars => 50000000);

create function tests.asked(handle text, amount_usd numeric default null, idempotency_key text default null)
returns text
language plpgsql volatile
as $$
begin
    perform tests.claim(asked.handle);
    return tests.refusal(format('select app.request_payout(%L, %L)', asked.amount_usd, asked.idempotency_key));
end;
$$;
comment on function tests.asked(text, numeric, text) is 'What a creator is told who asks for so much; it is made when it is allowed.';

create function tests.figures(handle text)
returns text
language plpgsql volatile
as $$
declare
    v_figures record;
begin
    perform tests.authenticate_as(figures.handle);
    select * into v_figures from api.earnings_summary();
    perform tests.sign_out();
    return format(
        'available %s, pending %s, on the way %s, paid %s, carried %s, earned %s', v_figures.available_microdollars,
        v_figures.pending_microdollars, v_figures.on_the_way_microdollars, v_figures.paid_microdollars,
        v_figures.negative_microdollars, v_figures.total_earned_microdollars);
end;
$$;
comment on function tests.figures(text) is 'IP6: a creator''s figures, in micro-dollars.';

-- Who cannot be paid ----------------------------------------------------------------------------
select sign_out();
select is(
    refusal('select app.request_payout(null, null)'),
    'PT401 login_required: Please sign in first. The call carries no token with a subject.', 'IP7: nobody is not paid');
select is(
    tests.asked('unknown'),
    'PT403 payout_account_required: Set up payouts to receive what you earn. POST /creators/connect at the edge begins it.',
    'IP7: nor is who has no account, with what to do about it');
select is(tests.asked('newcomer'), tests.asked('unknown'), 'nor who never came before');
select connect('unknown', '{"payouts_enabled": false, "requirements": {"currently_due": ["external_account", "individual.dob.day"]}}');
select is(
    tests.asked('unknown'),
    'PT403 payout_account_incomplete: Stripe needs something more before you can be paid. '
    'A bank account for your payouts. Your date of birth.', 'IP7: nor whose account is not ready, with what is missing');
update app.payout_accounts set transfers_status = 'pending', requirements = '{}' where user_id = user_id('unknown');
select is(
    tests.asked('unknown'),
    'PT403 payout_account_incomplete: Stripe is checking what you sent. This takes up to two days.', 'or what is being looked at');
update app.payout_accounts set deauthorized_at = now() where user_id = user_id('unknown');
select is(
    tests.asked('unknown'),
    'PT403 payout_account_required: Your Stripe account is not connected any more. Set up payouts again. '
    'POST /creators/connect at the edge begins it.', 'nor whose account is gone');
update app.payout_accounts set transfers_status = 'inactive' where user_id = user_id('other');
select alike(tests.asked('other'), 'PT403 payout_account_incomplete: Stripe has paused payouts%', 'IP7: the capability counts');
update app.payout_accounts set transfers_status = 'active', payouts_enabled = false where user_id = user_id('other');
select alike(tests.asked('other'), 'PT403 payout_account_incomplete: Stripe has paused payouts%', 'IP7: and that the bank is reached');
update app.payout_accounts set payouts_enabled = true where user_id = user_id('other');
update app.economy set payouts_are_live = true;
select alike(tests.asked('other'), 'PT403 payout_account_required%', 'an account in test mode is none where payouts are live');
update app.economy set payouts_are_live = false;

-- How much --------------------------------------------------------------------------------------
select is(
    tests.asked('maker', amount),
    'PT400 invalid_amount: Please ask for a sum in whole cents, such as 12.50. '
    'From 0.01 on; without an amount everything that is available is paid.', format('case 11: %s is no amount', amount))
from (values
    ('NaN'::numeric), ('Infinity'), ('-Infinity'), (0), (-10), (0.009), (10.001), (10.0000000000000000001), (1000000000.01),
    (1e30), (1e131000)
) as v (amount);
select is(
    tests.asked('maker', amount),
    'PT422 below_minimum_payout: At least $10.00 is paid out at a time. $100.00 is available, and $0.00 waits inside the hold.',
    format('IP7: %s is below the minimum', amount))
from (values (0.01), (9.99)) as v (amount);
select is(
    tests.asked('maker', amount),
    'PT422 not_enough_available: You do not have that much available. $100.00 is available, and $0.00 waits inside the hold.',
    format('IP7: %s is more than there is', amount))
from (values (100.01), (1000000000)) as v (amount);
select earn('maker', 9999), earn('maker', 30000000, now() - interval '1 day');
select is(
    tests.asked('maker', 100.01),
    'PT422 not_enough_available: You do not have that much available. $100.009999 is available, and $30.00 waits inside the hold.',
    'IP7: parts of a cent make no cent, and what waits is not there yet');
select is(
    tests.asked('poor'), 'PT403 payout_account_required: Set up payouts to receive what you earn. '
    'POST /creators/connect at the edge begins it.', 'who has neither is told of the account first');
select connect('poor');
select is(
    tests.asked('poor'),
    'PT422 below_minimum_payout: At least $10.00 is paid out at a time. $0.00 is available, and $0.00 waits inside the hold.',
    'then of the minimum');
select alike(tests.asked('poor', 10), 'PT422 not_enough_available%', 'of which they have not enough');
select sign_out();
select is(owed('maker'), '130009999 | 0 | 0', 'nothing of this moved anything');
select is_empty('select * from app.payouts', 'and no payout was made');

-- Being paid ------------------------------------------------------------------------------------
select authenticate_as('maker');
select results_eq(
    'select amount_cents, currency, status, available_microdollars from api.request_payout(12.5)',
    $$ values (1250::bigint, 'usd', 'pending', 87509999::bigint) $$, 'IP7: a part is paid, and the rest named');
select sign_out();
select note('part', p.id::text) from app.payouts as p;
select is(
    tests.figures('maker'),
    'available 87509999, pending 30000000, on the way 12500000, paid 0, carried 0, earned 130009999',
    'IP6: what is on the way is not available, and was earned');
select results_eq(
    $$ select creator_id, batch_id, retries_id, amount_cents, currency, status, stripe_account_id, stripe_transfer_id, is_live,
           reversed_cents, period_end, hold_reason, failure_code, processed_at
       from app.payouts $$,
    $$ values (tests.user_id('maker'), null::uuid, null::uuid, 1250::bigint, 'usd', 'pending', 'acct_maker', null, false,
        0::bigint, now() - interval '7 days', null, null, null::timestamptz) $$, 'the payout says all of it');
select is(
    (select period_start from app.payouts), (select min(created_at) from ledger.transfers where credit_owner_id = user_id('maker')),
    'it begins with the first sale');
select results_eq(
    $$ select kind, user_id, is_live, idempotency_key, next_attempt_at = now(), parameters
       from app.stripe_requests where subject_id = tests.noted('part')::uuid $$,
    $$ values ('transfer', tests.user_id('maker'), false, format('transfer-%s-1', tests.noted('part')), true, jsonb_build_object(
        'amount', 1250, 'currency', 'usd', 'destination', 'acct_maker', 'transfer_group', 'payout-' || tests.noted('part'),
        'description', (select s.name || ': payout' from app.seller as s),
        'metadata', jsonb_build_object(
            'payout_id', tests.noted('part'), 'creator_id', tests.user_id('maker'),
            'request_id', tests.transfer_request('part')))) $$,
    'FT5: Stripe is asked at once, with a key and a group that are the payout''s');
select results_eq(
    $$ select t.kind::text, t.book_id, t.debit_owner_id, t.debit_kind, t.credit_owner_id, t.credit_kind, t.amount::bigint,
           t.reference_type, t.reference_id
       from ledger.transfers as t inner join app.payouts as p on p.transaction_id = t.transaction_id $$,
    $$ values ('payout', tests.user_id('maker'), tests.user_id('maker'), 'earnings', tests.user_id('maker'), 'payouts',
        12500000::bigint, 'payout', tests.noted('part')::uuid) $$, 'one movement in the creator''s book');
select is(ask_payout('rest', 'maker'), 'pending 8750', 'IP7: without an amount everything is paid, in whole cents');
select is(owed('maker'), '30009999 | 100000000 | 0', 'what is below a cent stays');
select results_eq(
    $$ select a.period_start = b.period_end, a.period_end = b.period_end from app.payouts as a, app.payouts as b
       where a.id = tests.noted('rest')::uuid and b.id = tests.noted('part')::uuid $$,
    $$ values (true, true) $$, 'it begins where the one before ended');
select alike(tests.asked('maker'), 'PT422 below_minimum_payout%$0.009999 is available, and $30.00 waits inside the hold.',
    'then there is nothing');
select earn('maker', 9990000), earn('maker', 1);
select is(ask_payout('cent', 'maker', 10), 'pending 1000', 'parts of a cent add up to one');
select is(owed('maker'), '30000000 | 110000000 | 0', 'to the micro-dollar');

-- Minimum and hold: by economy and by tier ----------------------------------------------------------
update app.economy set minimum_payout_cents = 2500;
select earn('maker', 24990000);
select alike(tests.asked('maker'), 'PT422 below_minimum_payout: At least $25.00%$24.99 is available%',
    'IP7: the minimum is the economy''s');
update app.creator_tiers set minimum_payout_cents = 2499 where tier = 'gold';
select alike(tests.asked('maker'), 'PT422 below_minimum_payout: At least $25.00%', 'one of another tier is not theirs');
update app.profiles set creator_tier = 'gold' where handle = 'maker';
select is(ask_payout('gold', 'maker'), 'pending 2499', 'IP7: or that of the tier');
select authenticate_as('maker');
select results_eq(
    'select minimum_payout_cents, hold_days from api.payout_account()', $$ values (2499::bigint, 5) $$, 'which they can see');
select is((select minimum_payout_cents from api.economy), 2500::bigint, 'with everybody''s');
select is((select minimum_payout_cents from api.creator_tiers where tier = 'gold'), 2499::bigint, 'and every tier''s');
select sign_out();
update app.economy set minimum_payout_cents = 1000;
update app.creator_tiers set minimum_payout_cents = null;
select earn('maker', 10000000, now() - interval '5 days' + interval '1 second'),
    earn('maker', 10000000, now() - interval '5 days 1 second');
select is(ask_payout('held', 'maker'), 'pending 1000', 'IP6: gold waits five days');
update app.profiles set creator_tier = 'platinum' where handle = 'maker';
select is(ask_payout('held', 'maker'), 'pending 1000', 'IP6: platinum three');

-- Case 9: only credits age ----------------------------------------------------------------------------
select sign_out();
select create_creator('nine', 20000000);
select note('young', earn('nine', 15000000, now() - interval '1 day')::text), note('old', earn('nine', 12000000)::text);
select is(
    tests.figures('nine'), 'available 32000000, pending 15000000, on the way 0, paid 0, carried 0, earned 47000000', 'case 9: three sales');
select unearn(noted('young')::uuid);
select is(
    tests.figures('nine'), 'available 32000000, pending 0, on the way 0, paid 0, carried 0, earned 32000000',
    'case 9: a young sale taken back takes what waits');
select unearn(noted('old')::uuid);
select is(
    tests.asked('nine', 20.01),
    'PT422 not_enough_available: You do not have that much available. $20.00 is available, and $0.00 waits inside the hold.',
    'case 9: an old one what is available, at once');

-- Case 5: taken back after it was paid -----------------------------------------------------------------
select note('sold', earn('nine', 30000000)::text);
select pay_out('five', 'nine');
select is(
    tests.figures('nine'), 'available 0, pending 0, on the way 0, paid 50000000, carried 0, earned 50000000', 'case 5: all is paid');
select unearn(noted('sold')::uuid);
select is(
    tests.figures('nine'), 'available -30000000, pending 0, on the way 0, paid 50000000, carried -30000000, earned 20000000',
    'case 5: then a sale is taken back: it is carried');
select alike(
    tests.asked('nine'), 'PT422 below_minimum_payout: %-$30.00 is available, and $0.00 waits inside the hold.',
    'case 5: which the creator sees');
select earn('nine', 39000000);
select alike(tests.asked('nine', 10), 'PT422 not_enough_available: %$9.00 is available%', 'case 5: later sales make it good first');
select earn('nine', 1000000);
select is(ask_payout('six', 'nine'), 'pending 1000', 'case 5: what is left over is paid');

-- A dispute while a payout is on its way ----------------------------------------------------------------
select create_creator('story');
select publish_story('story', 12, 'Long');
select buy_credits('card', 'reader');
update app.economy set minimum_payout_cents = 10, earnings_hold_days = 0;
select spend('reader', 1000);
select buy('reader', story_id('Long'), 'chapter', '{3,4}');
select tamper($$ update ledger.transfers set created_at = created_at - interval '1 second' where kind = 'earning' $$);
select is(ask_payout('way', 'story'), 'pending 35', 'a payout of two chapters is on its way');
select dispute('bank', 'card', 499);
select is(owed('story'), '-350000 | 350000 | 0', 'case 5: the payment behind them is disputed: the earnings are frozen');
select is(balance('story', 'frozen_earnings'), 350000::bigint, 'out of reach, and still theirs');
select alike(
    tests.asked('story', 0.10), 'PT422 not_enough_available: You do not have that much available. -$0.35%', 'nothing more is paid');
select is(answer_transfer('way'), 'paid 35 by tr_way', 'what was on its way arrives');
select is_empty('select * from ledger.verify()', 'verify agrees while it is open');
select dispute('bank', 'card', 499, 'won');
select is(owed('story'), '0 | 0 | 350000', 'case 5: won, it was paid rightly');
select dispute('other', 'card', 499, 'lost');
select is(owed('story'), '-350000 | 0 | 350000', 'case 5: lost, it is owed');
update app.economy set minimum_payout_cents = 1000, earnings_hold_days = 7;

-- Case 2: idempotency -----------------------------------------------------------------------------------
select create_creator('twice', 100000000);
select is(ask_payout('key', 'twice', 12.50, 'one'), 'pending 1250', 'case 2: asked with a key');
select is(ask_payout('again', 'twice', 12.5, 'one'), 'pending 1250', 'case 2: and again: 12.5 is 12.50');
select is(noted('again'), noted('key'), 'case 2: it is the same payout');
select is(owed('twice'), '87500000 | 12500000 | 0', 'case 2: paid once');
select is(
    tests.asked('twice', amount, 'one'),
    'PT409 idempotency_mismatch: This idempotency key was used for another call. It first came with request_payout. '
    'Use a new key for a new call.', format('case 2: %s with the same key is another call', coalesce(amount::text, 'everything')))
from (values (12.51), (null)) as v (amount);
select begin_transfer('key'), answer_transfer('key');
select is(ask_payout('again', 'twice', 12.5, 'one'), 'paid 1250', 'the answer says where the payout stands now');
select claim('twice');
select set_config('request.headers', '{"idempotency-key": "head"}', true);
select is((select amount_cents from app.request_payout(null, null)), 8750::bigint, 'case 2: a key may come as a header');
select is((select amount_cents from app.request_payout(null, null)), 8750::bigint, 'case 2: once');
select set_config('request.headers', '', true);
select is(owed('twice'), '0 | 87500000 | 12500000', 'case 2: everything, and nothing twice');
select alike(tests.asked('twice', 10, key), 'PT400 invalid_idempotency_key%', format('a key of %s characters is none', length(key)))
from (values (''), (repeat('k', 201))) as v (key);
select give('twice', 100), earn('twice', 20000000);
select lives_ok(
    $$ select buy('twice', story_id('Long'), 'chapter', '{5}', 'shared'), ask_payout('after', 'twice', 10, 'next') $$,
    'a purchase and a payout have keys');
select alike(tests.asked('twice', 10, 'shared'), 'PT409 idempotency_mismatch: %It first came with purchase_story.%',
    'case 2: one key is for one call');
select alike(
    refusal($$ select buy('twice', story_id('Long'), 'chapter', '{6}', 'next') $$),
    'PT409 idempotency_mismatch: %It first came with request_payout.%', 'case 2: whichever came first');
select earn('other', 10000000);
select is(ask_payout('theirs', 'other', 10, 'one'), 'pending 1000', 'case 2: keys are everybody''s own');

-- Taking it back --------------------------------------------------------------------------------------------
create function tests.cancel(name text, handle text)
returns text
language plpgsql volatile
as $$
begin
    perform tests.claim(cancel.handle);
    return app.cancel_payout(tests.noted(cancel.name)::uuid);
end;
$$;
select create_creator('canceler', 40000000);
select is(ask_payout('stop', 'canceler', 25), 'pending 2500', 'a payout waits to be sent');
select is(
    refusal(format('select tests.cancel(%L, %L)', 'stop', 'maker')), 'PT404 payout_not_found: There is no such payout.',
    'isolation: nobody else cancels it, or learns that it is there');
select is(
    refusal($$ select app.cancel_payout(null) $$), 'PT404 payout_not_found: There is no such payout.', 'none is none');
select is(tests.cancel('stop', 'canceler'), 'canceled', 'IP7: its creator does');
select is(payout_of('stop'), 'canceled 2500 because canceled_by_creator: You canceled it.', 'so it says');
select is(owed('canceler'), '40000000 | 0 | 0', 'the money is available again');
select is(asked_of_stripe('stop'), '{withdrawn after 0}', 'and Stripe will not be asked');
select is_empty(
    $$ select from app.claim_stripe_requests(1000, false) as r where r.id = tests.transfer_request('stop') $$, 'by nobody');
select is(begin_transfer('stop'), 'withdrawn after 0', 'ever');
select is(
    refusal(format('select tests.cancel(%L, %L)', 'stop', 'canceler')),
    'PT409 payout_not_pending: It is too late: this payout cannot be stopped any more. It is canceled.', 'once');
select is(ask_payout('go', 'canceler', 25), 'pending 2500', 'another one');
select begin_transfer('go');
select is(payout_of('go'), 'processing 2500', 'is being sent');
select is(
    refusal(format('select tests.cancel(%L, %L)', 'go', 'canceler')),
    'PT409 payout_not_pending: It is too late: this payout cannot be stopped any more. It is processing.', 'IP7: then it is too late');
select answer_transfer('go');
select is(
    refusal(format('select tests.cancel(%L, %L)', 'go', 'canceler')),
    'PT409 payout_not_pending: It is too late: this payout cannot be stopped any more. It is paid.', 'IP7: and more so when it is paid');
select is(owed('canceler'), '15000000 | 0 | 25000000', 'nothing moved twice');

-- Pausing ----------------------------------------------------------------------------------------------------
select authenticate_as('canceler');
select is(api.pause_payouts(), true, 'IP7: creators pause their payouts');
select is((select is_paused from api.payout_account()), true, 'which they can see');
select is(
    refusal('select api.request_payout()'), 'PT409 payouts_paused: You have paused your payouts. Resume them first.',
        'nothing is paid then');
select is(api.pause_payouts(true), true, 'they are paused already');
select is(
    refusal('select api.pause_payouts(null)'),
    'PT400 invalid_argument: Please say whether payouts are to pause: true or false.', 'neither is nothing');
select is(api.pause_payouts(false), false, 'and resumed');
select is((select amount_cents from api.request_payout()), 1500::bigint, 'then they are paid');
select sign_out();
select is(
    refusal('select app.pause_payouts(true)'),
    'PT401 login_required: Please sign in first. The call carries no token with a subject.', 'nobody has none to pause');

select is(
    (select functions @> '{request_payout,cancel_payout}' from app.rate_limits where class = 'money'), true,
    'both are counted with the other calls that move money');

-- Whose they are ------------------------------------------------------------------------------------------------
select authenticate_as('canceler');
select set_eq(
    'select id::text, amount_usd, amount_cents, status from api.payouts where status <> ''pending''',
    $$ values (tests.noted('stop'), 25.00, 2500::bigint, 'canceled'), (tests.noted('go'), 25.00, 2500::bigint, 'paid') $$,
    'isolation: creators see their own payouts');
select is((select count(*) from api.payouts), 3::bigint, 'and no others');
select is_empty('select * from api.individual_payouts', 'none of them was a monthly one');
select sign_out();
select is(
    refusal(statement),
    'PT403 append_only: Rows of app.payouts are never changed or removed. Post a new row that corrects the old one.',
    format('%s is refused', statement))
from (values ('delete from app.payouts'), ('truncate app.payouts cascade')) as v (statement);

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
