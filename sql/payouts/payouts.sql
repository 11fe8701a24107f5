-- Payouts: money set aside for a creator, and given back where it could not be sent.

create or replace function app.period_start(creator_id uuid, period_end timestamptz)
returns timestamptz
language sql stable
set search_path = ''
return least(
    period_start.period_end,
    coalesce(
        (select max(p.period_end)
            from app.payouts as p
            where p.creator_id = period_start.creator_id and p.status not in ('failed', 'canceled')),
        (select t.created_at
            from ledger.transfers as t
            where t.credit_owner_id = period_start.creator_id and t.credit_kind = 'earnings'
            order by t.id
            limit 1)));
comment on function app.period_start(uuid, timestamptz) is $$From when on a payout pays

From the end of the one before, or from the first sale.$$;

create or replace function app.count_sales(creator_id uuid, period_start timestamptz, period_end timestamptz)
returns bigint
language sql stable
set search_path = ''
return (
    select count(*)
    from ledger.transfers as t
    where t.credit_owner_id = count_sales.creator_id and t.credit_kind = 'earnings' and t.kind = 'earning'
        -- The ids find the place; a day more on both sides, for they are stamped after their transaction began.
        and t.id >= ledger.id_floor(count_sales.period_start - interval '1 day')
        and t.id < ledger.id_floor(count_sales.period_end + interval '1 day')
        and t.created_at >= count_sales.period_start
        and t.created_at <= count_sales.period_end
);
comment on function app.count_sales(uuid, timestamptz, timestamptz) is $$How many sales a creator had between two times$$;

create or replace function app.new_payout(
    candidate app.payout_candidate, amount_cents bigint, batch_id uuid, retries_id uuid)
returns app.payouts
language plpgsql volatile
set search_path = ''
as $$
declare
    v_review_cents constant bigint := (select e.payout_review_cents from app.economy as e);
    v_payout app.payouts;
    v_recent_cents bigint := 0;
begin
    if v_review_cents is not null then
        -- Several small ones are as good as one that is large.
        v_recent_cents := coalesce((
            select sum(p.amount_cents)
            from app.payouts as p
            where p.creator_id = (new_payout.candidate).creator_id and p.status not in ('failed', 'canceled')
                and p.created_at > now() - interval '30 days'), 0);
    end if;
    v_payout.id := app.new_id();
    v_payout.creator_id := (new_payout.candidate).creator_id;
    v_payout.batch_id := new_payout.batch_id;
    v_payout.retries_id := new_payout.retries_id;
    v_payout.amount_cents := new_payout.amount_cents;
    v_payout.currency := app.payout_currency();
    if v_recent_cents + new_payout.amount_cents >= v_review_cents then
        v_payout.status := 'held';
        v_payout.hold_reason := 'Payouts of this size are looked at by a person first.';
    else
        v_payout.status := 'pending';
    end if;
    v_payout.stripe_account_id := (new_payout.candidate).stripe_account_id;
    v_payout.is_live := (new_payout.candidate).is_live;
    v_payout.reversed_cents := 0;
    v_payout.period_end := (new_payout.candidate).period_end;
    v_payout.period_start := app.period_start(v_payout.creator_id, v_payout.period_end);
    v_payout.earnings_count := app.count_sales(v_payout.creator_id, v_payout.period_start, v_payout.period_end);
    v_payout.transaction_id := app.new_id();
    v_payout.created_at := now();
    v_payout.updated_at := now();
    return v_payout;
end;
$$;
comment on function app.new_payout(app.payout_candidate, bigint, uuid, uuid) is $$A payout of so many cents, not made yet$$;

create or replace function app.make_payouts(payouts app.payouts[])
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    insert into app.payouts select p.* from unnest(make_payouts.payouts) as p;
    perform app.set_aside(p) from unnest(make_payouts.payouts) as p;
    perform app.ask_for_transfer(p) from unnest(make_payouts.payouts) as p where p.status = 'pending';
end;
$$;
comment on function app.make_payouts(app.payouts[]) is $$Make payouts: keep them, set their money aside, ask Stripe for the transfers

The caller holds the creators' lock (ledger.lock_earnings).$$;

create or replace function app.set_aside(payout app.payouts)
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    perform ledger.post(
        (set_aside.payout).creator_id, (set_aside.payout).transaction_id,
        array[ledger.posting(
            'payout', 'usd', (set_aside.payout).creator_id, 'earnings', (set_aside.payout).creator_id, 'payouts',
            (set_aside.payout).amount_cents * 10000, 'payout', (set_aside.payout).id)]);
end;
$$;
comment on function app.set_aside(app.payouts) is $$Take a payout's money from the creator's earnings; it is on its way$$;

create or replace function app.ask_for_transfer(payout app.payouts)
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    perform app.add_stripe_request(
        (ask_for_transfer.payout).creator_id, 'transfer', (ask_for_transfer.payout).id,
        jsonb_build_object(
            'amount', (ask_for_transfer.payout).amount_cents,
            'currency', (ask_for_transfer.payout).currency,
            'destination', (ask_for_transfer.payout).stripe_account_id,
            'transfer_group', format('payout-%s', (ask_for_transfer.payout).id),
            'description', format('%s: payout', (select s.name from app.seller as s)),
            'metadata', jsonb_build_object(
                'payout_id', (ask_for_transfer.payout).id, 'creator_id', (ask_for_transfer.payout).creator_id)),
        (ask_for_transfer.payout).is_live);
    -- Nobody sends it at once: it is the worker's.
    perform app.hurry_stripe_request('transfer', (ask_for_transfer.payout).id);
end;
$$;
comment on function app.ask_for_transfer(app.payouts) is $$Put the transfer of a payout into the outbox$$;

create or replace function app.movement_of(creator_id uuid, transaction_id uuid, kind text)
returns uuid
language sql stable
set search_path = ''
return (
    select t.id
    from ledger.transfers as t
    where t.book_id = movement_of.creator_id and t.transaction_id = movement_of.transaction_id
        and t.kind = movement_of.kind
);
comment on function app.movement_of(uuid, uuid, text) is $$The movement of this kind in a transaction of a creator's book$$;

create or replace function app.give_back_payout(payout app.payouts, status text, code text, reason text)
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    perform ledger.post(
        (give_back_payout.payout).creator_id, app.new_id(),
        array[ledger.posting(
            'payout_returned', 'usd', (give_back_payout.payout).creator_id, 'payouts',
            (give_back_payout.payout).creator_id, 'earnings', (give_back_payout.payout).amount_cents * 10000,
            'payout', (give_back_payout.payout).id,
            app.movement_of((give_back_payout.payout).creator_id, (give_back_payout.payout).transaction_id, 'payout'))]);
    update app.payouts as p
    set status = give_back_payout.status, hold_reason = null, failure_code = give_back_payout.code,
        failure_reason = give_back_payout.reason, processed_at = now(), updated_at = now()
    where p.id = (give_back_payout.payout).id;
end;
$$;
comment on function app.give_back_payout(app.payouts, text, text, text) is $$A payout came to nothing: its money is the creator's to be paid again

`status` is failed or canceled. The caller holds the payout's lock, and it was pending, processing or held.$$;
