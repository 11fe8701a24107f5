-- Lots: where credits came from, and which of them a transaction used up.

create or replace function ledger.available_credits(owner_id uuid)
returns bigint
language sql stable
set search_path = ''
return (
    select coalesce(sum(l.remaining), 0)::bigint
    from ledger.lots as l
    where l.book_id = available_credits.owner_id
        and not l.is_spent
        and (l.expires_at is null or l.expires_at > now())
);
comment on function ledger.available_credits(uuid) is $$What a person can spend now, in credits

The wallet's balance less what has expired and was not swept yet.$$;

create or replace function ledger.draw_lots(book_id uuid, transaction_id uuid, credits bigint)
returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
    v_lot_id uuid;
    v_lot_credits bigint;
    v_lot_remaining bigint;
    v_lot_paid bigint;
    v_expires_at timestamptz;
    v_missing bigint := draw_lots.credits;
    v_credits bigint;
    v_value bigint;
    v_total_value bigint := 0;
begin
    while v_missing > 0 loop
        select l.id, l.credits, l.remaining, l.paid_microdollars, l.expires_at
        into v_lot_id, v_lot_credits, v_lot_remaining, v_lot_paid, v_expires_at
        from ledger.lots as l
        where l.book_id = draw_lots.book_id and not l.is_spent
        order by l.expires_at, l.id
        limit 1;
        if v_expires_at <= now() then
            perform ledger.expire_lots_of(draw_lots.book_id);
            continue;
        end if;
        if v_lot_id is null then
            perform app.fail(
                402, 'insufficient_credits', 'Not enough credits.',
                format('This costs %s credits; you have %s.', draw_lots.credits, draw_lots.credits - v_missing));
        end if;
        v_credits := least(v_lot_remaining, v_missing);
        v_value := ledger.portion(v_lot_paid, v_lot_credits - v_lot_remaining, v_credits, v_lot_credits);
        update ledger.lots as l
        set remaining = v_lot_remaining - v_credits, is_spent = v_lot_remaining = v_credits
        where l.book_id = draw_lots.book_id and l.id = v_lot_id;
        insert into ledger.draws (book_id, transaction_id, lot_id, credits, value_microdollars)
        values (draw_lots.book_id, draw_lots.transaction_id, v_lot_id, v_credits, v_value);
        v_missing := v_missing - v_credits;
        v_total_value := v_total_value + v_value;
    end loop;
    return v_total_value;
end;
$$;
comment on function ledger.draw_lots(uuid, uuid, bigint) is $$Take credits from a person's lots: soonest to expire first, then oldest

What has lapsed meets its end here. The caller holds the wallet's lock. Returns what was paid for these credits, in micro-dollars. Errors: 402 insufficient_credits.$$;

create or replace function ledger.portion(whole bigint, before bigint, part bigint, parts bigint)
returns bigint
language plpgsql immutable parallel safe
set search_path = ''
as $$
begin
    return div(portion.whole::numeric * (portion.before + portion.part), portion.parts)
        - div(portion.whole::numeric * portion.before, portion.parts);
end;
$$;
comment on function ledger.portion(bigint, bigint, bigint, bigint) is $$The share of `whole` that goes with the next `part` of `parts`

`before` parts are gone already. Cumulative, so that the portions of all parts add up to the whole exactly, whatever the steps.$$;

create or replace function ledger.grant_credits(
    owner_id uuid, credits bigint, source text, paid_microdollars bigint default 0,
    expires_at timestamptz default null, reference_type text default null, reference_id uuid default null)
returns ledger.receipt
language plpgsql volatile
set search_path = ''
as $$
declare
    v_receipt ledger.receipt;
begin
    perform ledger.lock_wallet(grant_credits.owner_id);
    v_receipt.transaction_id := app.new_id();
    v_receipt.earned_microdollars := 0;
    insert into ledger.lots (
        book_id, transaction_id, credits, remaining, paid_microdollars, source, expires_at, payment_id)
    values (
        grant_credits.owner_id, v_receipt.transaction_id, grant_credits.credits, grant_credits.credits,
        grant_credits.paid_microdollars, grant_credits.source, grant_credits.expires_at,
        case when grant_credits.reference_type = 'payment' then grant_credits.reference_id end);
    v_receipt.balance_after := ledger.post(
        grant_credits.owner_id, v_receipt.transaction_id,
        array[ledger.posting(
            grant_credits.source, 'credit', ledger.platform_id(), 'issued', grant_credits.owner_id, 'wallet',
            grant_credits.credits, grant_credits.reference_type, grant_credits.reference_id)]);
    return v_receipt;
end;
$$;
comment on function ledger.grant_credits(uuid, bigint, text, bigint, timestamptz, text, uuid) is $$Put new credits into a wallet, as one lot

`source` is purchase, bonus, grant or allowance; `paid_microdollars` what was paid for the whole lot. With the reference type payment the lot is known as bought by that payment.$$;

create or replace function ledger.withdraw_from_lot(lot ledger.lots, transaction_id uuid, credits bigint)
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    update ledger.lots as l
    set remaining = (withdraw_from_lot.lot).remaining - withdraw_from_lot.credits,
        withdrawn = (withdraw_from_lot.lot).withdrawn + withdraw_from_lot.credits,
        is_spent = (withdraw_from_lot.lot).remaining = withdraw_from_lot.credits
    where l.book_id = (withdraw_from_lot.lot).book_id and l.id = (withdraw_from_lot.lot).id;
    insert into ledger.draws (book_id, transaction_id, lot_id, credits, value_microdollars)
    values (
        (withdraw_from_lot.lot).book_id, withdraw_from_lot.transaction_id, (withdraw_from_lot.lot).id,
        withdraw_from_lot.credits,
        ledger.portion(
            (withdraw_from_lot.lot).paid_microdollars,
            (withdraw_from_lot.lot).credits - (withdraw_from_lot.lot).remaining,
            withdraw_from_lot.credits, (withdraw_from_lot.lot).credits));
end;
$$;
comment on function ledger.withdraw_from_lot(ledger.lots, uuid, bigint) is $$Take credits out of a lot that are not spent: they lapse or are recalled

The caller holds the wallet's lock and posts the movement.$$;

create or replace function ledger.expire_lots_of(book_id uuid)
returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
    v_lot ledger.lots;
    v_transaction_id uuid;
    v_expired bigint := 0;
begin
    for v_lot in
        select l.*
        from ledger.lots as l
        where l.book_id = expire_lots_of.book_id and not l.is_spent and l.expires_at <= now()
        order by l.id
    loop
        v_transaction_id := app.new_id();
        perform ledger.withdraw_from_lot(v_lot, v_transaction_id, v_lot.remaining);
        perform ledger.post(
            v_lot.book_id, v_transaction_id,
            array[ledger.posting(
                'expiry', 'credit', v_lot.book_id, 'wallet', ledger.platform_id(), 'expired',
                v_lot.remaining, 'lot', v_lot.id)]);
        v_expired := v_expired + v_lot.remaining;
    end loop;
    return v_expired;
end;
$$;
comment on function ledger.expire_lots_of(uuid) is $$Take the lapsed credits out of one wallet

The caller holds the wallet's lock. Returns the credits that lapsed.$$;

create or replace function ledger.expire_lots(batch integer default 1000)
returns bigint
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_book_id uuid;
    v_expired bigint := 0;
begin
    for v_book_id in
        select distinct l.book_id
        from ledger.lots as l
        where not l.is_spent and l.expires_at <= now()
        order by l.book_id
        limit expire_lots.batch
    loop
        perform ledger.lock_wallet(v_book_id);
        v_expired := v_expired + ledger.expire_lots_of(v_book_id);
    end loop;
    return v_expired;
end;
$$;
comment on function ledger.expire_lots(integer) is $$Take lapsed credits out of the wallets, for up to so many people

Wallets already show and spend without them; this posts the movement. Returns the credits that lapsed. The worker calls it.$$;
