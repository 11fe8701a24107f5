-- notices: what creators are told of their payouts.
begin;
\ir helpers.psql
select plan(38);

update app.economy set earnings_hold_days = 0, minimum_payout_cents = 100;
select count(create_person(p)) from unnest(array['reader', 'creator', 'newcomer', 'poor', 'operator']) as p;
select give('reader', 10000);
-- 70 % of 5 cents a credit: $35.00, $7.00 and $0.35. A sale is available when its instant has passed.
select spend('reader', 1000, array['creator']), spend('reader', 200, array['newcomer']), spend('reader', 10, array['poor']);
select tamper($$ update ledger.transfers set created_at = created_at - interval '2 seconds' where kind = 'earning' $$);

insert into app.payout_accounts (
    user_id, is_live, stripe_account_id, country, details_submitted, payouts_enabled, transfers_status, requirements, read_at)
values (user_id('creator'), false, 'acct_creator', 'US', true, true, 'active', '{}', now()),
    (user_id('newcomer'), false, 'acct_newcomer', 'US', true, false, 'inactive',
        '{"currently_due": ["external_account"], "past_due": ["individual.dob.day"]}', now());

create function tests.heard(handle text)
returns text[]
language sql volatile
as $$
    with heard as (
        update app.notices as n set read_at = now()
        where n.user_id = tests.user_id(handle) and n.read_at is null
        returning n.id, n.kind || ': ' || n.subject || case when n.needs_action then ' (act)' else '' end as line)
    select coalesce(array_agg(h.line order by h.id), '{}') from heard as h;
$$;
comment on function tests.heard(text) is 'What somebody was told since they were last asked.';

create function tests.last_body(handle text)
returns text
language sql stable
return (select n.body from app.notices as n where n.user_id = tests.user_id(handle) order by n.id desc limit 1);

create function tests.ask_for(name text, dollars numeric)
returns text
language plpgsql volatile
as $$
declare
    v_payout record;
begin
    perform tests.claim('creator');
    v_payout := app.request_payout(dollars, null);
    perform tests.note(name, v_payout.payout_id::text);
    perform tests.sign_out();
    return v_payout.status;
end;
$$;
comment on function tests.ask_for(text, numeric) is 'The creator asks for a payout, which is noted under the name.';

create function tests.transfer(payout text, changes jsonb default '{}')
returns text
language sql volatile
as $$
    select tests.deliver('transfer.created', (
        select jsonb_build_object(
            'object', 'transfer', 'id', 'tr_' || payout, 'amount', p.amount_cents, 'currency', p.currency,
            'destination', p.stripe_account_id, 'amount_reversed', 0, 'created', 1790000000,
            'metadata', jsonb_build_object('payout_id', p.id)) || changes
        from app.payouts as p where p.id = tests.noted(payout)::uuid));
$$;
comment on function tests.transfer(text, jsonb) is 'News of the transfer of a noted payout.';

create function tests.refuse(payout text, code text)
returns void
language sql volatile
as $$
    select app.record_stripe_failure(r.id, code, 'Stripe''s own words', true)
    from app.stripe_requests as r where r.subject_id = tests.noted(payout)::uuid;
$$;
comment on function tests.refuse(text, text) is 'Stripe refuses the transfer of a noted payout for good.';

-- A payout that goes well -------------------------------------------------------
select is(ask_for('first', 10), 'pending', 'a creator asks for money');
select is(heard('creator'), '{}', 'they know that they did');
select is(transfer('first'), 'applied', 'Stripe sends it');
select is(heard('creator'), array['payout_sent: Your payout of $10.00 is on its way'], 'that is told');
select is(
    last_body('creator'),
    'We have sent $10.00 to your Stripe account, which brings it to your bank, usually within a few days. '
    'It is the payout that you asked for.', 'in words');
select is(transfer('first'), 'applied', 'Stripe says it again');
select is(heard('creator'), '{}', 'but nobody else does');

select note(
    'reversal', '{"amount_reversed": 250, "reversals": {"data": [
        {"id": "trr_1", "amount": 250, "currency": "usd", "created": 1790000001}]}}');

-- Taken back ----------------------------------------------------------------------
select is(
    transfer('first', noted('reversal')::jsonb),
    'applied', 'a part is taken back');
select is(heard('creator'), array['payout_reversed: $2.50 of a payout came back'], 'that is told');
select alike(last_body('creator'), 'Of your payout of $10.00, $2.50 was taken back at Stripe.%', 'in words');
select is(
    transfer('first', noted('reversal')::jsonb),
    'applied', 'once more');
select is(heard('creator'), '{}', 'it is the same one');

-- Refused ---------------------------------------------------------------------------
select is(ask_for('second', 5), 'pending', 'another one');
select refuse('second', 'insufficient_capabilities_for_transfer');
select is(heard('creator'), array['payout_failed: Your payout of $5.00 could not be sent (act)'], 'is refused');
select alike(
    last_body('creator'), 'Your payout of $5.00 could not be sent. Your Stripe account cannot receive transfers at the moment.%',
    'in our words');
select unalike(last_body('creator'), '%own words%', 'not in Stripe''s');

-- Held, released, held, canceled -----------------------------------------------------
select is(ask_for('third', 5), 'pending', 'one more');
select app.hold_payout(noted('third')::uuid, 'We have a question.');
select is(heard('creator'), array['payout_held: Your payout of $5.00 is waiting'], 'an operator holds it');
select alike(last_body('creator'), 'Your payout of $5.00 is waiting: We have a question.%', 'and says why');
select app.release_payout(noted('third')::uuid);
select is(heard('creator'), '{}', 'released it goes on as before');
select app.stop_payout(noted('third')::uuid, 'You asked us to.');
select is(heard('creator'), array['payout_canceled: Your payout of $5.00 was canceled'], 'an operator cancels it');
select alike(last_body('creator'), 'Your payout of $5.00 was canceled: You asked us to.%', 'and says why');
select is(ask_for('fourth', 5), 'pending', 'the last');
select claim('creator');
select is(app.cancel_payout(noted('fourth')::uuid), 'canceled', 'its creator cancels it');
select sign_out();
select is(heard('creator'), '{}', 'and need not be told');
update app.economy set payout_review_cents = 500;
select is(ask_for('large', 6), 'held', 'a large one is held from the beginning');
select is(heard('creator'), array['payout_held: Your payout of $6.00 is waiting'], 'that is told');
update app.economy set payout_review_cents = null;

-- The bank ------------------------------------------------------------------------------
select is(
    app.handle_stripe_event(
        stripe_event('payout.failed', jsonb_build_object(
            'object', 'payout', 'id', 'po_1', 'amount', 1000, 'currency', 'usd', 'status', 'failed',
            'failure_code', 'account_closed')) || '{"account": "acct_creator"}', 'connect', false),
    'applied', 'a bank sends the money back to Stripe');
select is(heard('creator'), array['payout_bank_refused: Your bank did not accept a payout of $10.00 (act)'], 'that is told');

-- The month ------------------------------------------------------------------------------
select is((select b.payouts from app.run_monthly_payouts(app.month_of(now()), true) as b), 1::bigint, 'a month is closed');
select is(heard('creator'), '{}', 'who is paid hears of it when it is sent');
select is(
    heard('newcomer'), array['payout_action_needed: $7.00 is waiting for you (act)'], 'whose account is not ready is told');
select is(
    last_body('newcomer'),
    E'You have earned $7.00 that cannot be paid out yet. Stripe needs something more before you can be paid.\n'
    '- A bank account for your payouts.\n- Your date of birth.\n\n'
    'Please complete your payout account. After that, ask for a payout or wait for the next monthly one.',
    'what is missing');
select is(heard('poor'), '{}', 'nobody is sent through Stripe''s questions for 35 cents');
select note('monthly', p.id::text) from app.payouts as p where p.batch_id is not null;
select is(transfer('monthly'), 'applied', 'the monthly payout is sent');
select is(
    last_body('creator'),
    format(
        'We have sent %s to your Stripe account, which brings it to your bank, usually within a few days. '
        'It is your monthly payout for %s.',
        app.money_text(p.amount_cents, 'usd'), to_char(app.month_of(now()), 'FMMonth YYYY')), 'with its month')
from app.payouts as p where p.batch_id is not null;

select is((select count(*)::integer from app.notices as n where n.subject || n.body ~ '[{}]'), 0, 'no placeholder is left over');
select is((select count(*)::integer from app.notices as n where n.body ~ '  | [.,]|^[ \n]'), 0, 'and no gap');

select * from finish();
rollback;
