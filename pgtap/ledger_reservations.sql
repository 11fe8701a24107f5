-- ledger: credits that are set aside, and captured or given back once (K3, K5, K6).
begin;
\ir helpers.psql
\ir alone.psql
select plan(72);

select create_person('author'), create_person('stranger');

create function tests.set_aside(name text, credits bigint)
returns bigint
language plpgsql volatile
as $$
declare
    v_receipt ledger.receipt;
begin
    perform ledger.lock_wallet(tests.user_id('author'));
    v_receipt := ledger.reserve_credits(tests.user_id('author'), set_aside.credits, 'test', app.new_id());
    perform tests.note(set_aside.name, v_receipt.transaction_id::text);
    return v_receipt.balance_after;
end;
$$;

create function tests.capture(name text)
returns bigint
language sql volatile
return ledger.capture_reservation(tests.user_id('author'), tests.noted(name)::uuid);

create function tests.give_back(name text)
returns bigint
language sql volatile
return ledger.release_reservation(tests.user_id('author'), tests.noted(name)::uuid);

-- The author's wallet, reserved and frozen credits; then what the platform has issued and redeemed.
create function tests.money()
returns bigint[]
language sql stable
return array[
    tests.balance('author'), tests.balance('author', 'reserved'), tests.balance('author', 'frozen_credits'),
    ledger.balance(ledger.platform_id(), 'issued'), ledger.balance(ledger.platform_id(), 'redeemed')];

create function tests.movements()
returns bigint
language sql stable
return (select count(*) from ledger.transfers);

-- Set aside, and captured ---------------------------------------------------------------------

select give('author', 10, 'purchase', null, 1000);
select give('author', 3, 'purchase', now() + interval '30 days', 100);
select is(set_aside('first', 5), 8::bigint, 'five of thirteen credits are set aside');
select is(money(), array[8, 5, 0, -13, 0]::bigint[], 'they leave the wallet, and the platform has not got them');
select results_eq(
    format(
        $$ select kind::text, asset, debit_owner_id, debit_kind, credit_owner_id, credit_kind, amount::bigint, balance_after, reference_type
           from ledger.transfers where transaction_id = %L $$, noted('first')),
    format(
        $$ values ('spend', 'credit', %1$L::uuid, 'wallet', %1$L::uuid, 'reserved', 5::bigint, 8::bigint, 'test') $$, user_id('author')),
    'one movement says so');
select results_eq(
    $$ select credits::bigint, state, settled_at from ledger.reservations $$,
    $$ values (5::bigint, 'held', null::timestamptz) $$, 'and that it is open');
select results_eq(
    format(
        $$ select credits::bigint, value_microdollars from ledger.draws where transaction_id = %L order by credits desc $$, noted('first')),
    $$ values (3::bigint, 100::bigint), (2, 200) $$, 'K5: what expires soonest goes first, with the value it has');
select is_empty('select * from ledger.verify()', 'verify agrees while it is held');
select is(
    refusal($$ select tests.set_aside('much', 9) $$),
    'PT402 insufficient_credits: Not enough credits. This costs 9 credits; you have 8.',
    'what is set aside is not there for anything else');
select ok(
    refusal(format($$ select tests.set_aside('wrong', %s) $$, amount)) ~ '^23(502|514) ', format('%s credits cannot be set aside', amount))
from (values ('0'), ('-1'), ('null')) as wrong (amount);
select is((select count(*) from ledger.reservations), 1::bigint, 'and nothing is left of what was refused');

select is(capture('first'), 5::bigint, 'captured: five credits are spent');
select is(money(), array[8, 0, 0, -13, 5]::bigint[], 'the platform has them');
select results_eq(
    format(
        $$ select kind::text, debit_kind, credit_owner_id, credit_kind, amount::bigint, balance_after
           from ledger.transfers where transaction_id = %L and kind <> 'spend' $$, noted('first')),
    format($$ values ('capture', 'reserved', %L::uuid, 'redeemed', 5::bigint, null::bigint) $$, ledger.platform_id()),
    'by a movement of the same transaction');
select results_eq(
    $$ select state, settled_at from ledger.reservations $$, $$ values ('captured', now()) $$, 'and it is over');
select is_empty('select * from ledger.verify()', 'verify agrees when it is captured');
select note('movements', movements()::text);
select is(array[capture('first'), give_back('first')], array[0, 0]::bigint[], 'capturing it again, or giving it back, changes nothing');
select is(movements(), noted('movements')::bigint, 'no movement');
select is(money(), array[8, 0, 0, -13, 5]::bigint[], 'no balance');
select results_eq('select state from ledger.reservations', $$ values ('captured') $$, 'and no state');

-- Set aside, and given back -------------------------------------------------------------------

select is(set_aside('second', 4), 4::bigint, 'four more');
select is_empty('select * from ledger.verify()', 'verify agrees with two at once');
select is(give_back('second'), 4::bigint, 'it comes to nothing: four credits are back');
select is(money(), array[8, 0, 0, -13, 5]::bigint[], 'as before');
select results_eq(
    format(
        $$ select r.kind::text, r.debit_owner_id, r.debit_kind, r.credit_kind, r.amount::bigint, r.balance_after
           from ledger.transfers as r inner join ledger.transfers as s on s.book_id = r.book_id and s.id = r.reverses_id
           where s.transaction_id = %L $$, noted('second')),
    format($$ values ('refund', %L::uuid, 'reserved', 'wallet', 4::bigint, 8::bigint) $$, user_id('author')),
    'by a refund that names what it takes back');
select is_empty('select * from ledger.verify()', 'verify agrees when it was given back');
select note('movements', movements()::text);
select is(array[give_back('second'), capture('second')], array[0, 0]::bigint[], 'giving it back again, or capturing it, changes nothing');
select is(movements(), noted('movements')::bigint, 'no movement');
select results_eq(
    'select credits::bigint, state from ledger.reservations order by id', $$ values (5::bigint, 'captured'), (4, 'released') $$,
    'and no state');
select is(
    refusal(format('select ledger.reverse(%L, %L)', user_id('author'), noted('second'))),
    'PT409 already_reversed: This sale was taken back already.', 'nor does it come back as a sale');
select set_aside('third', 1);
select is(
    array[
        ledger.capture_reservation(user_id('author'), app.new_id()), ledger.release_reservation(user_id('author'), null),
        ledger.capture_reservation(user_id('stranger'), noted('third')::uuid),
        ledger.release_reservation(user_id('stranger'), noted('third')::uuid)],
    array[0, 0, 0, 0]::bigint[], 'what was never set aside, or not with this person, cannot be ended');
select is(money(), array[7, 1, 0, -13, 5]::bigint[], 'and nothing moves by it');

-- What the person sees ------------------------------------------------------------------------

select authenticate_as('author');
select results_eq(
    'select transaction_type, amount, balance_after from api.credit_transactions order by id',
    $$ values
       ('purchase', 10::bigint, 10::bigint), ('purchase', 3, 13), ('spend', -5, 8), ('spend', -4, 4), ('refund', 4, 8),
       ('spend', -1, 7) $$,
    'K4: the statement has a line when credits go and one when they come back');
select results_eq(
    'select balance, lifetime_spent from api.credit_balance()', $$ values (7::bigint, 6::bigint) $$,
    'what was given back was not spent; what is set aside is');
select sign_out();

-- Through folds, and in the past (K2, K3) -----------------------------------------------------

-- One transaction is never settled for itself, so its rows are given the age of an earlier one.
select tamper('update ledger.transfers set position = 1');
update ledger.fold_state set position = 0, totals_position = 0;
select is(money(), array[7, 1, 0, -13, 5]::bigint[], 'K3: what can be folded counts');
select ledger.fold();
select results_eq(
    $$ select balance::bigint from ledger.accounts where kind = 'reserved' $$, $$ values (1::bigint) $$,
    'K3: a fold adds up what is set aside');
select is(money(), array[7, 1, 0, -13, 5]::bigint[], 'K3: and changes no balance');
select is_empty('select * from ledger.verify()', 'K3: verify agrees with the fold');
select capture('third');
select is(money(), array[7, 0, 0, -13, 6]::bigint[], 'K2: what came after the fold is added to it');
select is(ledger.balance_at(user_id('author'), 'reserved', now()), 0::bigint, 'K2: the balance of a time is summed from the movements');
select is_empty('select * from ledger.verify()', 'K3: verify agrees after the fold');

-- The lots that come back (K5, K6) ------------------------------------------------------------

select tamper('update ledger.lots set expires_at = null');
select note('payment', app.new_id()::text);
select tests.give('author', 7, 'purchase', now() + interval '10 days', 350000);
select tamper($$ update ledger.lots set payment_id = tests.payment('payment') where paid_microdollars = 350000 $$);
select tests.give('author', 4, 'bonus', now() + interval '20 days');
select set_aside('lots', 9);
create view tests.returned as
select l.credits::bigint, l.remaining::bigint, l.paid_microdollars, l.source::text, l.expires_at, l.payment_id, o.source::text as origin
from ledger.lots as l
inner join ledger.lots as o on o.book_id = l.book_id and o.id = l.origin_id
inner join ledger.transfers as t on t.book_id = l.book_id and t.transaction_id = l.transaction_id and t.kind = 'refund'
inner join ledger.transfers as s on s.book_id = t.book_id and s.id = t.reverses_id
where s.transaction_id = tests.noted('lots')::uuid;
select is(give_back('lots'), 9::bigint, 'credits of two lots come back');
select results_eq(
    'select * from tests.returned order by expires_at',
    $$ values
       (7::bigint, 7::bigint, 350000::bigint, 'refund', now() + interval '10 days', tests.payment('payment'), 'purchase'),
       (2, 2, 0, 'refund', now() + interval '20 days', null, 'bonus') $$,
    'K5: with the value, the payment and the expiry that they had');
select is_empty('select * from ledger.verify()', 'K5: verify agrees');
select set_aside('lots', 10);
select tamper($$ update ledger.lots set expires_at = now() where source = 'refund' and expires_at is not null and remaining = 0 $$);
select is(give_back('lots'), 10::bigint, 'credits that lapsed while they were set aside come back too');
select results_eq(
    'select credits, paid_microdollars, expires_at, payment_id from tests.returned order by credits desc',
    $$ values
       (7::bigint, 350000::bigint, now() + interval '7 days', tests.payment('payment')),
       (2, 0, now() + interval '20 days', null), (1, 0, now() + interval '20 days', null) $$,
    'K5: for the days of grace, and the others as long as before');
update app.economy set refund_grace_days = 0;
select set_aside('lots', 8);
select tamper($$ update ledger.lots set expires_at = now() where expires_at is not null and remaining = 0 $$);
select is(give_back('lots'), 8::bigint, 'without grace they come back');
select note('spendable', ledger.available_credits(user_id('author'))::text);
select is(balance('author') - noted('spendable')::bigint, 8::bigint, 'K5: and are lapsed at once');
select is(ledger.expire_lots(), 8::bigint, 'K5: and swept');
update app.economy set refund_grace_days = 7;
select is_empty('select * from ledger.verify()', 'K5: verify agrees with what lapsed');

-- Taken back by an operator (K6) --------------------------------------------------------------

create function tests.take_back(name text, credits bigint default null)
returns bigint
language sql volatile
return (ledger.reverse(tests.user_id('author'), tests.noted(name)::uuid, credits)).balance_after;

select tamper('update ledger.lots set expires_at = null');
select note('wallet', balance('author')::text), set_aside('taken', 5), capture('taken');
select is((money())[5], 11::bigint, 'K6: the platform has five credits more');
select is(take_back('taken', 2), noted('wallet')::bigint - 3, 'K6: a part of what was captured is taken back');
select is((money())[5], 9::bigint, 'K6: from the platform');
select is_empty('select * from ledger.verify()', 'K6: verify agrees with the part');
select is(array[give_back('taken'), capture('taken')], array[0, 0]::bigint[], 'K6: the rest is not given back or captured again');
select is(take_back('taken'), noted('wallet')::bigint, 'K6: and can be taken back as well');
select is((money())[5], 6::bigint, 'K6: then the platform has nothing of it');
select is_empty('select * from ledger.verify()', 'K6: verify agrees when all of it came back');

-- What verify sees, and what is refused -------------------------------------------------------

select set_aside('open', 3);
select is(seen_after(format(statement, noted(reservation))), array['reservation: ' || seen], format('K8: verify sees %s', what))
from (values
    ('what is held and called captured', 'open',
        $$ update ledger.reservations set state = 'captured', settled_at = now() where id = %L $$,
        'captured, 3 credits; its movements took 3 and left 3'),
    ('what is held and called released', 'open',
        $$ update ledger.reservations set state = 'released', settled_at = now() where id = %L $$,
        'released, 3 credits; its movements took 3 and left 3'),
    ('what was captured and is called held', 'first',
        $$ update ledger.reservations set state = 'held', settled_at = null where id = %L $$,
        'held, 5 credits; its movements took 5 and left 0'),
    ('what was captured and is called released', 'first',
        $$ update ledger.reservations set state = 'released' where id = %L $$,
        'released, 5 credits; its movements took 5 and left 0'),
    ('what was given back and is called held', 'second',
        $$ update ledger.reservations set state = 'held', settled_at = null where id = %L $$,
        'held, 4 credits; its movements took 4 and left 0'),
    ('what was given back and is called captured', 'second',
        $$ update ledger.reservations set state = 'captured' where id = %L $$,
        'captured, 4 credits; its movements took 4 and left 0'),
    ('a reservation of more than was taken', 'open', $$ update ledger.reservations set credits = 4 where id = %L $$,
        'held, 4 credits; its movements took 3 and left 3'),
    ('a reservation that is gone', 'open', $$ delete from ledger.reservations where id = %L $$,
        'not there, 0 credits; its movements took 3 and left 3'),
    ('a reservation of nothing', 'open',
        $$ insert into ledger.reservations (book_id, id, credits)
           select r.book_id, app.new_id(), 3 from ledger.reservations as r where r.id = %L $$,
        'held, 3 credits; its movements took 0 and left 0'),
    ('what was captured twice', 'first',
        $$ insert into ledger.transfers (
               book_id, transaction_id, debit_owner_id, debit_kind, credit_owner_id, credit_kind, amount, asset, kind)
           select t.book_id, t.transaction_id, t.debit_owner_id, t.debit_kind, t.credit_owner_id, t.credit_kind, t.amount, t.asset, t.kind
           from ledger.transfers as t where t.kind = 'capture' and t.transaction_id = %L $$,
        'captured, 5 credits; its movements took 5 and left -5'),
    ('what was captured and never set aside', 'first',
        $$ insert into ledger.transfers (
               book_id, transaction_id, debit_owner_id, debit_kind, credit_owner_id, credit_kind, amount, asset, kind)
           select t.book_id, app.new_id(), t.debit_owner_id, t.debit_kind, t.credit_owner_id, t.credit_kind, t.amount, t.asset, t.kind
           from ledger.transfers as t where t.kind = 'capture' and t.transaction_id = %L $$,
        'not there, 0 credits; its movements took 0 and left -5')
) as tampering (what, reservation, statement, seen);
select is(
    array[left(refusal('delete from ledger.reservations'), 19), left(refusal('truncate ledger.reservations'), 19)],
    array_fill('PT403 append_only: '::text, array[2]), 'and reservations do not vanish');
select is(
    refusal(format('select ledger.reverse(%L, %L)', user_id('author'), noted('open'))),
    'PT409 still_reserved: These credits are not spent yet. Cancel what they are set aside for: then they come back.',
    'what is set aside is not reversed, but released');
select is_empty('select * from ledger.verify()', 'verify agrees with what is left open');

select * from finish();
rollback;
