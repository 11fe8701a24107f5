-- payments: receipts, numbered and printed, and Stripe's statement against the ledger (LB1).
begin;
\ir helpers.psql
select plan(63);

select count(tests.create_person(p)) from unnest(array['reader', 'friend', 'operator']) as p;
select tests.make_package('Round', 100, 0, 1000);
update app.profiles set display_name = 'Ada <script>alert(1)</script> & "Co"' where handle = 'reader';

create function tests.number_of(name text)
returns text
language sql stable security definer
return (
    select app.receipt_number(p.receipt_year, p.receipt_serial, p.receipt_seller ->> 'receipt_prefix')
    from app.payments as p where p.id = tests.payment(number_of.name)
);

create function tests.page(payment_id uuid)
returns text
language sql stable
return (select api.receipt_pages(r)::text from api.receipt(page.payment_id) as r);

-- Numbers -------------------------------------------------------------------------------------
select is(app.receipt_number(null, null, null), null, 'what is not paid has no number');
update app.receipt_serials set last_serial = last_serial;
savepoint before_anybody; -- noqa: PRS
select tests.buy_credits('undone', 'reader');
select is(right(tests.number_of('undone'), 6), '000001', 'the first of a year is 1');
rollback to before_anybody; -- noqa: PRS
select is_empty('select * from app.receipt_serials', 'a payment that was undone gives its number back');
select tests.buy_credits('first', 'reader'), tests.buy_credits('second', 'friend');
select is(
    array[tests.number_of('first'), tests.number_of('second')],
    array(select format('R-%s-%s', extract(year from now() at time zone 'UTC'), n) from unnest('{000001,000002}'::text[]) as n),
    'and then one by one, whoever pays');
select tests.start_payment('friend', 'Round');
select tests.buy_credits('third', 'friend', 'Round');
select is(right(tests.number_of('third'), 6), '000003', 'what is not paid leaves no gap');
select is(app.receipt_number(2026, 1234567, 'R'), 'R-2026-1234567'::text, 'a long year is not cut off');

-- Years begin in the business time zone: in one of these two it is another day than in the other.
create function tests.year_in(zone text)
returns integer
language plpgsql volatile
as $$
begin
    update app.economy set business_time_zone = year_in.zone;
    return (app.next_receipt_number()).year;
end;
$$;
savepoint years; -- noqa: PRS
select is(
    array[tests.year_in('Pacific/Kiritimati'), tests.year_in('Etc/GMT+12')],
    array[
        extract(year from now() at time zone 'Pacific/Kiritimati'), extract(year from now() at time zone 'Etc/GMT+12')]::integer[],
    'a year is one of the business time zone');
rollback to years; -- noqa: PRS
select tests.tamper('update app.receipt_serials set year = year - 1');
select is((app.next_receipt_number()).last_serial, 1::bigint, 'every year begins with 1');
rollback to years; -- noqa: PRS

-- Data ----------------------------------------------------------------------------------------
update app.seller
set name = 'Books & <b>Pages</b>', address = E'1 Road\nTown', tax_id = 'TAX 1', email = 'money@example.com',
    website = 'https://example.com', note = 'Thank "you"', receipt_prefix = 'IP';
select is(
    (select l.details #>> '{after,name}' from app.audit_log as l where l.action = 'change_seller'), 'Books & <b>Pages</b>',
    'a change of the seller is on record');
select is(
    (select concat_ws(' ', r.number ~ '^R-', r.seller_name) from app.receipts as r where r.payment_id = payment('first')),
    't Infinite Pages', 'and no receipt changes with it');
select tests.tamper('update app.payments set receipt_seller = (select to_jsonb(s) from app.seller as s) where receipt_seller is not null');
select tests.deliver('charge.succeeded', jsonb_build_object(
    'object', 'charge', 'payment_intent', tests.stripe_id('pi', payment('first')), 'payment_method_details',
    '{"type": "card", "card": {"brand": "<i>", "last4": "4242"}}'::jsonb));
select is(
    refusal($$ select * from api.receipt(tests.payment('first')) $$),
    'PT401 login_required: Please sign in first. The call carries no token with a subject.', 'a receipt is for somebody');
select authenticate_as('friend');
select is(
    refusal($$ select * from api.receipt(tests.payment('first')) $$),
    'PT404 receipt_not_found: There is no such receipt. Only a payment that succeeded has one.', 'not for anybody else');
select matches(refusal('select * from api.receipt(null)'), '^PT404 receipt_not_found: ', 'nor for nothing');
select tests.sign_in('authenticated', jsonb_build_object('sub', gen_random_uuid(), 'role', 'authenticated'));
select matches(
    refusal($$ select * from api.receipt(tests.payment('first')) $$), '^PT404 receipt_not_found: ',
    'nor for somebody who never paid for anything');
select authenticate_as('friend');
select is(
    array(select refusal(format('select * from api.receipt(%L)', p.id)) from api.payments as p where p.status = 'pending'),
    '{"PT404 receipt_not_found: There is no such receipt. Only a payment that succeeded has one."}', 'nor for what is not paid');
select results_eq('select count(*)::integer from api.receipts', 'values (2)', 'everybody sees their own');
select authenticate_as('reader');
select results_eq(
    $$ select user_id, right(number, 6), issued_at, seller_name, seller_address, seller_tax_id, seller_email, seller_website, seller_note,
           buyer_name, package, credits, bonus_credits, amount_cents, currency, payment_method, refunded_cents, net_cents, refunds, is_live
       from api.receipt(payment('first')) $$,
    $$ values (user_id('reader'), '000001', now(), 'Books & <b>Pages</b>', E'1 Road\nTown', 'TAX 1', 'money@example.com',
        'https://example.com', 'Thank "you"', 'Ada <script>alert(1)</script> & "Co"', 'Starter Pack', 100::bigint, 10::bigint, 499::bigint,
        'usd', '<i> 4242', 0::bigint, 499::bigint, '[]'::jsonb, false) $$, 'a receipt says all of it');
select matches((select number from api.receipt(payment('first'))), '^IP-\d{4}-000001$', 'with the prefix of the seller');
select authenticate_as_service('operator');
select is((select count(*) from api.receipts), 3::bigint, 'the operator sees all');
select is((select net_cents from api.receipt(payment('first'))), 499::bigint, 'and each');
select authenticate_as_anon();
select is((select name from api.seller), 'Books & <b>Pages</b>', 'everybody may know who sells');
select matches(refusal('update api.seller set name = $$x$$'), '^42501 ', 'and nobody changes it');

-- The page ------------------------------------------------------------------------------------
select authenticate_as('reader');
select note('page', tests.page(payment('first')));
select matches(noted('page'), '^<!doctype html>\n<html lang="en">', 'a page');
select unalike(noted('page'), '%<script%', 'without anybody''s script');
select unalike(noted('page'), '%<b>%', 'or letters in bold');
select unalike(noted('page'), '%<i>%', 'or a card in italics');
select matches(
    noted('page'), 'Sold to Ada &lt;script&gt;alert\(1\)&lt;/script&gt; &amp; &quot;Co&quot;', 'but with the name as it is');
select matches(noted('page'), E'<strong>Books &amp; &lt;b&gt;Pages&lt;/b&gt;</strong>\n1 Road\nTown\nTAX 1</address>', 'and the seller''s');
select matches(
    noted('page'), '<tr><th scope="row">Starter Pack: 100 credits and 10 on top</th><td>\$4\.99</td></tr>\n'
    '<tr><th scope="row">Paid by &lt;i&gt; ending in 4242</th><td>\$4\.99</td></tr>', 'what was bought, and what was paid');
select matches(
    noted('page'), format('<time datetime="%s">%s</time>',
        to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), to_char(now() at time zone 'UTC', 'FMDD FMMonth YYYY')),
    'and when');
select matches(noted('page'), 'A test: no money was moved\.', 'and that it was a test');
select tests.sign_out();
select tests.repay('part', 'third', 333), tests.repay('slow', 'third', 100, 'pending'), tests.repay('none', 'third', 50, 'failed');
select tests.tamper($$ update app.refunds set updated_at = '2026-02-03 23:30Z' where stripe_refund_id = 're_part' $$);
select tests.tamper($$ update app.payments set is_live = true where id = payment('third') $$);
update app.economy set business_time_zone = 'Asia/Tokyo';
select authenticate_as('friend');
select is(
    (select jsonb_build_array(refunded_cents, net_cents, refunds) from api.receipt(payment('third'))),
    '[333, 667, [{"credits": 33, "amount_cents": 333, "refunded_at": "2026-02-03T23:30:00+00:00"}]]'::jsonb,
    'what was refunded is shown, what is on its way or failed is not');
select note('page', tests.page(payment('third')));
select matches(
    noted('page'), '<tr><th scope="row">Round: 100 credits</th><td>\$10\.00</td></tr>\n'
    '<tr><th scope="row">Refunded on 4 February 2026</th><td>-\$3\.33</td></tr>\n'
    '<tr><th scope="row">Paid</th><td>\$6\.67</td></tr>', 'on the page too, by the calendar of the business');
select unalike(noted('page'), '%A test:%', 'which is not a test now');
select is(
    (select count(*) from regexp_matches((select api.receipt_pages(r)::text from api.receipts as r), '<!doctype html>', 'g')), 2::bigint,
    'several receipts are several pages');
select tests.sign_out();
update app.economy set business_time_zone = 'UTC';
select is(
    array[app.money_text(1, 'usd'), app.money_text(-123456789, 'usd'), app.money_text(0, 'usd'), app.money_text(-333, 'eur')],
    array['$0.01', '-$1234567.89', '$0.00', '-3.33 EUR'], 'amounts as people write them');
select is(app.html_text('a&b<c>d"e''f'), 'a&amp;b&lt;c&gt;d&quot;e&#39;f', 'every sign that means something in a page');
select is(app.html_text(null), '', 'and nothing for nothing');
select note('checkout', tests.start_payment('friend', 'Round', 'checkout')::text);
select tests.deliver('checkout.session.completed', tests.checkout_session(payment('checkout'), 'open', 'unpaid'));
select is(app.checkout_receipt(tests.stripe_id('cs_test', payment('checkout'))), null, 'an open checkout has no receipt');
select tests.deliver('checkout.session.completed', tests.checkout_session(payment('checkout')));
select matches(app.checkout_receipt(tests.stripe_id('cs_test', payment('checkout'))), '<h1>Receipt</h1>', 'a paid one has');
select is(app.checkout_receipt('cs_unknown'), null, 'an unknown one has not');
select is_empty('select * from ledger.verify()', 'verify agrees');

-- Stripe's statement --------------------------------------------------------------------------
create function tests.import(variadic lines text[])
returns integer
language sql volatile
as $$
    select app.import_stripe_balance_transactions((
        select jsonb_agg(jsonb_build_object(
            'id', p[1], 'type', p[2], 'amount', p[3]::bigint, 'fee', p[4]::bigint, 'net', p[3]::bigint - p[4]::bigint,
            'currency', coalesce(p[6], 'usd'), 'source', p[5], 'created', 1700000000, 'available_on', 1700000000))
        from (select string_to_array(l, ' ') from unnest(lines) as l) as s (p)));
$$;
comment on function tests.import(text[]) is 'Lines of Stripe''s statement: id, type, amount, fee, source, currency.';

create function tests.unmatched()
returns text[]
language sql stable security definer
return array(
    select format('%s %s %s', r.side, r.type, r.amount_cents)
    from app.reconcile() as r order by convert_to(r.side || r.type, 'utf8'), r.amount_cents
);
select tests.pay(payment('checkout')), tests.dispute('open', 'checkout', 1000), tests.dispute('lost', 'second', 499, 'lost');
select tests.repay('bounced', 'first', 499), tests.repay('bounced', 'first', 499, 'failed');
select is(
    tests.unmatched(),
    array['ledger charge 499', 'ledger charge 499', 'ledger charge 1000', 'ledger charge 1000', 'ledger dispute -1000',
        'ledger dispute -499', 'ledger repayment -499', 'ledger repayment -333', 'ledger repayment_failed 499'],
    'before the first import everything is on our side alone');
select is(
    tests.import(
        'txn_1 charge 499 44 ' || tests.stripe_id('ch', payment('first')),
        'txn_2 charge 499 44 ' || tests.stripe_id('ch', payment('second')),
        'txn_3 charge 1000 59 ' || tests.stripe_id('ch', payment('third')),
        'txn_4 charge 1000 59 ' || tests.stripe_id('ch', payment('checkout')),
        'txn_5 refund -333 0 re_part', 'txn_6 refund -499 0 re_bounced', 'txn_7 refund_failure 499 0 re_bounced',
        'txn_8 adjustment -1000 1500 dp_open', 'txn_9 adjustment -499 1500 dp_lost',
        'txn_10 payout -100 0 po_1', 'txn_11 stripe_fee -7 0 '),
    11, 'eleven lines of Stripe');
select is(tests.unmatched(), '{}', 'match, one by one');
select is(tests.import('txn_1 charge 499 44 ' || tests.stripe_id('ch', payment('first'))), 0, 'each once');
select results_eq(
    'select ledger_microdollars, statement_cents from app.stripe_balance()', 'values ((-2147 * 10000)::bigint, -2147::bigint)',
    'the balance is the statement''s: charges, less refunds, disputes, fees and payouts');
select is_empty('select * from ledger.verify()', 'verify agrees with the fees');
select tests.import(
    'txn_20 charge 500 0 ch_foreign', 'txn_21 refund -333 0 re_part', 'txn_22 charge 5 0 ch_euro eur', 'txn_23 adjustment 0 0 dp_open');
select is(
    tests.unmatched(), array['stripe charge 5', 'stripe charge 500', 'stripe refund -333'],
    'what is foreign, twice, or other money is on Stripe''s side alone');
select tests.dispute('open', 'checkout', 1000, 'won');
select is(
    tests.unmatched(), array['ledger dispute_won 1000', 'stripe charge 5', 'stripe charge 500', 'stripe refund -333'],
    'what was won waits for its line');
select tests.import('txn_24 adjustment 1000 0 dp_open');
select is(
    (select detail from app.reconcile() where stripe_id = 'ch_foreign'), 'txn_20 of 2023-11-14 22:13 is not in the ledger', 'and is named');
select is(tests.unmatched(), array['stripe charge 5', 'stripe charge 500', 'stripe refund -333'], 'until it comes');
select tests.import('txn_30 charge 77 0 ch_new');
select tests.tamper($$ update app.stripe_balance_transactions set created_at = '2100-01-01' where id = 'txn_30' $$);
select authenticate_as_service('operator');
select is(
    refusal($$ select api.explain_stripe_line('txn_nobody', 'who knows') $$),
    'PT404 stripe_line_not_found: There is no such line on Stripe''s statement.', 'a line that is not there is not explained');
select is(
    refusal($$ select api.explain_stripe_line('txn_3', 'who knows') $$),
    'PT409 already_explained: The ledger accounts for this line already.', 'nor one that the ledger knows');
select matches(refusal($$ select api.explain_stripe_line('txn_20', ' ') $$), '^PT400 text_required: ', 'and never without a reason');
select is(
    refusal($$ select api.explain_stripe_line('txn_30', 'who knows') $$),
    'PT409 line_too_new: What explains this line by itself may still come. Wait until it is a day old. It is of 2100-01-01 00:00 UTC.',
    'nor one whose event may still come');
select tests.tamper($$ delete from app.stripe_balance_transactions where id = 'txn_30' $$);
select api.explain_stripe_line(l, 'another shop') from unnest(array['txn_20', 'txn_5', 'txn_22']) as l;
select matches(refusal($$ select api.explain_stripe_line('txn_20', 'again') $$), '^PT409 already_explained: ', 'once');
select is((select count(*) from api.audit_log where action = 'explain_stripe_line'), 3::bigint, 'K10: each is on record');
select sign_out();
select is(tests.unmatched(), '{}', 'what was explained is accounted for');
select is(
    (select b.ledger_microdollars / 10000 - b.statement_cents from app.stripe_balance() as b), 0::bigint, 'to the cent');
select is_empty('select * from ledger.verify()', 'verify agrees with it');
select tests.tamper('delete from app.stripe_line_notes');
select is(
    array(select check_name from ledger.verify() order by 1), array['stripe_note', 'stripe_note'], 'and misses what is taken away');
select tests.tamper($$ insert into app.stripe_line_notes (line_id, reason, transaction_id)
    select case when t.amount = 5000000 then 'txn_20' else 'txn_5' end, 'another shop', t.transaction_id
    from ledger.transfers as t where t.kind = 'adjustment' $$);

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
