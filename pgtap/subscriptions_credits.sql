-- subscriptions: the credits that invoices bring, when they lapse, and what takes them back.
begin;
\ir helpers.psql
\ir alone.psql
\ir subscriptions.psql
select plan(64);

select count(create_person(p)) from unnest(array['reader', 'saver', 'payer', 'creator', 'operator']) as p;
select subscribe('one', 'reader', 'premium');
select pay_invoice('a', 'one', array[whole('premium')]), pay_invoice('next', 'one', array[whole('premium')]);

-- An allowance lapses with its period, and only what is left of it ---------------------------------
select spend('reader', 250, '{creator}');
select results_eq(
    $$ select remaining::bigint from ledger.lots where book_id = user_id('reader') order by id $$, $$ values (50::bigint), (300) $$,
    'of two allowances the older one is spent first');
select give('reader', 7);
-- The first period is over.
update ledger.lots set expires_at = now() where book_id = user_id('reader') and remaining = 50;
select is(credits(), 307::bigint, 'what was left of the first is gone');
select is(ledger.expire_lots(), 50::bigint, 'only that');
select is(balance('reader'), 307::bigint, 'the second and what was given are there');
select is(balance('creator', 'earnings'), 8750000::bigint, 'and the creator keeps what was earned');
select is_empty('select * from ledger.verify()', 'verify agrees');

-- Disputes and refunds take the allowance back ----------------------------------------------------
create function tests.dispute_invoice(name text, status text, cents bigint)
returns text
language sql volatile
as $$
    select tests.deliver('charge.dispute.updated', jsonb_build_object(
        'object', 'dispute', 'id', 'dp_' || name, 'status', status, 'amount', cents, 'currency', 'usd', 'payment_intent', 'pi_' || name,
        'charge', 'ch_' || name, 'reason', 'fraudulent', 'livemode', false,
        'balance_transactions', jsonb_build_array(jsonb_build_object('type', 'adjustment', 'amount', -cents, 'fee', 1500))));
$$;
select is(dispute_invoice('next', 'needs_response', 1499), 'applied', 'case 5: the second payment is disputed');
select is(array[credits(), balance('reader', 'frozen_credits')], '{7,300}'::bigint[], 'case 5: its allowance is frozen');
select is(dispute_invoice('next', 'won', 1499), 'applied', 'case 5: and won');
select is(
    array(select format('%s %s', o.remaining, o.expires_at is not null) from ledger.lots as o
        where o.book_id = user_id('reader') and not o.is_spent order by o.id),
    '{"7 f","300 t"}'::text[], 'case 5: it is back, and still lapses');
select is(dispute_invoice('a', 'lost', 1499), 'applied', 'case 6: the first one is lost');
select is(balance('creator', 'earnings'), 0::bigint, 'case 6: 250 of it were spent on a creator');
select results_eq(
    $$ select d.credits, r.missing::bigint from app.disputes as d
       inner join ledger.recalls as r on r.reference_id = d.id where d.stripe_dispute_id = 'dp_a' $$,
    $$ values (300::bigint, 50::bigint) $$, 'case 6: what had lapsed cannot be found');
select is(credits(), 307::bigint, 'case 6: other credits are not touched');
select note('payment', p.id::text) from app.payments as p where p.stripe_invoice_id = 'in_next';
insert into app.operators (user_id) values (user_id('operator'));
select isnt(ask_refund(payment('payment'), 500), null, 'an operator gives a part back');
select is(credits(), 207::bigint, '100 credits go with $5.00 of $14.99');
select is(
    (select q.parameters ->> 'payment_intent' from app.stripe_requests as q where q.kind = 'refund'), 'pi_next', 'Stripe is asked for it');
select is_empty('select * from ledger.verify()', 'case 6: verify agrees');

-- Plans without credits ---------------------------------------------------------------------------
select subscribe('pro', 'saver', 'pro'), subscribe('flow', 'saver', 'flow');
select is(pay_invoice('pro', 'pro', array[whole('pro')], 'saver'), 'applied applied applied', 'a plan without credits is paid');
select is(paid('pro'), '{999 0 ch_pro}', 'a payment without any');
select is(array[credits('saver'), balance('saver')], '{0,0}'::bigint[], 'nothing to spend');
select is(
    (select count(*) from app.receipts as r
        inner join app.payments as p on p.id = r.payment_id where p.user_id = user_id('saver')), 1::bigint,
    'and a receipt');
select is(tier('saver'), 'free', 'it is about something else than reading');
select is(dispute_invoice('pro', 'lost', 999), 'applied', 'it can be disputed');
select is(tell(jsonb_build_object(
    'object', 'refund', 'id', 're_flow', 'status', 'succeeded', 'amount', 1000, 'currency', 'usd', 'payment_intent', 'pi_flow')), 'parked',
    'and refunded, even before');
select is(pay_invoice('flow', 'flow', array[whole('flow')], 'saver'), 'applied applied applied', 'it is known');
select is((select r.credits from app.refunds as r where r.stripe_refund_id = 're_flow'), 0::bigint, 'nothing to take back');
select is_empty('select * from ledger.verify()', 'verify agrees');

-- Trials, and plans that are changed --------------------------------------------------------------
create function tests.allowances(handle text default 'payer')
returns text[]
language sql stable security definer
return array(
    select format('%s %s %s', substr(a.stripe_invoice_id, 4), a.credits, a.granted)
    from app.invoice_allowances as a where a.user_id = tests.user_id(handle) order by a.id
);
comment on function tests.allowances(text) is 'What each invoice of somebody came to, and what it brought.';
create function tests.settled(name text, lines jsonb[], paid bigint default null)
returns bigint
language plpgsql volatile
as $$
declare
    v_before constant bigint := tests.credits('payer');
begin
    perform tests.tell(tests.invoice_object(name, 'plan', lines, paid, changes => '{"customer": "cus_payer"}'));
    return tests.credits('payer') - v_before;
end;
$$;
comment on function tests.settled(text, jsonb[], bigint) is 'An invoice is paid; how many credits that brought.';

select subscribe('plan', 'payer', 'basic');
select is(settled('trial', array[whole('basic', 0)]), 0::bigint, 'free days bring no credits');
select is((select count(*) from app.payments where user_id = user_id('payer')), 0::bigint, 'and are no payment');
select is(settled('first', array[whole('basic')]), 100::bigint, 'the first month does');
-- Up, half-way: what is left of Basic goes back, and the rest of the month of Premium is paid.
select is(
    settled('up', array[part('basic', -250), part('premium', 750)]), 100::bigint, 'half a month of Premium for half a month of Basic');
select is(settled('down', array[part('premium', -750), part('basic', 250)]), 0::bigint, 'down again: nothing is brought');
select is(settled('up2', array[part('basic', -250), part('premium', 750)], 0), 0::bigint,
    'up again, out of the customer''s balance: the credits were there already');
select is(settled('down2', array[part('premium', -750), part('basic', 250)]), 0::bigint, 'down again');
select is(settled('second', array[whole('basic')], 0), 0::bigint, 'a month out of what was given back for credits that were kept');
select is(settled('third', array[whole('basic')]), 100::bigint, 'when that is used up, there are credits again');
select is(settled('goodwill', array[whole('basic')], 0), 100::bigint, 'a balance that we gave pays as money does');
select results_eq(
    $$ select l.credits::bigint, l.paid_microdollars::bigint, l.expires_at from ledger.lots as l
       inner join app.invoice_allowances as a on a.transaction_id = l.transaction_id $$,
    $$ values (100::bigint, 0::bigint, to_timestamp(epoch(now() + interval '20 days'))) $$,
    'for which nothing was paid now; it lapses too');
select is(settled('goodwill', array[whole('basic')], 0), 0::bigint, 'once');
select is(settled('partly', array[whole('premium')], 499), 300::bigint, 'a balance that pays a part');
select is(
    (select format('%s %s', p.amount_cents, p.credits_purchased) from app.payments as p where p.stripe_invoice_id = 'in_partly'), '499 300',
    'is a payment of the rest');
select is(
    allowances(),
    '{"trial 0 0","first 100 100","up 100 100","down -100 0","up2 100 0","down2 -100 0","second 100 0","third 100 100"}'::text[]
    || '{"goodwill 100 100","partly 300 300"}'::text[], 'all of it is on record');
select is_empty('select * from ledger.verify()', 'verify agrees');
select is(settled('extra', array[whole('basic') || '{"quantity": 2, "amount": 998}']), 200::bigint, 'two of a plan bring twice as much');

-- Whose plan, whose price -------------------------------------------------------------------------
update app.subscription_plans set stripe_price_id = 'price_premium' where slug = 'premium';
create function tests.marked_basic()
returns jsonb
language sql stable
return jsonb_build_object('metadata', jsonb_build_object('plan_id', tests.plan_id('basic')));
select is(
    tell(subscription_object('plan', 'payer', 'premium', changes => marked_basic()),
        now() + interval '1 minute'), 'applied', 'changed in the portal');
select is(known('plan'), 'premium active', 'the price says what it is now');
update app.subscription_plans set stripe_price_id = 'price_premium_new', price_cents = 1999 where slug = 'premium';
create function tests.old_price(object jsonb)
returns jsonb
language sql immutable
return replace(object::text, 'price_premium_new', 'price_premium')::jsonb;
select is(
    tell(old_price(subscription_object('plan', 'payer', 'premium', changes => marked_basic())),
        now() + interval '2 minutes'), 'applied', 'the plan gets another price');
select is(known('plan'), 'premium active', 'who pays the old one keeps it');
select is(
    settled('old', array[old_price(whole('premium', 1499)) || marked_basic()]),
    300::bigint, 'with all of its credits');
select is(
    tell(subscription_object('plan', 'payer', 'basic'), now() + interval '3 minutes'), 'applied', 'back to the price that was made for it');
select is(known('plan'), 'basic active', 'what we wrote there says what that was');
select is(
    tell(
        subscription_object(
            'plan', 'payer', 'basic', 'canceled', '{"metadata": {}, "items": {"data": [{"price": {"id": "price_other"}}]}}'),
        now() + interval '200 seconds'), 'applied', 'one that is known is followed, whatever it became');
select is(known('plan'), 'basic canceled', 'to its end');
delete from app.stripe_customers where user_id = user_id('payer');
select is(turn('active', name => 'plan', handle => 'payer'), 'premium active, premium', 'even of a customer who is gone');

-- What was granted stays on record, and verify sees what somebody changes ---------------------------
select throws_ok('delete from app.invoice_allowances', 'PT403', null, 'what was granted is not taken off the record');
select throws_ok('update app.invoice_allowances set granted = 0', 'PT403', null, 'nor changed');
select throws_ok('truncate app.invoice_allowances', 'PT403', null, 'nor emptied');
select throws_ok($$ delete from app.subscriptions where id = subscription('one') $$, 'PT403', null, 'subscriptions neither');
select is_empty('select * from ledger.verify()', 'verify agrees at the end');
select alike(
    array_to_string(seen_after($$ update app.invoice_allowances set granted = 99 where stripe_invoice_id = 'in_goodwill' $$), E'\n'),
    '%invoice_allowance: it granted 99 credits, its payment says nothing and the ledger 100%', 'an allowance that was made smaller');
select alike(
    array_to_string(seen_after($$ update app.invoice_allowances set credits = credits - 1 where stripe_invoice_id = 'in_down' $$), E'\n'),
    '%allowance_share: %', 'a plan that was left, and more was given back');
select alike(
    array_to_string(seen_after($$ delete from app.invoice_allowances where stripe_invoice_id = 'in_first' $$), E'\n'),
    '%invoice_without_allowance: 100 credits%', 'a payment of which the invoice is gone');
select alike(
    array_to_string(seen_after($$ delete from app.invoice_allowances where stripe_invoice_id = 'in_goodwill' $$), E'\n'),
    '%allowance_without_invoice: 100 credits%', 'credits of which the invoice is gone');

select * from finish();
rollback;
