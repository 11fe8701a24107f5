-- Taking a sale back, whole or in parts that add up exactly.

create or replace function ledger.draws_left(book_id uuid, spend_transaction_id uuid)
returns table (lot_id uuid, credits bigint, value_microdollars bigint, taken bigint)
language sql stable
set search_path = ''
begin atomic
    select
        d.lot_id,
        d.credits::bigint,
        d.value_microdollars,
        coalesce((
            select sum(l.credits)
            from ledger.transfers as s
            inner join ledger.transfers as r on r.book_id = s.book_id and r.reverses_id = s.id and r.kind = 'refund'
            inner join ledger.lots as l on l.book_id = r.book_id and l.transaction_id = r.transaction_id
            where s.book_id = d.book_id and s.transaction_id = d.transaction_id and s.kind = 'spend'
                and l.origin_id = d.lot_id
        ), 0)::bigint
        + coalesce((
            select sum(n.credits)
            from ledger.recall_lines as n
            inner join ledger.recalls as c on c.book_id = n.book_id and c.id = n.recall_id
            where n.book_id = d.book_id and n.spend_transaction_id = d.transaction_id
                and n.lot_id = d.lot_id and c.state <> 'released'
        ), 0)::bigint
    from ledger.draws as d
    where d.book_id = draws_left.book_id and d.transaction_id = draws_left.spend_transaction_id;
end;
comment on function ledger.draws_left(uuid, uuid) is $$The draws of a sale, and how many credits of each were taken back already

By refunds of the sale and by recalls of the payment behind it.$$;

create or replace function ledger.taken_credits(book_id uuid, spend_transaction_id uuid, spend_id uuid)
returns bigint
language sql stable
set search_path = ''
return (
    coalesce((
        select sum(t.amount)
        from ledger.transfers as t
        where t.book_id = taken_credits.book_id and t.reverses_id = taken_credits.spend_id
    ), 0)
    + coalesce((
        select sum(n.credits)
        from ledger.recall_lines as n
        inner join ledger.recalls as c on c.book_id = n.book_id and c.id = n.recall_id
        where n.book_id = taken_credits.book_id and n.spend_transaction_id = taken_credits.spend_transaction_id
            and c.state = 'frozen'
    ), 0)
)::bigint;
comment on function ledger.taken_credits(uuid, uuid, uuid) is $$Credits of a sale that were taken back or are frozen$$;

create or replace function ledger.return_draws(
    book_id uuid, spend_transaction_id uuid, transaction_id uuid, credits bigint)
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    insert into ledger.lots (
        book_id, transaction_id, credits, remaining, paid_microdollars, source, expires_at, payment_id, origin_id)
    select
        return_draws.book_id, return_draws.transaction_id, p.returning, p.returning,
        ledger.portion(p.value_microdollars, p.credits - p.taken - p.returning, p.returning, p.credits),
        'refund', ledger.returned_expiry(p.expires_at), p.payment_id, p.lot_id
    from (
        -- Credits go back in the opposite order: what was drawn last comes first.
        select
            d.lot_id, d.credits, d.value_microdollars, d.taken, l.expires_at, l.payment_id,
            least(
                d.credits - d.taken,
                greatest(
                    return_draws.credits
                    - sum(d.credits - d.taken) over (order by l.expires_at desc, l.id desc)
                    + (d.credits - d.taken),
                    0))::bigint as returning
        from ledger.draws_left(return_draws.book_id, return_draws.spend_transaction_id) as d
        inner join ledger.lots as l on l.book_id = return_draws.book_id and l.id = d.lot_id
    ) as p
    where p.returning > 0
    order by p.expires_at, p.lot_id;
end;
$$;
comment on function ledger.return_draws(uuid, uuid, uuid, bigint) is $$Give back credits of a sale as lots of source refund

With the value, the payment and the expiry of what was drawn. `transaction_id` is the refund that is being made.$$;

create or replace function ledger.returned_expiry(expires_at timestamptz)
returns timestamptz
language sql stable
set search_path = ''
return case
    when returned_expiry.expires_at <= now()
        then now() + make_interval(days => (select e.refund_grace_days from app.economy as e))
    else returned_expiry.expires_at
end;
comment on function ledger.returned_expiry(timestamptz) is $$Until when credits that come back can be spent

Credits that lapsed meanwhile for app.economy.refund_grace_days, others as long as before.$$;

create or replace function ledger.clawbacks(
    book_id uuid, spend_transaction_id uuid, kind text, taken_credits bigint, credits bigint)
returns ledger.posting[]
language sql stable
set search_path = ''
return (
    select coalesce(array_agg(ledger.posting(
        clawbacks.kind, 'usd', c.creator_id, 'earnings',
        case clawbacks.kind when 'freeze' then c.creator_id else ledger.platform_id() end,
        case clawbacks.kind when 'freeze' then 'frozen_earnings' else 'royalties' end,
        c.amount, c.reference_type, c.reference_id, c.id) order by c.id), '{}')
    from (
        select
            e.id, e.credit_owner_id as creator_id, e.reference_type, e.reference_id,
            ledger.portion(e.amount, 0, clawbacks.taken_credits, clawbacks.credits)
            - coalesce((
                select sum(t.amount - coalesce((
                    select sum(r.amount)
                    from ledger.transfers as r
                    where r.book_id = t.book_id and r.reverses_id = t.id and r.kind = 'release'), 0))
                from ledger.transfers as t
                where t.book_id = e.book_id and t.reverses_id = e.id
            ), 0)::bigint as amount
        from ledger.transfers as e
        where e.book_id = clawbacks.book_id and e.transaction_id = clawbacks.spend_transaction_id
            and e.kind = 'earning'
    ) as c
    where c.amount > 0
);
comment on function ledger.clawbacks(uuid, uuid, text, bigint, bigint) is $$The movements that take a part of a sale back from its creators

`taken_credits` of the sale's `credits` are gone when this is done; what was taken before counts. So the parts add up to the whole to the micro-dollar. `kind` is clawback, or freeze: then the money stays the creator's, out of reach.$$;

create or replace function ledger.place_of_spend(spend ledger.transfers, out owner_id uuid, out kind text)
returns record
language sql stable
set search_path = ''
begin atomic
    select
        case when p.is_reserved then (place_of_spend.spend).book_id else ledger.platform_id() end,
        case when p.is_reserved then 'reserved' else 'redeemed' end
    from (
        select (place_of_spend.spend).credit_kind = 'reserved' and exists (
            select from ledger.reservations as r
            where r.book_id = (place_of_spend.spend).book_id and r.id = (place_of_spend.spend).transaction_id
                and r.state <> 'captured') as is_reserved
    ) as p;
end;
comment on function ledger.place_of_spend(ledger.transfers) is $$Where the credits of a sale are now

With the platform, or still set aside with the payer.$$;

create or replace function ledger.reverse(book_id uuid, transaction_id uuid, credits bigint default null)
returns ledger.receipt
language plpgsql volatile
set search_path = ''
as $$
declare
    v_receipt ledger.receipt;
    v_spend ledger.transfers;
    v_place record;
    v_returned bigint;
    v_credits bigint;
    v_postings ledger.posting[];
    v_clawbacks ledger.posting[];
begin
    perform ledger.lock_wallet(reverse.book_id);
    select t.* into v_spend
    from ledger.transfers as t
    where t.book_id = reverse.book_id and t.transaction_id = reverse.transaction_id and t.kind = 'spend';
    if not found then
        perform app.fail(404, 'transaction_not_found', 'There is no such sale.');
    end if;
    v_returned := ledger.taken_credits(reverse.book_id, reverse.transaction_id, v_spend.id);
    v_credits := coalesce(reverse.credits, v_spend.amount - v_returned);
    if v_returned = v_spend.amount then
        perform app.fail(409, 'already_reversed', 'This sale was taken back already.');
    end if;
    if v_credits not between 1 and v_spend.amount - v_returned then
        perform app.fail(
            422, 'reversal_too_large', 'No more can come back than was spent.',
            format('%s credits were spent and %s came back before.', v_spend.amount, v_returned));
    end if;

    v_receipt.transaction_id := app.new_id();
    perform ledger.return_draws(reverse.book_id, reverse.transaction_id, v_receipt.transaction_id, v_credits);
    v_place := ledger.place_of_spend(v_spend);
    if v_place.kind = 'reserved' and exists (
        select from ledger.reservations as r
        where r.book_id = reverse.book_id and r.id = reverse.transaction_id and r.state = 'held')
    then
        perform app.fail(
            409, 'still_reserved', 'These credits are not spent yet.', 'Cancel what they are set aside for: then they come back.');
    end if;
    v_postings := array[ledger.posting(
        'refund', 'credit', v_place.owner_id, v_place.kind, reverse.book_id, 'wallet', v_credits,
        v_spend.reference_type, v_spend.reference_id, v_spend.id)];
    v_clawbacks := ledger.clawbacks(
        reverse.book_id, reverse.transaction_id, 'clawback', v_returned + v_credits, v_spend.amount);
    v_receipt.balance_after := ledger.post(reverse.book_id, v_receipt.transaction_id, v_postings || v_clawbacks);
    select -coalesce(sum(c.amount), 0) into v_receipt.earned_microdollars from unnest(v_clawbacks) as c;
    return v_receipt;
end;
$$;
comment on function ledger.reverse(uuid, uuid, bigint) is $$Take back a sale: credits to the payer, earnings from the creators

`credits` null: everything that is left. Parts are cumulative, so that they add up to the whole to the micro-dollar; a creator's balance may go negative and is netted later. Errors: 404 transaction_not_found, 409 already_reversed, 409 still_reserved, 422 reversal_too_large.$$;

create or replace function ledger.is_reversed(book_id uuid, transaction_id uuid)
returns boolean
language sql stable
set search_path = ''
return (
    select s.amount = (
        select coalesce(sum(r.amount), 0)
        from ledger.transfers as r
        where r.book_id = s.book_id and r.reverses_id = s.id)
    from ledger.transfers as s
    where s.book_id = is_reversed.book_id
        and s.transaction_id = is_reversed.transaction_id
        and s.kind = 'spend'
);
comment on function ledger.is_reversed(uuid, uuid) is $$Whether a sale came back whole$$;
