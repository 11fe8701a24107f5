-- stripe: Stripe's own statement. Fees and what goes to the bank are posted from it, everything once.
begin;
\ir helpers.psql
select plan(47);

select count(create_person(p)) from unnest(array['reader', 'operator']) as p;

create function tests.line(
    id text, type text, amount bigint, fee bigint default 0, currency text default 'usd', source text default null,
    created bigint default 1790000000)
returns jsonb
language sql immutable
return jsonb_build_object(
    'id', id, 'object', 'balance_transaction', 'type', type, 'reporting_category', type, 'amount', amount, 'fee', fee,
    'net', amount - fee, 'currency', currency, 'source', source, 'created', created, 'available_on', created + 172800,
    'status', 'pending', 'fee_details', '[]'::jsonb, 'exchange_rate', null);

create function tests.import(variadic lines jsonb[])
returns integer
language sql volatile
return app.import_stripe_balance_transactions(to_jsonb(lines));

-- The platform's accounts: stripe, bank, fees; and what was posted for a line.
create function tests.books()
returns text
language sql stable
return format(
    'stripe %s bank %s fees %s', ledger.balance(ledger.platform_id(), 'stripe'), ledger.balance(ledger.platform_id(), 'bank'),
    ledger.balance(ledger.platform_id(), 'fees'));
create function tests.posted(id text)
returns text
language sql stable
return (
    select string_agg(
        format('%s %s from %s to %s', t.kind, t.amount, t.debit_kind, t.credit_kind), ', ' order by t.id)
    from ledger.transfers as t
    inner join app.stripe_balance_transactions as b on b.transaction_id = t.transaction_id
    where b.id = posted.id);

-- Lines -----------------------------------------------------------------------------------------

select is(app.import_stripe_balance_transactions('[]'), 0, 'an empty statement has no lines');
select is(import(line('txn_1', 'charge', 499, 44, source => 'ch_1')), 1, 'a charge comes in');
select results_eq(
    $$ select type, reporting_category, amount_cents, fee_cents, net_cents, currency, source_id, created_at, available_at
       from app.stripe_balance_transactions where id = 'txn_1' $$,
    $$ values (
        'charge', 'charge', 499::bigint, 44::bigint, 455::bigint, 'usd', 'ch_1',
        '2026-09-21 14:13:20+00'::timestamptz, '2026-09-23 14:13:20+00'::timestamptz) $$, 'and is kept');
select is(posted('txn_1'), 'fee 440000 from stripe to fees', 'its fee is posted; the charge itself was, when it was paid');
select is(import(line('txn_1', 'charge', 499, 44, source => 'ch_1')), 0, 'the same line again is not new');
select is(import(line('txn_1', 'charge', 900, 90)), 0, 'whatever it says now');
select is(books(), 'stripe -440000 bank 0 fees 440000', 'its fee was posted once');
select is(
    import(
        line('txn_1', 'charge', 499, 44), line('txn_2', 'refund', -499, source => 're_1'), line('txn_3', 'charge', 999, 59),
        line('txn_3', 'charge', 999, 59)),
    2, 'of many lines those are counted that are new, each once');
select is(posted('txn_2'), null, 'a refund without a fee posts nothing');
select is(books(), 'stripe -1030000 bank 0 fees 1030000', 'fees add up');
select is(import(line('txn_4', 'refund', -999, -15)), 1, 'a fee may come back');
select is(posted('txn_4'), 'fee 150000 from fees to stripe', 'then it goes the other way');
select is(import(line('txn_5', 'adjustment', -499, 1500, source => 'dp_1')), 1, 'a dispute costs a fee');
select is(posted('txn_5'), 'fee 15000000 from stripe to fees', 'which is posted');

select is(import(line('txn_6', 'payout', -10000)), 1, 'money goes to the bank');
select is(posted('txn_6'), 'settlement 100000000 from stripe to bank', 'as a settlement');
select is(import(line('txn_7', 'payout_failure', 10000)), 1, 'and comes back');
select is(posted('txn_7'), 'settlement 100000000 from bank to stripe', 'the other way');
select is(import(line('txn_8', 'payout', -10000, 25)), 1, 'a payout may cost something');
select is(
    posted('txn_8'), 'settlement 100000000 from stripe to bank, fee 250000 from stripe to fees', 'which is a second movement');
select is(import(line('txn_9', 'stripe_fee', -200)), 1, 'Stripe takes what its services cost');
select is(posted('txn_9'), 'fee 2000000 from stripe to fees', 'as a fee');
select is(
    import(line('txn_10', 'stripe_fee', 50), line('txn_11', 'tax_fee', -7), line('txn_12', 'stripe_fx_fee', -1)), 3,
    'gives back, takes tax');
select is(
    concat_ws(', ', posted('txn_10'), posted('txn_11'), posted('txn_12')),
    'fee 500000 from fees to stripe, fee 70000 from stripe to fees, fee 10000 from stripe to fees', 'and each is a fee');
select is(
    import(line('txn_13', 'topup', 300), line('txn_14', 'topup_reversal', -300), line('txn_15', 'payout_cancel', 1)), 3,
    'the bank sends money');
select is(
    concat_ws(', ', posted('txn_13'), posted('txn_14'), posted('txn_15')),
    'settlement 3000000 from bank to stripe, settlement 3000000 from stripe to bank, settlement 10000 from bank to stripe',
    'and takes it back');
select is(import(line('txn_16', 'charge', 499, 44, 'eur'), line('txn_17', 'payout', -499, 0, 'eur')), 2, 'another currency is taken in');
select is(concat(posted('txn_16'), posted('txn_17')), '', 'and posted nowhere: the ledger is in dollars');
select is(import(line('txn_18', 'something_new', 123)), 1, 'a type that nobody knows is taken in');
select is(posted('txn_18'), null, 'for somebody to look at');
select is(import(line('txn_19', 'charge', 9000000000000, 200000000000)), 1, 'amounts may be large');
select is(posted('txn_19'), 'fee 2000000000000000 from stripe to fees', 'to the micro-dollar');

select is(
    books(),
    format(
        'stripe %s bank %s fees %s',
        -15000000 - 1030000 + 150000 - 250000 - 2000000 + 500000 - 80000 - 100000000 + 10000 - 2000000000000000,
        100000000 - 10000, 15000000 + 1030000 - 150000 + 250000 + 2000000 - 500000 + 80000 + 2000000000000000),
    'all in all');
select results_eq(
    'select statement_cents from app.stripe_balance()',
    $$ select sum(net_cents)::bigint from app.stripe_balance_transactions where currency = 'usd' $$,
    'Stripe''s side is the sum of its lines');
select is_empty('select * from ledger.verify()', 'nothing was made or lost');

-- A whole payment, as Stripe would list it ------------------------------------------------------------

select buy_credits('paid', 'reader');
select import(line('txn_20', 'charge', 499, 44, source => stripe_id('ch', payment('paid'))));
select is_empty(
    $$ select * from app.reconcile() as r where r.stripe_id = tests.stripe_id('ch', tests.payment('paid')) $$,
    'a charge on both sides is accounted for');
select authenticate_as_service('operator');
select set_eq(
    $$ select r.stripe_id from api.reconcile() as r where r.side = 'stripe' $$,
    $$ select s.source_id from api.stripe_balance_transactions as s
       where s.currency <> 'usd' or s.type in ('charge', 'refund', 'adjustment', 'something_new')
       except select tests.stripe_id('ch', tests.payment('paid')) $$,
    'what is on the statement only is named; fees and payouts explain themselves');
select sign_out();

-- Changing it -----------------------------------------------------------------------------------------

select is(
    refusal(statement),
    'PT403 append_only: Rows of app.stripe_balance_transactions are never changed or removed. Post a new row that corrects the old one.',
    format('%s is refused', statement))
from (values
    ('update app.stripe_balance_transactions set fee_cents = 0'), ('delete from app.stripe_balance_transactions'),
    ('truncate app.stripe_balance_transactions cascade')
) as changes (statement);

-- Each row is a way to cheat; what verify says of it. Undone afterwards.
create function tests.found(statement text)
returns text
language plpgsql volatile
as $$
declare
    v_found text;
begin
    perform tests.tamper(found.statement);
    select string_agg(distinct v.check_name, ', ') into v_found
    from app.check_stripe_statement() as v;
    raise exception using errcode = 'UNDO0';
exception
    when sqlstate 'UNDO0' then
        return v_found;
end;
$$;
select is(tests.found(statement), check_name, format('verify sees that %s', what))
from (values
    ('a fee was changed on the statement', 'stripe_line',
        $$ update app.stripe_balance_transactions set fee_cents = 43 where id = 'txn_1' $$),
    ('a payout was changed there', 'stripe_line', $$ update app.stripe_balance_transactions set amount_cents = -9999 where id = 'txn_6' $$),
    ('a line was cut off from its movements', 'stripe_line, stripe_line_missing',
        $$ update app.stripe_balance_transactions set transaction_id = null where id = 'txn_1' $$),
    ('a line was taken off the statement', 'stripe_line_missing', $$ delete from app.stripe_balance_transactions where id = 'txn_1' $$),
    ('a movement is not what the line says', 'stripe_line',
        $$ update ledger.transfers set amount = amount + 1 where transaction_id = (
            select b.transaction_id from app.stripe_balance_transactions as b where b.id = 'txn_1') $$),
    ('a movement is gone', 'stripe_line', $$ delete from ledger.transfers where transaction_id = (
        select b.transaction_id from app.stripe_balance_transactions as b where b.id = 'txn_1') $$)
) as ways (what, check_name, statement);

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
