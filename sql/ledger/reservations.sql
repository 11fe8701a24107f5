-- Credits set aside for what is still to be done: taken at once, captured when it is done, given back when it is not.

create or replace function ledger.reserve_credits(
    payer_id uuid, credits bigint, reference_type text, reference_id uuid)
returns ledger.receipt
language plpgsql volatile
set search_path = ''
as $$
declare
    v_receipt ledger.receipt;
begin
    v_receipt.transaction_id := app.new_id();
    v_receipt.earned_microdollars := 0;
    perform ledger.draw_lots(reserve_credits.payer_id, v_receipt.transaction_id, reserve_credits.credits);
    v_receipt.balance_after := ledger.post(
        reserve_credits.payer_id, v_receipt.transaction_id,
        array[ledger.posting(
            'spend', 'credit', reserve_credits.payer_id, 'wallet', reserve_credits.payer_id, 'reserved',
            reserve_credits.credits, reserve_credits.reference_type, reserve_credits.reference_id)]);
    insert into ledger.reservations (book_id, id, credits)
    values (reserve_credits.payer_id, v_receipt.transaction_id, reserve_credits.credits);
    return v_receipt;
end;
$$;
comment on function ledger.reserve_credits(uuid, bigint, text, uuid) is $$Set a person's credits aside for something that is still to be done

The caller has locked the payer's wallet (ledger.lock_wallet) and decided the price under that lock. Nobody earns by it. ledger.capture_reservation() or ledger.release_reservation() ends it. Errors: 402 insufficient_credits.$$;

create or replace function ledger.end_reservation(book_id uuid, transaction_id uuid, state text)
returns ledger.transfers
language plpgsql volatile
set search_path = ''
as $$
declare
    v_spend ledger.transfers;
begin
    perform ledger.lock_wallet(end_reservation.book_id);
    update ledger.reservations as r
    set state = end_reservation.state, settled_at = now()
    where r.book_id = end_reservation.book_id and r.id = end_reservation.transaction_id and r.state = 'held';
    if found then
        select t.* into strict v_spend
        from ledger.transfers as t
        where t.book_id = end_reservation.book_id and t.transaction_id = end_reservation.transaction_id
            and t.kind = 'spend';
    end if;
    return v_spend;
end;
$$;
comment on function ledger.end_reservation(uuid, uuid, text) is $$Captured or released: once, whoever comes first

Locks the wallet. Returns the movement that took the credits; nothing when it had ended before.$$;

create or replace function ledger.capture_reservation(book_id uuid, transaction_id uuid)
returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
    v_spend constant ledger.transfers := ledger.end_reservation(
        capture_reservation.book_id, capture_reservation.transaction_id, 'captured');
    v_left bigint;
begin
    if v_spend.id is null then
        return 0;
    end if;
    -- A payment that was taken back meanwhile has taken its part out already.
    select v_spend.amount - coalesce(sum(t.amount), 0) into v_left
    from ledger.transfers as t
    where t.book_id = v_spend.book_id and t.reverses_id = v_spend.id;
    if v_left > 0 then
        perform ledger.post(
            v_spend.book_id, v_spend.transaction_id,
            array[ledger.posting(
                'capture', 'credit', v_spend.book_id, 'reserved', ledger.platform_id(), 'redeemed',
                v_left, v_spend.reference_type, v_spend.reference_id)]);
    end if;
    return v_left;
end;
$$;
comment on function ledger.capture_reservation(uuid, uuid) is $$It was done: the credits are spent for good

Locks the payer's wallet. Once: afterwards, and after a release, it changes nothing. Returns the credits captured now.$$;

create or replace function ledger.release_reservation(book_id uuid, transaction_id uuid)
returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
    v_spend constant ledger.transfers := ledger.end_reservation(
        release_reservation.book_id, release_reservation.transaction_id, 'released');
    v_left bigint;
begin
    if v_spend.id is null then
        return 0;
    end if;
    -- What a dispute has frozen comes back when the dispute is won.
    v_left := v_spend.amount - ledger.taken_credits(v_spend.book_id, v_spend.transaction_id, v_spend.id);
    if v_left > 0 then
        perform ledger.reverse(v_spend.book_id, v_spend.transaction_id);
    end if;
    return v_left;
end;
$$;
comment on function ledger.release_reservation(uuid, uuid) is $$It was not done: the credits go back to the wallet

As lots with the value, the payment and the expiry of those that were taken. Locks the payer's wallet. Once: afterwards, and after a capture, it changes nothing. Returns the credits that came back now.$$;

create or replace function ledger.finish_releases(book_id uuid, recall_id uuid)
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    perform ledger.reverse(r.book_id, r.id)
    from ledger.reservations as r
    inner join ledger.transfers as s on s.book_id = r.book_id and s.transaction_id = r.id and s.kind = 'spend'
    where r.book_id = finish_releases.book_id and r.state = 'released'
        and r.id in (
            select n.spend_transaction_id
            from ledger.recall_lines as n
            where n.book_id = finish_releases.book_id and n.recall_id = finish_releases.recall_id)
        and ledger.taken_credits(r.book_id, r.id, s.id) < s.amount
    order by s.id;
end;
$$;
comment on function ledger.finish_releases(uuid, uuid) is $$Give back what a dispute had kept from coming back with its reservation

The dispute is over and was won.$$;

create or replace function ledger.check_reservations()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    with frozen as materialized (
        select n.book_id, n.spend_transaction_id as id, sum(n.credits) as credits
        from ledger.recall_lines as n
        inner join ledger.recalls as c on c.book_id = n.book_id and c.id = n.recall_id and c.state = 'frozen'
        group by n.book_id, n.spend_transaction_id
    )
    select 'reservation', format('%s transaction %s', book_id, id),
        format('%s, %s credits; its movements took %s and left %s',
            coalesce(r.state, 'not there'), coalesce(r.credits, 0), coalesce(s.amount, 0),
            coalesce(s.amount, 0) - coalesce(o.amount, 0))
    from (select r.book_id, r.id, r.credits, r.state from ledger.reservations as r) as r
    full join (
        select t.book_id, t.transaction_id as id, t.amount
        from ledger.transfers as t
        where t.credit_kind = 'reserved'
    ) as s using (book_id, id)
    full join (
        -- What left it: what was captured, and what was taken back of the movement that took it.
        select t.book_id, coalesce(b.transaction_id, t.transaction_id) as id, sum(t.amount) as amount,
            bool_or(t.kind = 'capture') as is_captured, bool_or(t.kind = 'refund') as is_returned
        from ledger.transfers as t
        left join ledger.transfers as b on b.book_id = t.book_id and b.id = t.reverses_id
        where t.debit_kind = 'reserved'
        group by t.book_id, coalesce(b.transaction_id, t.transaction_id)
    ) as o using (book_id, id)
    left join frozen as f using (book_id, id)
    where r.credits is distinct from s.amount
        or s.amount is null
        or coalesce(o.amount, 0) > s.amount
        or (r.state <> 'captured' and o.is_captured)
        or (r.state <> 'released' and o.is_returned)
        or (r.state = 'captured' and s.amount <> coalesce(o.amount, 0))
        or (r.state = 'released' and s.amount - coalesce(o.amount, 0) <> coalesce(f.credits, 0));
end;
comment on function ledger.check_reservations() is $$What is set aside is what its reservations say

And nothing is left of those that ended.$$;

create or replace trigger tg_reservations__no_delete
before delete on ledger.reservations
for each row execute function app.refuse_change();
create or replace trigger tg_reservations__no_truncate
before truncate on ledger.reservations
for each statement execute function app.refuse_change();
