-- ledger: taking back what a payment bought, unspent credits first, then the sales (K6, cases 4 to 6).
begin;
\ir helpers.psql
\ir alone.psql
select plan(74);

select create_person('reader'), create_person('first'), create_person('second');

-- Credits of a payment of that name; a recall of that name.
create function tests.paid(payment text, credits bigint, paid_microdollars bigint, source text default 'purchase')
returns bigint
language plpgsql volatile
as $$
begin
    perform tests.note(paid.payment, coalesce(tests.noted(paid.payment), app.new_id()::text));
    return (ledger.grant_credits(
        tests.user_id('reader'), paid.credits, paid.source, paid.paid_microdollars,
        reference_type => 'payment', reference_id => tests.payment(paid.payment))).balance_after;
end;
$$;

create function tests.sold(sale text, credits bigint, creators text[] default '{first}', parts integer[] default '{10000}')
returns bigint
language plpgsql volatile
as $$
declare
    v_receipt constant ledger.receipt := tests.spend('reader', sold.credits, sold.creators, sold.parts);
begin
    perform tests.note(sold.sale, v_receipt.transaction_id::text);
    return v_receipt.earned_microdollars;
end;
$$;

create function tests.recall(name text, payment text, credits bigint, is_final boolean default false)
returns text
language plpgsql volatile
as $$
begin
    perform tests.note(
        recall.name,
        ledger.recall(
            tests.user_id('reader'), tests.payment(recall.payment), recall.credits, recall.is_final, 'test', app.new_id())::text);
    return tests.recalled(recall.name);
end;
$$;

create function tests.recalled(name text)
returns text
language sql stable
return (
    select format('%s: %s unspent, %s sold, %s missing, %s', r.credits, r.from_wallet, r.from_sales, r.missing, r.state)
    from ledger.recalls as r
    where r.book_id = tests.user_id('reader') and r.id = tests.noted(recalled.name)::uuid
);

create function tests.settle(name text)
returns boolean
language sql volatile
return ledger.settle_recall(tests.user_id('reader'), tests.noted(name)::uuid);

create function tests.release(name text)
returns boolean
language sql volatile
return ledger.release_recall(tests.user_id('reader'), tests.noted(name)::uuid);

create function tests.reverse(sale text, credits bigint default null)
returns text
language sql volatile
return (
    select r.balance_after || ' ' || r.earned_microdollars
    from ledger.reverse(tests.user_id('reader'), tests.noted(sale)::uuid, credits) as r
);

-- Everybody's money: the reader's wallet and what is frozen of it, then each creator's earnings and frozen earnings.
create function tests.money()
returns text
language sql stable
return format(
    '%s+%s | %s+%s | %s+%s', tests.balance('reader'), tests.balance('reader', 'frozen_credits'),
    tests.balance('first', 'earnings'), tests.balance('first', 'frozen_earnings'),
    tests.balance('second', 'earnings'), tests.balance('second', 'frozen_earnings'));

create function tests.platform()
returns bigint[]
language sql stable
return array[
    ledger.balance(ledger.platform_id(), 'issued'), ledger.balance(ledger.platform_id(), 'redeemed'),
    ledger.balance(ledger.platform_id(), 'expired'), ledger.balance(ledger.platform_id(), 'royalties')];

-- Case 6: what is not spent first, then the newest sale ---------------------------------------
select is(tests.paid('one', 100, 5000000), 100::bigint, 'a payment of 5 dollars for 100 credits');
select is(tests.sold('older', 30), 1050000::bigint, '30 of them are spent on one creator');
select is(tests.sold('newer', 40, '{second}'), 1400000::bigint, 'and 40 on another');
select is(tests.recall('a', 'one', 50), '50: 30 unspent, 20 sold, 0 missing, frozen', 'case 6: unspent credits go first');
select is(tests.money(), '0+30 | 1050000+0 | 700000+700000', 'case 6: then the newest sale, and nothing leaves anybody for good');
select is(
    tests.platform(), array[-100, 70, 0, -2450000]::bigint[], 'the platform has issued 100 credits and redeemed 70, still');
select is_empty('select * from ledger.verify()', 'verify agrees while it is frozen');
select is(
    refusal($$ select tests.spend('reader', 1) $$),
    'PT402 insufficient_credits: Not enough credits. This costs 1 credits; you have 0.', 'what is frozen cannot be spent');
select results_eq(
    format(
        $$ select t.kind::text, t.asset, t.debit_kind, t.credit_kind, t.amount::bigint, t.reference_type
           from ledger.transfers as t where t.transaction_id = %L order by t.id $$, noted('a')),
    $$ values
       ('freeze', 'credit', 'wallet', 'frozen_credits', 30::bigint, 'test'),
       ('freeze', 'usd', 'earnings', 'frozen_earnings', 700000::bigint, 'test') $$,
    'two movements say so');
select is(ledger.lifetime_earned(user_id('second')), 700000::bigint, 'what is frozen is not earned for now');

-- Released: as it was -------------------------------------------------------------------------
select is(tests.release('a'), true, 'released');
select is(tests.money(), '30+0 | 1050000+0 | 1400000+0', 'everything is where it was');
select is(ledger.lifetime_earned(user_id('second')), 1400000::bigint, 'earned as before');
select is(tests.recalled('a'), '50: 30 unspent, 20 sold, 0 missing, released', 'and the recall says so');
select is(tests.release('a'), false, 'once');
select is(tests.settle('a'), false, 'and it does not end otherwise');
select results_eq(
    $$ select l.credits::bigint, l.remaining::bigint, l.paid_microdollars, l.source::text, l.expires_at, l.payment_id, o.credits::bigint
       from ledger.lots as l inner join ledger.lots as o on o.book_id = l.book_id and o.id = l.origin_id $$,
    $$ values (30::bigint, 30::bigint, 1500000::bigint, 'purchase', null::timestamptz, tests.payment('one'), 100::bigint) $$,
    'the credits came back with their value, their payment and their origin');
select is_empty('select * from ledger.verify()', 'verify agrees after it was released');

-- Final at once, and given back after all -----------------------------------------------------
select is(tests.recall('b', 'one', 80, true), '80: 30 unspent, 50 sold, 0 missing, final', 'case 6: 80 of 100 go for good');
select is(tests.money(), '0+0 | 700000+0 | 0+0', 'case 6: the newest sale whole, of the older one 10 credits');
select is(tests.platform(), array[-20, 20, 0, -700000]::bigint[], 'as if 80 credits had never been issued');
select is(tests.settle('b'), false, 'final is final');
select is_empty('select * from ledger.verify()', 'verify agrees when it is final');
select is(tests.release('b'), true, 'what was final is given back');
select is(tests.money(), '80+0 | 700000+0 | 0+0', 'to the payer all of it as credits; the sales stay taken back');
select is(tests.recalled('b'), '80: 30 unspent, 50 sold, 0 missing, returned', 'which has a name of its own');
select is(tests.release('b'), false, 'once');
select is(
    refusal($$ select tests.reverse('newer') $$), 'PT409 already_reversed: This sale was taken back already.',
    'a sale that was taken back is not taken back again');
select is(
    refusal($$ select tests.reverse('older', 21) $$),
    'PT422 reversal_too_large: No more can come back than was spent. 30 credits were spent and 10 came back before.',
    'nor the part of another');
select is_empty('select * from ledger.verify()', 'verify agrees when it was given back');
select is(tests.recall('c', 'one', 100, true), '100: 80 unspent, 20 sold, 0 missing, final', 'all of it, the second time');
select is(tests.money(), '0+0 | 0+0 | 0+0', 'all earnings are gone, to the micro-dollar');
select is(tests.platform(), array[0, 0, 0, 0]::bigint[], 'and nothing was ever issued');
select is(
    tests.recall('d', 'one', 7), '7: 0 unspent, 0 sold, 7 missing, frozen', 'what is not there any more is missing');
select is(tests.settle('d'), true, 'which is the platform''s loss');
select is(tests.release('d'), true, 'and nothing to give back');
select is(tests.money(), '0+0 | 0+0 | 0+0', 'to anybody');
select is_empty('select * from ledger.verify()', 'verify agrees with nothing');

-- A sale paid from two payments, of which one is taken back -----------------------------------
select tests.paid('left', 4, 200000), tests.paid('right', 6, 300000);
select is(tests.sold('both', 10, '{first,second}', '{6667,3333}'), 350000::bigint, 'a sale from two payments, by two authors');
select is(tests.money(), '0+0 | 233345+0 | 116655+0', 'the first author has what does not divide');
select is(tests.recall('e', 'left', 4), '4: 0 unspent, 4 sold, 0 missing, frozen', 'one payment is disputed');
select is(tests.money(), '0+0 | 140007+93338 | 69993+46662', 'only its part of the sale is frozen');
select is(tests.reverse('both'), '6 -210000', 'the rest of the sale is refunded to the reader meanwhile');
select is(tests.money(), '6+0 | 0+93338 | 0+46662', 'which takes the rest from the authors');
select is(ledger.is_reversed(user_id('reader'), noted('both')::uuid), false, 'what is frozen is not decided');
select is_empty('select * from ledger.verify()', 'verify agrees with both at once');
select is(tests.settle('e'), true, 'the dispute is lost');
select is(tests.money(), '6+0 | 0+0 | 0+0', 'and nobody has anything of it, to the micro-dollar');
select is(ledger.is_reversed(user_id('reader'), noted('both')::uuid), true, 'now the sale is taken back whole');
select is(
    tests.recall('f', 'right', 6, true), '6: 6 unspent, 0 sold, 0 missing, final',
    'credits of a refunded sale are known as their payment''s');
select is_empty('select * from ledger.verify()', 'verify agrees when both payments are gone');

-- The other order, and a refund that reaches into the disputed part.
select tests.paid('left2', 4, 200000), tests.paid('right2', 6, 300000);
select tests.sold('both2', 10, '{first,second}', '{6667,3333}');
select is(tests.reverse('both2', 7), '7 -244999', 'seven of ten come back: the last drawn first');
select is(
    tests.recall('g', 'left2', 4), '4: 1 unspent, 3 sold, 0 missing, frozen', 'one of them is of the disputed payment');
select is(tests.money(), '6+1 | 0+70004 | 0+34997', 'the three others are frozen with the authors');
select is(tests.release('g'), true, 'won');
select is(tests.money(), '7+0 | 70004+0 | 34997+0', 'as before');
select is(tests.reverse('both2'), '10 -105001', 'what is left of the sale comes back');
select is(tests.recall('h', 'left2', 4, true), '4: 4 unspent, 0 sold, 0 missing, final', 'and can be taken back as credits');
select tests.sold('again', 6, '{second}');
select is(tests.recall('i', 'right2', 6, true), '6: 0 unspent, 6 sold, 0 missing, final', 'spent again, it is found in the new sale');
select is(tests.money(), '0+0 | 0+0 | 0+0', 'all is gone');
select is_empty('select * from ledger.verify()', 'verify agrees in the other order');

-- Case 5: after the creator was paid ----------------------------------------------------------
select tests.paid('paid_out', 10, 500000);
select tests.sold('paid_out_sale', 10);
insert into ledger.transfers (
    book_id, transaction_id, debit_owner_id, debit_kind, credit_owner_id, credit_kind, amount, asset, kind)
values (
    user_id('first'), app.new_id(), user_id('first'), 'earnings', ledger.platform_id(), 'royalties', 350000, 'usd', 'refund');
select tests.recall('j', 'paid_out', 4);
select is(tests.money(), '0+0 | -140000+140000 | 0+0', 'case 5: what was paid is owed');
select tests.settle('j');
select tests.recall('k', 'paid_out', 6, true);
select is(tests.money(), '0+0 | -350000+0 | 0+0', 'case 5: all of it');
select is_empty('select * from ledger.verify()', 'case 5: verify agrees');

-- What credits lapse, what is sold without a creator, what earned by its price ----------------
select tests.paid('lapsing', 10, 500000);
select tests.tamper($$ update ledger.lots set expires_at = now() where payment_id = tests.payment('lapsing') $$);
select is(tests.recall('l', 'lapsing', 10), '10: 0 unspent, 0 sold, 10 missing, frozen', 'credits that lapsed are missing');
select tests.release('l');
select tests.paid('free', 3, 150000);
select tests.sold('unowned', 3, '{}');
select is(tests.recall('m', 'free', 3, true), '3: 0 unspent, 3 sold, 0 missing, final', 'a sale without a creator is reached too');
update app.economy set earnings_mode = 'cash_value';
select tests.paid('cheap', 10, 100000);
select is(tests.sold('cheap_sale', 10, '{second}'), 70000::bigint, 'cash_value: credits earn what was paid for them');
select tests.recall('n', 'cheap', 3, true);
select is(tests.balance('second', 'earnings'), 49000::bigint, 'cash_value: and lose no more');
update app.economy set earnings_mode = 'fixed';

-- Nothing vanishes, nothing is changed --------------------------------------------------------
select is(
    array(select left(refusal(s), 19) from unnest(array[
        'delete from ledger.recalls', 'truncate ledger.recalls cascade', 'update ledger.recall_lines set credits = 1',
        'delete from ledger.recall_lines', 'truncate ledger.recall_lines']) as s),
    array_fill('PT403 append_only: '::text, array[5]), 'recalls do not vanish, and their lines do not change');

-- What verify sees ----------------------------------------------------------------------------
select tests.paid('open', 10, 500000);
select tests.sold('open_sale', 6, '{second}');
select tests.recall('o', 'open', 8);
select is(tests.seen_after(statement), seen, format('K8: verify sees %s', what))
from (values
    ('a recall that says too much', $$ update ledger.recalls set from_wallet = 5, from_sales = 3 where state = 'frozen' and credits = 8 $$,
        array['recall: says 5 from the wallet and 3 from sales, its rows say 4 and 4']),
    ('a recall that was decided without a movement', $$ update ledger.recalls set state = 'final' where state = 'frozen' and credits = 8 $$,
        array[
            'clawback: 0 of 6 credits came back, and 140000 of 210000 micro-dollars',
            'frozen: 140000 is frozen, recalls that wait say 0', 'frozen: 4 is frozen, recalls that wait say 0']),
    ('a sale that was taken twice',
        $$ insert into ledger.recall_lines select n.book_id, c.id, n.lot_id, n.spend_transaction_id, 3
           from ledger.recall_lines as n cross join ledger.recalls as c
           where n.recall_id = noted('o')::uuid and c.id = noted('l')::uuid;
           update ledger.recalls set state = 'final', missing = 7, from_sales = 3 where id = noted('l')::uuid $$,
        array['draw_taken_twice: 7 of 6 credits were taken back'])
) as tampering (what, statement, seen);

-- Three parts of a sale are frozen and the one between the others is released: the two that stay are a
-- micro-dollar behind their share, which the next part makes good.
select is(
    tests.seen_after($$
        select tests.paid('parts', 5, 250000);
        select tests.sold('parts_sale', 5, '{first,second}', '{6667,3333}');
        select tests.recall('p', 'parts', 2);
        select tests.recall('q', 'parts', 1);
        select tests.recall('r', 'parts', 1);
        select tests.release('q') $$),
    '{}', 'a part released between two others is no violation');

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
