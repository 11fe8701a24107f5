-- ledger: what a sale earns, how it is split, and taking it back (K6, K7).
begin;
\ir helpers.psql
\ir alone.psql
select plan(52);

select create_person('reader'), create_person('first'), create_person('second'), create_person('third');
select give('reader', 5000);

create function tests.earned(transaction_id uuid)
returns bigint[]
language sql volatile
return (
    select array_agg(t.amount order by t.id)
    from ledger.transfers as t where t.transaction_id = earned.transaction_id and t.asset = 'usd'
);

create function tests.reverse(sale text, credits bigint default null)
returns ledger.receipt
language sql volatile
return ledger.reverse(tests.user_id('reader'), tests.noted(sale)::uuid, credits);

-- Shares (K1, K7) -----------------------------------------------------------------------------

select note('simple', (spend('reader', 5, '{first}')).transaction_id::text);
select results_eq(
    format(
        $$ select
            kind::text, debit_kind, credit_owner_id, amount::bigint, credits, credit_value, creator_basis_points, split_basis_points
        from ledger.transfers where transaction_id = %L and asset = 'usd' $$, noted('simple')),
    format(
        $$ values ('earning', 'royalties', %L::uuid, 175000::bigint, 5::bigint, 50000::bigint, 7000, 10000) $$, user_id('first')),
    'K1: 70 % of 5 credits at $0.05 is $0.175, exactly, and says how it came about');
select is(tests.earned((spend('reader', 4, '{first}', basis_points => 7500)).transaction_id), array[150000]::bigint[], 'K7: 75 %');
select is(tests.earned((spend('reader', 3, '{first}', basis_points => 10000)).transaction_id), array[150000]::bigint[], 'K7: all');
select is(tests.earned((spend('reader', 3, '{first}', basis_points => 0)).transaction_id), null, 'K7: nothing, without a row');
select is(tests.earned((spend('reader', 3)).transaction_id), null, 'K7: a sale without a creator earns nobody');
select is(
    tests.earned((spend('reader', 5, '{first,second,third}', '{3333,3333,3334}')).transaction_id),
    array[58328, 58327, 58345]::bigint[], 'K7: what does not divide goes to the first');
select is(
    tests.earned((spend('reader', 5, '{third,first,second}', '{3334,3333,3333}')).transaction_id),
    array[58346, 58327, 58327]::bigint[], 'K7: whoever that is');
update app.economy set credit_value_microdollars = 1;
select is(
    tests.earned((spend('reader', 3, '{first,second,third}', '{3333,3333,3334}')).transaction_id),
    array[2]::bigint[], 'K7: two micro-dollars for three leave two of them without a row');
select is(
    tests.earned((spend('reader', 1, '{first}')).transaction_id), null, 'K7: seven tenths of a micro-dollar are nothing');
update app.economy set credit_value_microdollars = 50000;
select is(balance('first', 'earnings'), 175000 + 150000 + 150000 + 58328 + 58327 + 2::bigint, 'K7: the first has all of it');

-- Taking back the whole (K6) ------------------------------------------------------------------

select note('before', balance('reader')::text);
select results_eq(
    $$ select balance_after, earned_microdollars from tests.reverse('simple') $$,
    format('values (%s::bigint, -175000::bigint)', noted('before')::bigint + 5),
    'K6: five credits come back, and what they earned');
select is(balance('reader'), noted('before')::bigint + 5, 'K6: into the wallet');
select is(balance('first', 'earnings'), 416657::bigint, 'K6: out of the earnings');
select is(
    refusal($$ select tests.reverse('simple') $$), 'PT409 already_reversed: This sale was taken back already.',
    'K6: twice is 409');
select is(
    refusal($$ select tests.reverse('simple', 1) $$), 'PT409 already_reversed: This sale was taken back already.',
    'K6: one credit more, too');
select results_eq(
    $$ select kind::text, asset, amount::bigint from ledger.transfers where reverses_id is not null order by id $$,
    $$ values ('refund', 'credit', 5::bigint), ('clawback', 'usd', 175000) $$,
    'K6: as new movements that name what they take back');
select is(
    refusal(format('select ledger.reverse(%L, %L)', user_id('reader'), transaction_id)),
    'PT404 transaction_not_found: There is no such sale.', format('K6: %s is not a sale', what))
from (values
    ('a refund', (select t.transaction_id from ledger.transfers as t where t.kind = 'refund')),
    ('a grant', (select t.transaction_id from ledger.transfers as t where t.kind = 'grant')),
    ('something unheard of', app.new_id()), ('null', null)
) as wrong (what, transaction_id);
select is(
    refusal(format('select ledger.reverse(%L, %L)', user_id('second'), noted('simple'))),
    'PT404 transaction_not_found: There is no such sale.', 'K6: nor is somebody else''s');

-- Taking back parts that add up (K6) ----------------------------------------------------------

update app.economy set credit_value_microdollars = 33333;
select note('parts', (spend('reader', 1000, '{first}')).transaction_id::text);
select note('before', balance('first', 'earnings')::text);
update app.economy set credit_value_microdollars = 50000, story_creator_basis_points = 1000, earnings_mode = 'cash_value';
select is(tests.earned(noted('parts')::uuid), array[23333100]::bigint[], 'K6: 1000 credits at $0.033333 earned $23.3331');
select is(
    refusal(format($$ select tests.reverse('parts', %s) $$, credits)),
    'PT422 reversal_too_large: No more can come back than was spent. 1000 credits were spent and 0 came back before.',
    format('K6: %s of them cannot come back', credits))
from (values (0::bigint), (-1), (1001), (9223372036854775807), (-9223372036854775808)) as wrong (credits);
select is((tests.reverse('parts', 333)).earned_microdollars, -7769922::bigint, 'K6: a third, rounded down');
select ok(not ledger.is_reversed(user_id('reader'), noted('parts')::uuid), 'K6: the sale is not taken back yet');
select is((tests.reverse('parts', 333)).earned_microdollars, -7769922::bigint, 'K6: another');
select is(
    refusal($$ select tests.reverse('parts', 335) $$),
    'PT422 reversal_too_large: No more can come back than was spent. 1000 credits were spent and 666 came back before.',
    'K6: no more than what is left');
select is((tests.reverse('parts', 334)).earned_microdollars, -7793256::bigint, 'K6: the rest brings the remainder');
select ok(ledger.is_reversed(user_id('reader'), noted('parts')::uuid), 'K6: now it is taken back');
select is(
    balance('first', 'earnings'), noted('before')::bigint - 23333100,
    'K6: exactly what it earned, at the rates of the day it was sold');
select is(refusal($$ select tests.reverse('parts') $$), 'PT409 already_reversed: This sale was taken back already.', 'K6: for good');

update app.economy set credit_value_microdollars = 50000, earnings_mode = 'fixed';
create temporary table before_sale as
select h.handle, balance(h.handle, 'earnings') as earnings from (values ('first'), ('second'), ('third')) as h (handle);
select note('shared', (spend('reader', 7, '{first,second,third}', '{3333,3333,3334}')).transaction_id::text);
select tests.reverse('shared', 1) from generate_series(1, 6);
select isnt(
    balance('second', 'earnings'), (select b.earnings from before_sale as b where b.handle = 'second'),
    'K7: six of seven are not all');
select tests.reverse('shared');
select results_eq(
    $$ select handle, balance(handle, 'earnings') from before_sale order by handle $$,
    $$ select handle, earnings from before_sale order by handle $$,
    'K7: taken back credit by credit, three authors are where they were, each to the micro-dollar');

-- A creator below zero (K6) -------------------------------------------------------------------

select create_person('paid');
select note('sale', (spend('reader', 10, '{paid}')).transaction_id::text);
select ledger.post(
    user_id('paid'), app.new_id(),
    array[ledger.posting('clawback', 'usd', user_id('paid'), 'earnings', ledger.platform_id(), 'royalties', 350000, 'test', null)]);
select is(balance('paid', 'earnings'), 0::bigint, 'K6: who has nothing left of what was earned');
select is((tests.reverse('sale', 4)).earned_microdollars, -140000::bigint, 'K6: can still lose a sale');
select is(balance('paid', 'earnings'), -140000::bigint, 'K6: and owes it');
select spend('reader', 5, '{paid}');
select is(balance('paid', 'earnings'), 35000::bigint, 'K6: the next sale nets it');

-- The lots that come back (K5, K6) ------------------------------------------------------------

select create_person('mixed');
select give('mixed', 10, 'purchase', now() + interval '30 days', 100);
select give('mixed', 10, 'purchase', null, 1000);
select note('mixed', (spend('mixed', 15, '{first}')).transaction_id::text);
create function tests.returned(credits bigint)
returns text
language plpgsql volatile
as $$
declare
    v_transaction_id constant uuid := (
        select r.transaction_id
        from ledger.reverse(tests.user_id('mixed'), tests.noted('mixed')::uuid, returned.credits) as r);
begin
    return (
        select string_agg(
            format(
                '%s of source %s, paid %s, for %s', l.credits, l.source, l.paid_microdollars,
                coalesce(extract(day from l.expires_at - now()) || ' days', 'ever')),
            '; ' order by l.id)
        from ledger.lots as l
        where l.transaction_id = v_transaction_id);
end;
$$;

select is(tests.returned(4), '4 of source refund, paid 400, for ever', 'K5: what was drawn last comes back first');
select is(
    tests.returned(4), '3 of source refund, paid 30, for 30 days; 1 of source refund, paid 100, for ever',
    'K5: with the value and the expiry it had');
update ledger.lots set expires_at = now() where credits = 10 and expires_at is not null;
select is(
    tests.returned(3), '3 of source refund, paid 30, for 7 days',
    'K5: what lapsed meanwhile can be spent for the days of grace');
update app.economy set refund_grace_days = 0;
select is(tests.returned(1), '1 of source refund, paid 10, for 0 days', 'K5: without grace it comes back');
select is(ledger.available_credits(user_id('mixed')), 16::bigint, 'K5: and is lapsed again');
select is(tests.returned(null), '3 of source refund, paid 30, for 0 days', 'K5: the rest');
select is(ledger.expire_lots(), 4::bigint, 'K5: and is swept');
select is(
    (select sum(l.paid_microdollars) from ledger.lots as l where l.book_id = user_id('mixed') and l.source = 'refund'),
    600::numeric, 'K5: fifteen credits for 600 micro-dollars came back as just that');
select note('again', (spend('mixed', 16, '{first}')).transaction_id::text);
select is(
    (select sum(d.value_microdollars) from ledger.draws as d where d.transaction_id = noted('again')::uuid),
    1060::numeric, 'K5: and are spent with that value again');
select is(
    (ledger.reverse(user_id('mixed'), noted('again')::uuid, null)).balance_after, 16::bigint,
    'K6: a refund that was spent can come back once more');

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
