-- Taking a sale back, whole or in parts that add up exactly.

create or replace function ledger.return_lots(
    book_id uuid, spend_transaction_id uuid, transaction_id uuid, spent bigint, returned bigint, credits bigint)
returns void
language plpgsql volatile
set search_path = ''
as $$
declare
    v_draw record;
    v_grace constant interval := make_interval(days => (select e.refund_grace_days from app.economy as e));
    -- Credits go back in the opposite order: the piece of the sale between these marks.
    v_from constant bigint := return_lots.spent - return_lots.returned - return_lots.credits;
    v_to constant bigint := return_lots.spent - return_lots.returned;
begin
    for v_draw in
        select
            d.credits,
            d.value_microdollars,
            l.expires_at,
            greatest(d.before, v_from) - d.before as skipped,
            least(d.before + d.credits, v_to) - greatest(d.before, v_from) as returning
        from (
            select
                w.lot_id,
                w.credits,
                w.value_microdollars,
                (sum(w.credits) over (order by o.expires_at, o.id) - w.credits)::bigint as before
            from ledger.draws as w
            inner join ledger.lots as o on o.book_id = w.book_id and o.id = w.lot_id
            where w.book_id = return_lots.book_id and w.transaction_id = return_lots.spend_transaction_id
        ) as d
        inner join ledger.lots as l on l.book_id = return_lots.book_id and l.id = d.lot_id
        where d.before < v_to and d.before + d.credits > v_from
        order by d.before
    loop
        insert into ledger.lots (book_id, transaction_id, credits, remaining, paid_microdollars, source, expires_at)
        values (
            return_lots.book_id, return_lots.transaction_id, v_draw.returning, v_draw.returning,
            ledger.portion(v_draw.value_microdollars, v_draw.skipped, v_draw.returning, v_draw.credits),
            'refund', case when v_draw.expires_at <= now() then now() + v_grace else v_draw.expires_at end);
    end loop;
end;
$$;
comment on function ledger.return_lots(uuid, uuid, uuid, bigint, bigint, bigint) is $$Give back credits of a sale as lots of source refund

With the value and the expiry of what was drawn. Of `spent` credits `returned` came back before; `credits` come back now. Credits that lapsed meanwhile can be spent for app.economy.refund_grace_days.$$;

create or replace function ledger.reverse(book_id uuid, transaction_id uuid, credits bigint default null)
returns ledger.receipt
language plpgsql volatile
set search_path = ''
as $$
declare
    v_receipt ledger.receipt;
    v_spend ledger.transfers;
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
    select coalesce(sum(t.amount), 0) into v_returned
    from ledger.transfers as t
    where t.book_id = reverse.book_id and t.reverses_id = v_spend.id;
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
    perform ledger.return_lots(
        reverse.book_id, reverse.transaction_id, v_receipt.transaction_id, v_spend.amount, v_returned, v_credits);
    v_postings := array[ledger.posting(
        'refund', 'credit', ledger.platform_id(), 'redeemed', reverse.book_id, 'wallet', v_credits,
        v_spend.reference_type, v_spend.reference_id, v_spend.id)];
    select coalesce(array_agg(ledger.posting(
        'clawback', 'usd', c.credit_owner_id, 'earnings', ledger.platform_id(), 'royalties', c.amount,
        c.reference_type, c.reference_id, c.id) order by c.id), '{}')
    into v_clawbacks
    from (
        select
            t.id,
            t.credit_owner_id,
            t.reference_type,
            t.reference_id,
            ledger.portion(t.amount, v_returned, v_credits, v_spend.amount) as amount
        from ledger.transfers as t
        where t.book_id = reverse.book_id and t.transaction_id = reverse.transaction_id and t.kind = 'earning'
    ) as c
    where c.amount > 0;
    v_receipt.balance_after := ledger.post(reverse.book_id, v_receipt.transaction_id, v_postings || v_clawbacks);
    select -coalesce(sum(c.amount), 0) into v_receipt.earned_microdollars from unnest(v_clawbacks) as c;
    return v_receipt;
end;
$$;
comment on function ledger.reverse(uuid, uuid, bigint) is $$Take back a sale: credits to the payer, earnings from the creators

`credits` null: everything that is left. Parts are cumulative, so that they add up to the whole to the micro-dollar; a creator's balance may go negative and is netted later. Errors: 404 transaction_not_found, 409 already_reversed, 422 reversal_too_large.$$;

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
