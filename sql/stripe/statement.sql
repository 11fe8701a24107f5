-- Stripe's own statement, against which the ledger is held.

create or replace function app.stripe_line_postings(
    type text, amount_cents bigint, fee_cents bigint, currency text)
returns ledger.posting[]
language plpgsql immutable
set search_path = ''
as $$
declare
    -- What goes between Stripe and the platform's bank, and what Stripe takes for itself. Everything else is
    -- in the ledger already, by its own event.
    v_other constant text := case
        when stripe_line_postings.type in ('payout', 'payout_cancel', 'payout_failure', 'topup', 'topup_reversal')
            then 'bank'
        when stripe_line_postings.type in ('stripe_fee', 'stripe_fx_fee', 'tax_fee') then 'fees'
    end;
    v_movement record;
    v_postings ledger.posting[] := '{}'::ledger.posting[];
begin
    if stripe_line_postings.currency <> 'usd' then
        return v_postings;
    end if;
    for v_movement in
        select m.kind, m.account, m.cents
        from (
            values
                (case v_other when 'bank' then 'settlement' else 'fee' end, v_other, stripe_line_postings.amount_cents),
                ('fee', 'fees', -stripe_line_postings.fee_cents)
        ) as m (kind, account, cents)
        where m.account is not null and m.cents <> 0
    loop
        v_postings := v_postings || ledger.posting(
            v_movement.kind, 'usd',
            ledger.platform_id(), case when v_movement.cents < 0 then 'stripe' else v_movement.account end,
            ledger.platform_id(), case when v_movement.cents < 0 then v_movement.account else 'stripe' end,
            abs(v_movement.cents) * 10000, 'stripe_' || stripe_line_postings.type, null);
    end loop;
    return v_postings;
end;
$$;
comment on function app.stripe_line_postings(text, bigint, bigint, text) is $$The movements that a line of Stripe's statement causes by itself

Its fee, and money between Stripe and the bank.$$;

create or replace function app.import_stripe_balance_transactions(lines jsonb)
returns integer
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_line record;
    v_postings ledger.posting[];
    v_transaction_id uuid;
    v_imported integer := 0;
begin
    for v_line in
        select l.*
        from jsonb_to_recordset(import_stripe_balance_transactions.lines) as l (
            id text, type text, reporting_category text, amount bigint, fee bigint, net bigint, currency text,
            source text, created double precision, available_on double precision)
        order by l.created, l.id
    loop
        v_postings := app.stripe_line_postings(v_line.type, v_line.amount, v_line.fee, v_line.currency);
        v_transaction_id := case when v_postings <> '{}' then app.new_id() end;
        insert into app.stripe_balance_transactions (
            id, type, reporting_category, amount_cents, fee_cents, net_cents, currency, source_id, transaction_id,
            created_at, available_at)
        values (
            v_line.id, v_line.type, v_line.reporting_category, v_line.amount, v_line.fee, v_line.net,
            v_line.currency, v_line.source, v_transaction_id,
            to_timestamp(v_line.created), to_timestamp(v_line.available_on))
        on conflict do nothing;
        if found then
            v_imported := v_imported + 1;
            if v_transaction_id is not null then
                perform ledger.post(ledger.platform_id(), v_transaction_id, v_postings);
            end if;
        end if;
    end loop;
    return v_imported;
end;
$$;
comment on function app.import_stripe_balance_transactions(jsonb) is $$Take in lines of Stripe's statement, each once

`lines` is an array of Stripe's balance transactions as they come. Fees and payouts to the bank are posted from here. Returns how many lines were new.$$;

create or replace function app.check_stripe_statement()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    select 'stripe_line', b.id,
        format('of %s and a fee of %s cents %s micro-dollars were posted', b.amount_cents, b.fee_cents, coalesce(t.amount, 0))
    from app.stripe_balance_transactions as b
    left join (
        select p.transaction_id,
            sum(case when p.credit_kind = 'stripe' then p.amount else -p.amount end)::bigint as amount
        from ledger.transfers as p
        where p.book_id = ledger.platform_id() and p.kind in ('fee', 'settlement')
        group by p.transaction_id
    ) as t on t.transaction_id = b.transaction_id
    where coalesce(t.amount, 0) <> (
        select coalesce(sum(case when s.credit_kind = 'stripe' then s.amount else -s.amount end), 0)
        from unnest(app.stripe_line_postings(b.type, b.amount_cents, b.fee_cents, b.currency)) as s)
    union all
    select 'stripe_line_missing', t.id::text, format('%s of %s micro-dollars has no line on the statement', t.kind, t.amount)
    from ledger.transfers as t
    where t.kind in ('fee', 'settlement')
        and not exists (
            select from app.stripe_balance_transactions as b where b.transaction_id = t.transaction_id);
end;
comment on function app.check_stripe_statement() is $$Fees and payouts to the bank are posted as Stripe's statement has them$$;

create or replace trigger tg_stripe_balance_transactions__append_only
before update or delete on app.stripe_balance_transactions
for each row execute function app.refuse_change();
create or replace trigger tg_stripe_balance_transactions__no_truncate
before truncate on app.stripe_balance_transactions
for each statement execute function app.refuse_change();
-- An event may be handled again; it never vanishes.
create or replace trigger tg_stripe_events__no_delete
before delete on app.stripe_events
for each row execute function app.refuse_change();
create or replace trigger tg_stripe_events__no_truncate
before truncate on app.stripe_events
for each statement execute function app.refuse_change();
