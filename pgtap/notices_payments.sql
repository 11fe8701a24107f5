-- notices: what payers are told of their refunds and disputes.
begin;
\ir helpers.psql
select plan(27);

create function tests.heard(handle text)
returns text[]
language sql volatile
as $$
    with heard as (
        update app.notices as n set read_at = now()
        where n.user_id = tests.user_id(handle) and n.read_at is null
        returning n.id, n.kind || ': ' || n.subject as line)
    select coalesce(array_agg(h.line order by h.id), '{}') from heard as h;
$$;
comment on function tests.heard(text) is 'What somebody was told since they were last asked.';

select count(create_person(p)) from unnest(array['payer', 'other', 'operator']) as p;
select buy_credits('paid', 'payer'), buy_credits('second', 'payer'), buy_credits('third', 'payer');
select is(heard('payer'), '{}', 'a payment needs no notice: there is a receipt');
select ask_refund(payment('paid'), 100);
select is(heard('payer'), array['refund_on_its_way: Your refund of $1.00 has begun'], 'a refund has begun');
select note('refund', r.id::text) from app.refunds as r where r.payment_id = payment('paid');
select is(
    (select deliver('refund.updated', refund_object(payment('paid'), 'one', 100, 'succeeded',
        jsonb_build_object('metadata', jsonb_build_object('refund_id', noted('refund')))))), 'applied', 'Stripe pays it');
select is(heard('payer'), array['refund_paid: Your refund of $1.00'], 'the payer hears it');
select is(
    (select deliver('refund.updated', refund_object(payment('paid'), 'one', 100, 'succeeded'))), 'applied', 'Stripe says it again');
select is(heard('payer'), '{}', 'the payer does not hear it again');
select is(repay('one', 'paid', 100, 'failed'), 'applied', 'it comes back');
select is(heard('payer'), array['refund_failed: Your refund of $1.00 did not go through'], 'and that is told');
select alike(
    (select n.body from app.notices as n where n.kind = 'refund_failed'),
    'Your refund of $1.00 did not reach you: it could not be brought to your bank or card.%are yours again.%', 'in words');
select is(
    (select deliver('refund.failed', refund_object(payment('paid'), 'two', 50, 'failed', '{"failure_reason": "lost_or_stolen_card"}'))),
    'applied', 'one that was made at Stripe and failed there');
select is(
    heard('payer'),
    array['refund_on_its_way: Your refund of $0.50 has begun', 'refund_failed: Your refund of $0.50 did not go through'],
    'is told as well');
select alike(
    (select n.body from app.notices as n where n.kind = 'refund_failed' order by n.id desc limit 1), '%lost or stolen.%',
    'with its reason');

select is(dispute('a', 'second', 499, 'warning_needs_response'), 'applied', 'a bank asks');
select is(heard('payer'), '{}', 'that is nothing to tell');
select is(dispute('a', 'second', 499), 'applied', 'a bank takes the money');
select is(dispute('a', 'second', 499, 'under_review'), 'applied', 'and looks into it');
select is(heard('payer'), array['dispute_opened: Your bank has asked for $4.99 back'], 'that is told once');
select is(dispute('a', 'second', 499, 'lost'), 'applied', 'it decides against us');
select is(heard('payer'), array['dispute_lost: Your bank has taken $4.99 back'], 'that too');
select is(dispute('a', 'second', 499, 'won'), 'applied', 'and changes its mind');
select is(dispute('a', 'second', 499, 'won'), 'applied', 'twice');
select is(
    heard('payer'), array['dispute_won: The question about your payment of $4.99 is settled'], 'as often as that is news');
select is(dispute('b', 'third', 499, 'warning_needs_response'), 'applied', 'another bank asks');
select is(dispute('b', 'third', 499, 'warning_closed'), 'applied', 'and thinks no more of it');
select is(heard('payer'), '{}', 'nobody need know');
select is((select count(*)::integer from app.notices as n where n.user_id = user_id('other')), 0, 'it is told to nobody else');
select is_empty('select * from ledger.verify()', 'nothing was made or lost');

select * from finish();
rollback;
