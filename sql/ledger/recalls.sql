-- Taking back what a payment bought: unspent credits first, then the sales that the others paid for.

create or replace function ledger.recall_from_wallet(
    book_id uuid, recall_id uuid, payment_id uuid, credits bigint)
returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
    v_lot ledger.lots;
    v_credits bigint;
    v_missing bigint := recall_from_wallet.credits;
begin
    -- The opposite order of spending: what would last longest goes first.
    for v_lot in
        select l.*
        from ledger.lots as l
        where l.book_id = recall_from_wallet.book_id
            and l.payment_id = recall_from_wallet.payment_id
            and not l.is_spent
        order by l.expires_at desc, l.id desc
    loop
        exit when v_missing = 0;
        v_credits := least(v_lot.remaining, v_missing);
        perform ledger.withdraw_from_lot(v_lot, recall_from_wallet.recall_id, v_credits);
        v_missing := v_missing - v_credits;
    end loop;
    return recall_from_wallet.credits - v_missing;
end;
$$;
comment on function ledger.recall_from_wallet(uuid, uuid, uuid, bigint) is $$Draw up to so many unspent credits of a payment; returns how many there were$$;

create or replace function ledger.recall_from_sales(
    book_id uuid, recall_id uuid, payment_id uuid, credits bigint)
returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
    v_draw record;
    v_credits bigint;
    v_missing bigint := recall_from_sales.credits;
begin
    -- The newest sale first.
    for v_draw in
        select d.transaction_id, d.lot_id, w.credits - w.taken as credits
        from ledger.lots as l
        inner join ledger.draws as d on d.book_id = l.book_id and d.lot_id = l.id
        inner join ledger.transfers as s
            on s.book_id = d.book_id and s.transaction_id = d.transaction_id and s.kind = 'spend'
        inner join lateral ledger.draws_left(d.book_id, d.transaction_id) as w on w.lot_id = d.lot_id
        where l.book_id = recall_from_sales.book_id
            and l.payment_id = recall_from_sales.payment_id
            and w.credits > w.taken
        order by s.id desc, l.expires_at desc, l.id desc
    loop
        exit when v_missing = 0;
        v_credits := least(v_draw.credits, v_missing);
        insert into ledger.recall_lines (book_id, recall_id, lot_id, spend_transaction_id, credits)
        values (
            recall_from_sales.book_id, recall_from_sales.recall_id, v_draw.lot_id, v_draw.transaction_id, v_credits);
        v_missing := v_missing - v_credits;
    end loop;
    return recall_from_sales.credits - v_missing;
end;
$$;
comment on function ledger.recall_from_sales(uuid, uuid, uuid, bigint) is $$Note which sales the spent credits of a payment went into

Up to so many. Returns how many there were.$$;

create or replace function ledger.recalled_sales(book_id uuid, recall_id uuid)
returns table (spend ledger.transfers, credits bigint)
language sql stable
set search_path = ''
begin atomic
    select s, n.credits
    from (
        select i.book_id, i.spend_transaction_id, sum(i.credits)::bigint as credits
        from ledger.recall_lines as i
        where i.book_id = recalled_sales.book_id and i.recall_id = recalled_sales.recall_id
        group by i.book_id, i.spend_transaction_id
    ) as n
    inner join ledger.transfers as s
        on s.book_id = n.book_id and s.transaction_id = n.spend_transaction_id and s.kind = 'spend'
    order by s.id;
end;
comment on function ledger.recalled_sales(uuid, uuid) is $$The sales that a recall reached, and how many credits of each$$;

create or replace function ledger.recall(
    book_id uuid, payment_id uuid, credits bigint, is_final boolean, reference_type text, reference_id uuid)
returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
    v_id constant uuid := app.new_id();
    v_from_wallet bigint;
    v_from_sales bigint;
    v_spend ledger.transfers;
    v_postings ledger.posting[] := '{}'::ledger.posting[];
begin
    perform ledger.lock_wallet(recall.book_id);
    perform ledger.expire_lots_of(recall.book_id);
    insert into ledger.recalls (book_id, id, payment_id, reference_type, reference_id, credits, missing, state)
    values (
        recall.book_id, v_id, recall.payment_id, recall.reference_type, recall.reference_id,
        recall.credits, recall.credits, 'frozen');
    v_from_wallet := ledger.recall_from_wallet(recall.book_id, v_id, recall.payment_id, recall.credits);
    v_from_sales := ledger.recall_from_sales(
        recall.book_id, v_id, recall.payment_id, recall.credits - v_from_wallet);
    if v_from_wallet > 0 then
        v_postings := v_postings || ledger.posting(
            'freeze', 'credit', recall.book_id, 'wallet', recall.book_id, 'frozen_credits', v_from_wallet,
            recall.reference_type, recall.reference_id);
    end if;
    -- The lines of this recall count as taken already.
    for v_spend in select (r.spend).* from ledger.recalled_sales(recall.book_id, v_id) as r loop
        v_postings := v_postings || ledger.clawbacks(
            recall.book_id, v_spend.transaction_id, 'freeze',
            ledger.taken_credits(recall.book_id, v_spend.transaction_id, v_spend.id), v_spend.amount);
    end loop;
    perform ledger.post(recall.book_id, v_id, v_postings);
    update ledger.recalls as r
    set from_wallet = v_from_wallet,
        from_sales = v_from_sales,
        missing = recall.credits - v_from_wallet - v_from_sales
    where r.book_id = recall.book_id and r.id = v_id;
    if recall.is_final then
        perform ledger.settle_recall(recall.book_id, v_id);
    end if;
    return v_id;
end;
$$;
comment on function ledger.recall(uuid, uuid, bigint, boolean, text, uuid) is $$Take back credits that a payment bought

Unspent ones leave the wallet; for spent ones the earnings of their sales are taken from the creators, to the micro-dollar, even below zero. Frozen until ledger.settle_recall() or ledger.release_recall(), or final at once. What lapsed meanwhile is `missing`. Locks the payer's wallet. Returns the id.$$;

create or replace function ledger.settle_recall(book_id uuid, recall_id uuid)
returns boolean
language plpgsql volatile
set search_path = ''
as $$
declare
    v_postings ledger.posting[];
begin
    perform ledger.lock_wallet(settle_recall.book_id);
    if not exists (
        select from ledger.recalls as r
        where r.book_id = settle_recall.book_id and r.id = settle_recall.recall_id and r.state = 'frozen')
    then
        return false;
    end if;
    select coalesce(array_agg(ledger.posting(
        case t.asset when 'usd' then 'clawback' else 'withdrawal' end, t.asset,
        t.credit_owner_id, t.credit_kind,
        ledger.platform_id(), case t.asset when 'usd' then 'royalties' else 'issued' end,
        t.amount, t.reference_type, t.reference_id, t.id) order by t.id), '{}')
    into v_postings
    from ledger.transfers as t
    where t.book_id = settle_recall.book_id and t.transaction_id = settle_recall.recall_id and t.kind = 'freeze';
    -- The credits of the sales were redeemed or set aside; now it is as if they had never been issued.
    v_postings := v_postings || (
        select coalesce(array_agg(ledger.posting(
            'withdrawal', 'credit', p.owner_id, p.kind, ledger.platform_id(), 'issued', s.credits,
            (s.spend).reference_type, (s.spend).reference_id, (s.spend).id)), '{}')
        from ledger.recalled_sales(settle_recall.book_id, settle_recall.recall_id) as s
        cross join lateral ledger.place_of_spend(s.spend) as p);
    perform ledger.post(settle_recall.book_id, settle_recall.recall_id, v_postings);
    update ledger.recalls as r
    set state = 'final', settled_at = now()
    where r.book_id = settle_recall.book_id and r.id = settle_recall.recall_id;
    return true;
end;
$$;
comment on function ledger.settle_recall(uuid, uuid) is $$What was frozen is gone for good

Returns whether it was frozen.$$;

create or replace function ledger.release_recall(book_id uuid, recall_id uuid)
returns boolean
language plpgsql volatile
set search_path = ''
as $$
declare
    v_recall ledger.recalls;
    v_transaction_id constant uuid := app.new_id();
    v_postings ledger.posting[];
begin
    perform ledger.lock_wallet(release_recall.book_id);
    select r.* into v_recall
    from ledger.recalls as r
    where r.book_id = release_recall.book_id and r.id = release_recall.recall_id;
    if v_recall.state not in ('frozen', 'final') then
        return false;
    end if;
    perform ledger.return_recalled(v_recall, v_transaction_id);
    if v_recall.state = 'frozen' then
        select coalesce(array_agg(ledger.posting(
            'release', t.asset, t.credit_owner_id, t.credit_kind, t.debit_owner_id, t.debit_kind,
            t.amount, t.reference_type, t.reference_id, t.id) order by t.id), '{}')
        into v_postings
        from ledger.transfers as t
        where t.book_id = v_recall.book_id and t.transaction_id = v_recall.id and t.kind = 'freeze';
    elsif v_recall.from_wallet + v_recall.from_sales > 0 then
        v_postings := array[ledger.posting(
            'release', 'credit', ledger.platform_id(), 'issued', v_recall.book_id, 'wallet',
            v_recall.from_wallet + v_recall.from_sales, v_recall.reference_type, v_recall.reference_id)];
    end if;
    perform ledger.post(v_recall.book_id, v_transaction_id, coalesce(v_postings, '{}'));
    update ledger.recalls as r
    set state = case v_recall.state when 'frozen' then 'released' else 'returned' end, settled_at = now()
    where r.book_id = v_recall.book_id and r.id = v_recall.id;
    perform ledger.finish_releases(v_recall.book_id, v_recall.id);
    return true;
end;
$$;
comment on function ledger.release_recall(uuid, uuid) is $$Give back what was taken

Frozen: unspent credits and the creators' earnings are as they were. Final (a refund that failed afterwards, a dispute won after it was lost): all of the credits come back to the payer, but the sales stay taken back: what they opened is closed and can be bought again. Returns whether there was anything to give back.$$;

create or replace function ledger.settle_recalls(book_id uuid, reference_type text, reference_id uuid)
returns void
language sql volatile
set search_path = ''
begin atomic
    select ledger.settle_recall(r.book_id, r.id)
    from ledger.recalls as r
    where r.book_id = settle_recalls.book_id
        and r.reference_type = settle_recalls.reference_type
        and r.reference_id = settle_recalls.reference_id
    order by r.id;
end;
comment on function ledger.settle_recalls(uuid, text, uuid) is $$All that was frozen for a refund or a dispute is gone for good$$;

create or replace function ledger.release_recalls(book_id uuid, reference_type text, reference_id uuid)
returns void
language sql volatile
set search_path = ''
begin atomic
    select ledger.release_recall(r.book_id, r.id)
    from ledger.recalls as r
    where r.book_id = release_recalls.book_id
        and r.reference_type = release_recalls.reference_type
        and r.reference_id = release_recalls.reference_id
    order by r.id;
end;
comment on function ledger.release_recalls(uuid, text, uuid) is $$Give back all that was taken for a refund or a dispute$$;

create or replace function ledger.return_recalled(recall ledger.recalls, transaction_id uuid)
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    insert into ledger.lots (
        book_id, transaction_id, credits, remaining, paid_microdollars, source, expires_at, payment_id, origin_id)
    select
        l.book_id, return_recalled.transaction_id, b.credits, b.credits, b.value_microdollars, l.source,
        ledger.returned_expiry(l.expires_at), l.payment_id, l.id
    from (
        select d.lot_id, d.credits, d.value_microdollars
        from ledger.draws as d
        where d.book_id = (return_recalled.recall).book_id and d.transaction_id = (return_recalled.recall).id
        union all
        select n.lot_id, n.credits, ledger.portion(d.value_microdollars, d.credits - n.credits, n.credits, d.credits)
        from ledger.recall_lines as n
        inner join ledger.draws as d
            on d.book_id = n.book_id and d.transaction_id = n.spend_transaction_id and d.lot_id = n.lot_id
        where (return_recalled.recall).state = 'final'
            and n.book_id = (return_recalled.recall).book_id
            and n.recall_id = (return_recalled.recall).id
    ) as b
    inner join ledger.lots as l on l.book_id = (return_recalled.recall).book_id and l.id = b.lot_id
    order by l.expires_at, l.id;
    -- They did not leave for good after all.
    update ledger.lots as l
    set withdrawn = l.withdrawn - d.credits
    from ledger.draws as d
    where d.book_id = (return_recalled.recall).book_id
        and d.transaction_id = (return_recalled.recall).id
        and l.book_id = d.book_id and l.id = d.lot_id;
end;
$$;
comment on function ledger.return_recalled(ledger.recalls, uuid) is $$The lots of credits that come back from a recall

With the value and the expiry of what was taken.$$;

create or replace function ledger.check_recalls()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    select 'recall', format('%s recall %s', r.book_id, r.id),
        format('says %s from the wallet and %s from sales, its rows say %s and %s',
            r.from_wallet, r.from_sales, coalesce(d.credits, 0), coalesce(n.credits, 0))
    from ledger.recalls as r
    left join (
        select w.book_id, w.transaction_id, sum(w.credits) as credits
        from ledger.draws as w group by w.book_id, w.transaction_id
    ) as d on d.book_id = r.book_id and d.transaction_id = r.id
    left join (
        select i.book_id, i.recall_id, sum(i.credits) as credits
        from ledger.recall_lines as i group by i.book_id, i.recall_id
    ) as n on n.book_id = r.book_id and n.recall_id = r.id
    where r.from_wallet <> coalesce(d.credits, 0) or r.from_sales <> coalesce(n.credits, 0)
    union all
    -- What is frozen belongs to a recall that is not decided, and nothing else is.
    select 'frozen', format('%s %s', f.owner_id, f.kind),
        format('%s is frozen, recalls that wait say %s', f.amount, f.waiting)
    from (
        select s.owner_id, s.kind, sum(s.amount) as amount, sum(s.waiting) as waiting
        from (
            select t.credit_owner_id, t.credit_kind, t.amount,
                case when r.state = 'frozen' and t.kind = 'freeze' then t.amount::bigint else 0 end
            from ledger.transfers as t
            left join ledger.recalls as r on r.book_id = t.book_id and r.id = t.transaction_id
            where t.credit_kind in ('frozen_credits', 'frozen_earnings')
            union all
            select t.debit_owner_id, t.debit_kind, -t.amount, 0
            from ledger.transfers as t
            where t.debit_kind in ('frozen_credits', 'frozen_earnings')
        ) as s (owner_id, kind, amount, waiting)
        group by s.owner_id, s.kind
    ) as f
    where f.amount <> f.waiting
    union all
    select 'draw_taken_twice', format('%s transaction %s lot %s', d.book_id, d.transaction_id, w.lot_id),
        format('%s of %s credits were taken back', w.taken, w.credits)
    from (
        select distinct i.book_id, i.spend_transaction_id as transaction_id from ledger.recall_lines as i
    ) as d
    cross join lateral ledger.draws_left(d.book_id, d.transaction_id) as w
    where w.taken > w.credits;
end;
comment on function ledger.check_recalls() is $$What was taken back from payers is what their recalls say$$;

create or replace trigger tg_recalls__no_delete
before delete on ledger.recalls
for each row execute function app.refuse_change();
create or replace trigger tg_recalls__no_truncate
before truncate on ledger.recalls
for each statement execute function app.refuse_change();
create or replace trigger tg_recall_lines__append_only
before update or delete on ledger.recall_lines
for each row execute function app.refuse_change();
create or replace trigger tg_recall_lines__no_truncate
before truncate on ledger.recall_lines
for each statement execute function app.refuse_change();
