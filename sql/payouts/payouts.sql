-- Payouts: money set aside for a creator, and given back where it could not be sent.

create or replace function app.new_payouts(
    candidates app.payout_candidate[], amount_cents bigint, batch_id uuid, retries_id uuid)
returns setof app.payouts
language sql volatile
set search_path = ''
begin atomic
    with periods as materialized (
        select
            k.creator_id, k.stripe_account_id, k.is_live, k.period_end, c.cents, p.start,
            -- The ids find the place; a day more on both sides, for they are stamped after their transaction began.
            ledger.id_floor(p.start - interval '1 day') as first_id,
            ledger.id_floor(k.period_end + interval '1 day') as last_id,
            -- Several small ones are as good as one that is large.
            e.payout_review_cents is not null and c.cents + coalesce((
                select sum(o.amount_cents)
                from app.payouts as o
                where o.creator_id = k.creator_id and o.status not in ('failed', 'canceled')
                    and o.created_at > now() - interval '30 days'), 0) >= e.payout_review_cents as is_due
        from unnest(candidates) as k
        cross join app.economy as e
        cross join lateral (
            select coalesce(new_payouts.amount_cents, k.available_microdollars / 10000) as cents
        ) as c
        cross join lateral (
            -- From the end of the one before, or from the first sale.
            select least(k.period_end, coalesce(
                (select max(o.period_end)
                    from app.payouts as o
                    where o.creator_id = k.creator_id and o.status not in ('failed', 'canceled')),
                (select t.created_at
                    from ledger.transfers as t
                    where t.credit_owner_id = k.creator_id and t.credit_kind = 'earnings'
                    order by t.id
                    limit 1))) as start
        ) as p
    )
    select
        app.new_id(), c.creator_id, new_payouts.batch_id, new_payouts.retries_id, c.cents, app.payout_currency(),
        case when c.is_due then 'held' else 'pending' end,
        c.stripe_account_id, null::text, c.is_live, 0::bigint, c.start, c.period_end, s.sales,
        case when c.is_due then 'Payouts of this size are looked at by a person first.' end,
        null::text, null::text, app.new_id(), null::uuid, null::timestamptz, now(), now()
    from periods as c
    cross join lateral (
        select count(*) as sales
        from ledger.transfers as t
        where t.credit_owner_id = c.creator_id and t.credit_kind = 'earnings' and t.kind = 'earning'
            and t.id >= c.first_id and t.id < c.last_id
            and t.created_at between c.start and c.period_end
    ) as s;
end;
comment on function app.new_payouts(app.payout_candidate[], bigint, uuid, uuid) is $$Payouts for these creators, not made yet

Of so many cents each, or of all whole cents that are available.$$;

create or replace function app.make_payouts(payouts app.payouts[])
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    insert into app.payouts select p.* from unnest(make_payouts.payouts) as p;
    perform app.set_aside(p) from unnest(make_payouts.payouts) as p;
    perform app.ask_for_transfers(array(
        select p from unnest(make_payouts.payouts) as p where p.status = 'pending'));
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

create or replace function app.ask_for_transfers(payouts app.payouts[])
returns void
language sql volatile
set search_path = ''
begin atomic
    -- Nobody sends them at once: they are the worker's, and due now.
    select count(r.id)
    from (
        select
            array_agg(p.creator_id) as creator_ids, array_agg(p.id) as payout_ids, array_agg(p.is_live) as are_live,
            array_agg(jsonb_build_object(
                'amount', p.amount_cents,
                'currency', p.currency,
                'destination', p.stripe_account_id,
                'transfer_group', format('payout-%s', p.id),
                'description', format('%s: payout', s.name),
                'metadata', jsonb_build_object('payout_id', p.id, 'creator_id', p.creator_id))) as parameters
        from unnest(payouts) as p
        cross join (select n.name from app.seller as n) as s
    ) as a
    cross join lateral app.add_stripe_requests(
        'transfer', a.creator_ids, a.payout_ids, a.parameters, a.are_live, now()) as r (id);
end;
comment on function app.ask_for_transfers(app.payouts[]) is $$Put the transfers of payouts into the outbox$$;

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
