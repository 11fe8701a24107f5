-- ledger: lots, what credits were paid for and when they lapse (K5).
begin;
\ir helpers.psql
\ir alone.psql
select plan(31);

select create_person('reader'), create_person('saver'), create_person('creator');

-- A lot is known by its size in what follows.
create function tests.drawn(transaction_id uuid)
returns text
language sql volatile
return (
    select string_agg(format('%s of %s', d.credits, l.credits), ', ' order by l.expires_at, l.id)
    from ledger.draws as d
    inner join ledger.lots as l on l.book_id = d.book_id and l.id = d.lot_id
    where d.transaction_id = drawn.transaction_id
);

-- The order of spending -----------------------------------------------------------------------

select give('reader', 10);
select give('reader', 20, 'allowance', now() + interval '30 days');
select give('reader', 30, 'bonus', now() + interval '10 days');
select give('reader', 40, 'bonus', now() + interval '10 days');
select give('reader', 50, 'purchase');

select is(tests.drawn((spend('reader', 5)).transaction_id), '5 of 30', 'K5: what lapses first is spent first');
select is(
    tests.drawn((spend('reader', 30)).transaction_id), '25 of 30, 5 of 40',
    'K5: of two that lapse together the older one');
select is(
    tests.drawn((spend('reader', 60)).transaction_id), '35 of 40, 20 of 20, 5 of 10',
    'K5: then what lapses later, and last what never does, oldest first');
select is(tests.drawn((spend('reader', 55)).transaction_id), '5 of 10, 50 of 50', 'K5: to the last credit');
select is(
    refusal($$ select spend('reader', 1) $$),
    'PT402 insufficient_credits: Not enough credits. This costs 1 credits; you have 0.', 'K5: and then no further');
select is_empty('select * from ledger.lots where remaining > 0', 'K5: nothing is left in any lot');

-- Lapsed credits ------------------------------------------------------------------------------

select give('saver', 7, 'grant', now() - interval '1 second');
select give('saver', 8, 'grant', now());
select give('saver', 9, 'grant', now() + interval '1 second');
select is(balance('saver'), 24::bigint, 'K5: until they are swept, lapsed credits lie in the wallet');
select is(ledger.available_credits(user_id('saver')), 9::bigint, 'K5: and are not available, from the very moment on');
select is(
    refusal($$ select spend('saver', 10) $$),
    'PT402 insufficient_credits: Not enough credits. This costs 10 credits; you have 9.', 'K5: they are not spent');
select is(tests.drawn((spend('saver', 4)).transaction_id), '4 of 9', 'K5: they are passed over, and swept on the way');

select give('reader', 3, 'allowance', now() - interval '1 day');
select is(ledger.expire_lots(1), 3::bigint, 'K5: sweeping goes person by person');
select give('reader', 2, 'allowance', now() - interval '1 day');
select is(ledger.expire_lots(), 2::bigint, 'K5: and reports the credits that lapsed');
select is(ledger.expire_lots(), 0::bigint, 'K5: once');
select is(balance('saver'), 5::bigint, 'K5: then the wallet is without them');
select is(balance('reader'), 0::bigint, 'K5: so is the other one');
select is(ledger.balance(ledger.platform_id(), 'expired'), 20::bigint, 'K5: the platform has them in its account');
select set_eq(
    format(
        $$ select t.amount::bigint, t.debit_kind, t.credit_kind, l.credits::bigint, l.remaining, l.withdrawn
        from ledger.transfers as t
        inner join ledger.lots as l on l.book_id = t.book_id and l.id = t.reference_id
        where t.kind = 'expiry' and t.book_id = %L $$, user_id('saver')),
    $$ values (7::bigint, 'wallet', 'expired', 7::bigint, 0::bigint, 7::bigint), (8, 'wallet', 'expired', 8, 0, 8) $$,
    'K5: each lot has its movement, and says that nobody spent it');
select is(
    (select (array_agg(t.balance_after order by t.id desc))[1] from ledger.transfers as t where t.book_id = user_id('saver')),
    5::bigint, 'K5: the statement ends at the balance');

-- Value ---------------------------------------------------------------------------------------

select create_person('payer');
select give('payer', 7, 'purchase', paid_microdollars => 100);
select spend('payer', 1) from generate_series(1, 7);
select is(
    (select array_agg(d.value_microdollars order by d.transaction_id) from ledger.draws as d where d.book_id = user_id('payer')),
    array[14, 14, 14, 15, 14, 14, 15]::bigint[], 'K5: seven credits for 100 micro-dollars come to 100, one by one');
select give('payer', 3, 'purchase', now() + interval '1 day', 100);
select spend('payer', 1);
update ledger.lots set expires_at = now() where not is_spent and book_id = user_id('payer');
select is(ledger.expire_lots(), 2::bigint, 'K5: a lot that was begun lapses with what is left');
select is(
    (select sum(d.value_microdollars) from ledger.draws as d inner join ledger.lots as l on l.id = d.lot_id
        where l.credits = 3 and l.book_id = user_id('payer')),
    100::numeric, 'K5: and with the rest of its value');

select is(
    (select count(*)
        from generate_series(1, 40) as parts
        cross join (values (0), (1), (99), (100), (101), (1000000007)) as w (whole)
        where w.whole <> (
            select sum(ledger.portion(w.whole, step, 1, parts)) from generate_series(0, parts - 1) as step)),
    0::bigint, 'K5: portions add up to the whole, whatever it is');
select is(
    ledger.portion(9223372036854775807, 9223372036854775806, 1, 9223372036854775807), 1::bigint,
    'K5: the largest numbers there are included');

-- What a credit was paid for can bound what it earns (K8: cash_value) ---------------------------

select give('payer', 10, 'purchase', paid_microdollars => 300000);
select is(
    (spend('payer', 4, '{creator}')).earned_microdollars, 140000::bigint,
    'fixed: a credit earns its payout value, whatever was paid for it');
update app.economy set earnings_mode = 'cash_value';
select is(
    (spend('payer', 4, '{creator}')).earned_microdollars, 84000::bigint,
    'cash_value: at most what was paid for it, here 30,000 each');
select results_eq(
    $$ select credit_value from ledger.transfers where kind = 'earning' order by id $$, array[50000, 30000]::bigint[],
    'the movement notes which');
select give('payer', 10);
select is(
    (spend('payer', 6, '{creator}')).earned_microdollars, 42000::bigint,
    'cash_value: two paid ones and four that cost nothing earn what the two brought');
select is(
    (spend('payer', 6, '{creator}')).earned_microdollars, 0::bigint, 'cash_value: a gift earns nothing');
select give('payer', 1, 'purchase', paid_microdollars => 1000000);
select is(
    (spend('payer', 1, '{creator}')).earned_microdollars, 35000::bigint,
    'cash_value: a dear credit earns no more than the payout value');
select is(balance('creator', 'earnings'), 301000::bigint, 'all of it together');

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
