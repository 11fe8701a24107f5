-- payments: money that goes back, in parts that add up exactly, and refunds that fail (K6, cases 4 and 5).
begin;
\ir helpers.psql
\ir alone.psql
select plan(93);

select count(tests.create_person(p)) from unnest(array['reader', 'friend', 'saver', 'creator', 'cowriter', 'operator']) as p;
select tests.make_package('Thousand', 100, 10, 1000), tests.make_package('Round', 100, 0, 1000);

-- The reader's wallet and what is frozen of it, then each creator's earnings and frozen earnings.
create function tests.money(handle text default 'reader')
returns text
language sql stable
return format(
    '%s+%s | %s+%s | %s+%s', tests.balance(handle), tests.balance(handle, 'frozen_credits'),
    tests.balance('creator', 'earnings'), tests.balance('creator', 'frozen_earnings'),
    tests.balance('cowriter', 'earnings'), tests.balance('cowriter', 'frozen_earnings'));

create function tests.at_stripe()
returns bigint
language sql stable security definer
return ledger.balance(ledger.platform_id(), 'stripe') / 10000;

-- Refunds of a payment, in order: status, cents, credits.
create function tests.refunds_of(payment text)
returns text[]
language sql stable security definer
return array(
    select format('%s %s %s', r.status, r.amount_cents, r.credits)
    from app.refunds as r where r.payment_id = tests.payment(refunds_of.payment) order by r.id
);

create function tests.answer_refund(refund_id uuid, name text, status text)
returns void
language sql volatile security definer
as $$
    select app.record_stripe_answer(
        q.id,
        tests.refund_object(r.payment_id, answer_refund.name, r.amount_cents, answer_refund.status)
        || jsonb_build_object('metadata', q.parameters -> 'metadata'))
    from app.refunds as r
    inner join app.stripe_requests as q on q.subject_id = r.id
    where r.id = answer_refund.refund_id and q.state = 'pending';
$$;
comment on function tests.answer_refund(uuid, text, text) is 'Stripe answers to what an operator asked for.';

-- Case 4: 333 + 333 + 334 of 1000 -------------------------------------------------------------
select is(tests.buy_credits('parts', 'reader', 'Thousand'), 'applied', '10 dollars for 110 credits');
select is((tests.spend('reader', 110, '{creator,cowriter}', '{6667,3333}')).earned_microdollars, 3850000::bigint, 'all of them are spent');
select is(tests.money(), '0+0 | 2566795+0 | 1283205+0', 'on two authors');
select note('refund_1', tests.ask_refund(payment('parts'), 333)::text);
select is(tests.refunds_of('parts'), '{pending 333 36}', 'case 4: 333 cents are 36 credits');
select is(tests.money(), '0+0 | 1726753+840042 | 863247+419958', 'case 4: frozen as soon as it is asked for');
select is(tests.at_stripe(), 1000::bigint, 'case 4: no money has moved yet');
select is_empty('select * from ledger.verify()', 'case 4: verify agrees while it is on its way');
select tests.answer_refund(noted('refund_1')::uuid, 'one', 'succeeded');
select is(tests.refunds_of('parts'), '{succeeded 333 36}', 'case 4: Stripe has paid it');
select is(tests.money(), '0+0 | 1726753+0 | 863247+0', 'case 4: and it is gone for good');
select is(tests.at_stripe(), 667::bigint, 'case 4: so is the money');
select tests.repay('two', 'parts', 333);
select is(tests.money(), '0+0 | 863377+0 | 431624+0', 'case 4: the second part, made at Stripe: 37 credits');
select is(
    array(select tests.repay('one', 'parts', 333, s) from unnest('{succeeded,pending,requires_action}'::text[]) as s),
    '{applied,applied,applied}', 'case 1: old news of the first part');
select tests.ask_refund(payment('parts'));
select is(tests.refunds_of('parts'), '{succeeded 333 36,succeeded 333 37,pending 334 37}', 'case 4: the rest is 334 cents and 37 credits');
select tests.answer_refund(r.id, 'three', 'succeeded') from app.refunds as r where r.status = 'pending';
select is(tests.money(), '0+0 | 0+0 | 0+0', 'case 4: to the micro-dollar');
select is(tests.at_stripe(), 0::bigint, 'case 4: and the cent');
select is(
    array[ledger.balance(ledger.platform_id(), 'issued'), ledger.balance(ledger.platform_id(), 'redeemed'),
        ledger.balance(ledger.platform_id(), 'royalties'), ledger.balance(ledger.platform_id(), 'sales')],
    '{0,0,0,0}'::bigint[], 'case 4: as if nothing had been');
select is(
    refusal($$ select tests.ask_refund(payment('parts')) $$),
    'PT409 already_refunded: Nothing of this payment is left to refund. '
    'Of 1000 cents all went back, are on their way, or are withheld by a dispute.', 'case 4: no more comes back');
select is_empty('select * from ledger.verify()', 'case 4: verify agrees at the end');

-- Who, what, how much -------------------------------------------------------------------------
select tests.buy_credits('whole', 'reader', 'Round');
create function tests.refused(payment uuid, cents text default 'null', reason text default 'why')
returns text
language sql volatile
return refusal(format('select app.refund_payment(%L, %s, %L, null)', payment, cents, reason));
select matches(tests.refused(payment('whole')), '^PT401 login_required: ', 'nobody refunds nothing');
select tests.claim('reader');
select is(
    tests.refused(payment('whole')), 'PT403 operator_required: Only the operators of this platform may do this.',
    'nobody refunds themselves');
select tests.sign_out();
insert into app.operators (user_id) values (user_id('operator'));
select tests.claim('operator');
select is(tests.refused(app.new_id()), 'PT404 payment_not_found: There is no such payment.', 'a payment that is none');
select matches(tests.refused(null), '^PT404 payment_not_found: ', 'nor is null');
select is(tests.refused(payment('whole'), reason => ' '), 'PT400 text_required: Please give the reason.', 'without a reason');
select is(
    array(select tests.refused(payment('whole'), c) from unnest('{0,-1,1001,9223372036854775807}'::text[]) as c),
    array[
        'PT400 invalid_amount: A refund is at least one cent. You asked for 0.',
        'PT400 invalid_amount: A refund is at least one cent. You asked for -1.',
        'PT422 refund_too_large: This is more than is left of the payment. 1000 cents are left.',
        'PT422 refund_too_large: This is more than is left of the payment. 1000 cents are left.'],
    'nothing, less than nothing, or more than was paid');
select note('waiting', tests.start_payment('reader')::text);
select is(
    tests.refused(payment('waiting')),
    'PT409 payment_not_succeeded: Only a payment that succeeded can be refunded. This one is pending.', 'what was not paid');
select is(tests.refunds_of('whole'), '{}', 'none of that did anything');
select is((select count(*) from app.audit_log where action = 'refund_payment'), 2::bigint, 'K10: what was done is on record');
select tests.sign_out();

-- K4: retries.
select note('retried', tests.ask_refund(payment('whole'), 100, 'refund-1')::text);
select is(tests.ask_refund(payment('whole'), 100, 'refund-1'), noted('retried')::uuid, 'K4: the same key again is the same refund');
select is(
    refusal($$ select tests.ask_refund(payment('whole'), 101, 'refund-1') $$),
    'PT409 idempotency_mismatch: This idempotency key was used for another call. '
    'It first came with refund_payment. Use a new key for a new call.', 'K4: another amount is refused');
select is(tests.money(), '90+10 | 0+0 | 0+0', 'K4: once');

-- Refunds that come to nothing ----------------------------------------------------------------
select app.record_stripe_failure(q.id, 'rate_limit', 'Later.', false)
from app.stripe_requests as q where q.subject_id = noted('retried')::uuid;
select is(tests.refunds_of('whole'), '{pending 100 10}', 'Stripe is busy: it is tried again');
select app.record_stripe_failure(q.id, 'charge_disputed', 'This charge is disputed.', true)
from app.stripe_requests as q where q.subject_id = noted('retried')::uuid;
select is(tests.money(), '100+0 | 0+0 | 0+0', 'Stripe refuses: the credits are back');
select results_eq(
    $$ select status, failure_reason, transaction_id from app.refunds where id = noted('retried')::uuid $$,
    $$ values ('failed', 'This charge is disputed.', null::uuid) $$, 'and the refund says why');
select is_empty('select * from ledger.verify()', 'verify agrees');
select tests.spend('reader', 40, '{creator}');
select tests.repay('slow', 'whole', 700, 'pending');
select is(tests.money(), '0+60 | 1050000+350000 | 0+0', 'a slow refund freezes 60 unspent and 10 spent credits');
select tests.repay('slow', 'whole', 700, 'failed');
select is(tests.money(), '60+0 | 1400000+0 | 0+0', 'it fails, and all is as before');
select is(tests.repay('slow', 'whole', 700), 'applied', 'and nothing that comes later');
select is(tests.money(), '60+0 | 1400000+0 | 0+0', 'moves anything');
select tests.repay('bounced', 'whole', 1000);
select is(tests.money(), '0+0 | 0+0 | 0+0', 'another one succeeds');
select is(tests.at_stripe(), 0::bigint, 'and is paid');
select tests.repay('bounced', 'whole', 1000, 'failed');
select is(tests.money(), '100+0 | 0+0 | 0+0', 'the bank sends it back: the payer has all credits, the sale stays taken back');
select is(tests.at_stripe(), 1000::bigint, 'and we have the money');
select tests.repay('bounced', 'whole', 1000, 'canceled');
select is(tests.money(), '100+0 | 0+0 | 0+0', 'once');
select tests.repay('unheard', 'whole', 500, 'failed');
select tests.repay('unheard', 'whole', 500, 'pending');
select is(tests.money(), '100+0 | 0+0 | 0+0', 'case 1: one that failed before it was heard of');
select is(
    tests.refunds_of('whole'), '{failed 100 10,failed 700 70,failed 1000 100,failed 500 0}', 'all of that is on record');
select is_empty('select * from ledger.verify()', 'verify agrees with refunds that failed');

-- A refund between two others fails: the others stay a credit behind until the next.
select tests.buy_credits('between', 'friend');
select tests.repay('b1', 'between', 3), tests.repay('b2', 'between', 2), tests.repay('b3', 'between', 3);
select is(tests.refunds_of('between'), '{succeeded 3 0,succeeded 2 1,succeeded 3 0}', 'eight cents of 499 are one credit of 110');
select tests.repay('b2', 'between', 2, 'failed');
select is_empty('select * from ledger.verify()', 'one that fails between others is no violation');
select tests.repay('b4', 'between', 493);
select is(tests.money('friend'), '0+0 | 0+0 | 0+0', 'and the last one takes all that is left');
select is_empty('select * from ledger.verify()', 'verify agrees');

-- Cents that are no credit --------------------------------------------------------------------
select tests.buy_credits('cents', 'friend');
select note('cent', tests.ask_refund(payment('cents'), 1)::text);
select is(tests.refunds_of('cents'), '{pending 1 0}', 'a cent is no credit');
select tests.answer_refund(noted('cent')::uuid, 'cent', 'succeeded');
select tests.repay('cent4', 'cents', 4);
select is(tests.refunds_of('cents'), '{succeeded 1 0,succeeded 4 1}', 'five cents are one');
select tests.repay('cent4', 'cents', 4, 'failed');
select is(tests.money('friend'), '110+0 | 0+0 | 0+0', 'which comes back');
select tests.repay('cent', 'cents', 1, 'failed');
select is_empty('select * from ledger.verify()', 'verify agrees with a refund without credits');

-- Case 1: before the payment ------------------------------------------------------------------
select note('early', tests.start_payment('friend', 'Round')::text);
select is(tests.repay('early', 'early', 250), 'parked', 'case 1: a refund waits for its payment');
select tests.deliver('payment_intent.processing', tests.payment_intent(payment('early'), 'processing'));
select is(app.replay_parked_stripe_events(), 0, 'case 1: until it is paid');
select is(tests.money('friend'), '110+0 | 0+0 | 0+0', 'case 1: and does nothing');
select tests.pay(payment('early'));
select is(tests.money('friend'), '185+0 | 0+0 | 0+0', 'case 1: then both happen at once');
select is(tests.refunds_of('early'), '{succeeded 250 25}', 'case 1: in order');
select is(
    tests.deliver('refund.created', tests.refund_object(payment('early'), 'other', 1, changes => '{"payment_intent": null}')), 'ignored',
    'a refund of something else is not ours');
select is(
    tests.repay('early', 'early', 251), 'failed', 'one that comes with another amount than before is kept for the operator');
select is(tests.money('friend'), '185+0 | 0+0 | 0+0', 'and does nothing');

-- What was bought with it ---------------------------------------------------------------------
select tests.publish_story('creator', 6, 'Story');
select tests.buy_credits('books', 'reader', 'Round');
select tests.spend('reader', 100);
select note('chapter', (tests.buy('reader', tests.story_id('Story'), 'chapter', '{3}')).purchase_id::text);
select note('bundle', (tests.buy('reader', tests.story_id('Story'), 'bundle', '{4,5,6}')).purchase_id::text);
create function tests.may_read(handle text)
returns integer[]
language sql stable security definer
return array(
    select e.chapter_number from app.story_entitlements as e
    where e.user_id = tests.user_id(may_read.handle) and e.revoked_at is null
    order by e.chapter_number
);
select is(tests.money(), '82+0 | 630000+0 | 0+0', 'a chapter for 5 and a bundle for 13 are 18 credits');
select tests.repay('books1', 'books', 900);
select is(tests.money(), '0+0 | 350000+0 | 0+0', '90 go: 82 unspent, and 8 of the bundle');
select is(tests.may_read('reader'), '{3,4,5,6}', 'what is paid in part can be read');
select tests.repay('books2', 'books', 60, 'pending');
select is(tests.may_read('reader'), '{3,4,5,6}', 'while a refund is on its way, everything can');
select tests.repay('books2', 'books', 60);
select is(tests.may_read('reader'), '{3}', 'what is refunded whole is closed');
select is_empty('select * from ledger.verify()', 'verify agrees with what can be read');
select tests.repay('books2', 'books', 60, 'failed');
select is(tests.money(), '6+0 | 140000+0 | 0+0', 'the refund comes back as credits');
select is(tests.may_read('reader'), '{3}', 'and what was closed can be bought again');

-- Case 5 and cash_value: after the creator was paid, and by what was paid.
insert into ledger.transfers (
    book_id, transaction_id, debit_owner_id, debit_kind, credit_owner_id, credit_kind, amount, asset, kind)
values (
    user_id('creator'), app.new_id(), user_id('creator'), 'earnings', ledger.platform_id(), 'royalties', 140000, 'usd', 'refund');
select tests.repay('books3', 'books', 100);
select is(tests.money(), '0+0 | -140000+0 | 0+0', 'case 5: what was paid to the creator is owed');
update app.economy set earnings_mode = 'cash_value';
select tests.buy_credits('cash', 'saver');
select is(
    (tests.spend('saver', 110, '{cowriter}')).earned_microdollars, 3493000::bigint, 'cash_value: 70 % of 4.99 dollars');
select tests.repay('cash1', 'cash', 250);
select is(tests.balance('cowriter', 'earnings'), 1746500::bigint, 'cash_value: half of the credits take half of it back');
select tests.repay('cash2', 'cash', 249);
select is(tests.balance('cowriter', 'earnings'), 0::bigint, 'cash_value: and the rest all of it');
update app.economy set earnings_mode = 'fixed';

-- Who sees what -------------------------------------------------------------------------------
select tests.tamper($$ update app.refunds set updated_at = '2026-02-03 04:05Z' where stripe_refund_id = 're_cash1' $$);
select tests.repay('cash1', 'cash', 250), tests.repay('cash1', 'cash', 250, 'pending');
select authenticate_as('saver');
select results_eq(
    $$ select kind, payment_id, happened_at, amount_cents, currency, description, receipt_number is not null
       from api.billing_history order by id $$,
    $$ values
       ('payment', payment('cash'), now(), 499::bigint, 'usd', 'Starter Pack: 110 credits', true),
       ('refund', payment('cash'), '2026-02-03 04:05Z', -250::bigint, 'usd', 'Refund: requested_by_customer', false),
       ('refund', payment('cash'), now(), -249::bigint, 'usd', 'Refund: requested_by_customer', false) $$,
    'the payer''s history has both, and the day on which it was repaid stays');
select results_eq(
    $$ select stripe_refund_id, amount_cents, credits, status, reason from api.refunds order by id $$,
    $$ values
       ('re_cash1', 250::bigint, 55::bigint, 'succeeded', 'requested_by_customer'),
       ('re_cash2', 249::bigint, 55::bigint, 'succeeded', 'requested_by_customer') $$, 'and their refunds');
select is((select refunded_cents from api.payments), 499::bigint, 'and what went back of their payment');
select authenticate_as('creator');
select is_empty('select id from api.refunds union all select id from api.billing_history', 'nobody else''s');
select authenticate_as_service('operator');
select is((select count(*) from api.refunds), 19::bigint, 'the operator sees all');
select tests.sign_out();

-- Nothing vanishes; what verify sees (K8) -----------------------------------------------------
select is(
    array(select left(refusal(s), 19) from unnest(array['delete from app.refunds', 'truncate app.refunds']) as s),
    array_fill('PT403 append_only: '::text, array[2]), 'no refund vanishes');
select is(tests.seen_after(statement), seen, format('K8: verify sees %s', what))
from (values
    ('a refund of another amount', $$ update app.refunds set amount_cents = 251 where stripe_refund_id = 're_cash1' $$,
        array['takeback: says 55 credits and -251 cents at Stripe, the ledger 55 credits (final) and -2500000 micro-dollars']),
    ('a refund of other credits', $$ update app.refunds set credits = 54 where stripe_refund_id = 're_cash1' $$,
        array[
            'takeback: says 54 credits and -250 cents at Stripe, the ledger 55 credits (final) and -2500000 micro-dollars',
            'takeback_share: 499 of 499 cents went back, and 109 of 110 credits']),
    ('a refund that is said to have failed', $$ update app.refunds set status = 'failed' where stripe_refund_id = 're_cash1' $$,
        array['takeback: says 55 credits and 0 cents at Stripe, the ledger 55 credits (final) and -2500000 micro-dollars']),
    ('a refund whose recall is another''s',
        $$ update ledger.recalls set reference_id = app.new_id()
           where reference_id = (select r.id from app.refunds as r where r.stripe_refund_id = 're_cash1') $$,
        array[
            'recall_without_takeback: 55 credits of a refund that is not there',
            'takeback: says 55 credits and -250 cents at Stripe, the ledger 0 credits (no recall) and -2500000 micro-dollars']),
    ('a refund whose movement is gone',
        $$ delete from ledger.transfers where kind = 'repayment'
           and reference_id = (select r.id from app.refunds as r where r.stripe_refund_id = 're_cash1') $$,
        array['takeback: says 55 credits and -250 cents at Stripe, the ledger 55 credits (final) and 0 micro-dollars']),
    ('a refund that is gone', $$ delete from app.refunds where stripe_refund_id = 're_cash1' $$,
        array[
            'money_without_takeback: 2500000 micro-dollars of a refund that is not there',
            'recall_without_takeback: 55 credits of a refund that is not there']),
    ('more credits than there were', $$ update app.refunds set credits = 56 where stripe_refund_id = 're_cash1' $$,
        array[
            'takeback: says 56 credits and -250 cents at Stripe, the ledger 55 credits (final) and -2500000 micro-dollars',
            'takeback_share: 499 of 499 cents went back, and 111 of 110 credits'])
) as tampering (what, statement, seen);


-- Another currency ----------------------------------------------------------------------------
select tests.buy_credits('dollars', 'reader');
select is(
    tests.deliver('refund.created', tests.refund_object(payment('dollars'), 'euros', 100, changes => '{"currency": "eur"}')),
    'failed', 'euros do not go back for dollars');
select is(
    (select e.error from app.stripe_events as e where e.object_id = 're_euros'),
    'Stripe speaks of another currency than the payment''s. eur instead of usd', 'and the event says why');
select is(
    tests.deliver('charge.dispute.created', tests.dispute_object(payment('dollars'), 'euros', 100, changes => '{"currency": "eur"}')),
    'failed', 'nor are they disputed');

-- Given up here, and paid by Stripe all the same ---------------------------------------------------
select note('given_up', tests.ask_refund(payment('dollars'), 499)::text);
select app.record_stripe_failure(r.id, 'gave_up', 'Nobody knows.', true)
from app.stripe_requests as r where r.subject_id = noted('given_up')::uuid;
select is(
    tests.deliver('refund.created', tests.refund_object(
        payment('dollars'), 'late', 499,
        changes => jsonb_build_object('metadata', jsonb_build_object('refund_id', noted('given_up'))))),
    'applied', 'it is a refund of its own');
select results_eq(
    $$ select status, credits, stripe_refund_id from app.refunds where payment_id = payment('dollars') order by id $$,
    $$ values ('failed', 110::bigint, null), ('succeeded', 110::bigint, 're_late') $$,
    'the money has left, and the credits with it');

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
