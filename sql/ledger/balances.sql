-- Balances of open accounts: folded total plus what came since.

create or replace function ledger.next_position()
returns bigint
language sql stable
set search_path = ''
return (
    select s.position_offset + pg_snapshot_xmax(pg_current_snapshot())::text::bigint
    from ledger.fold_state as s
);
comment on function ledger.next_position() is $$A position that no movement has reached yet$$;

create or replace function ledger.settled_position()
returns bigint
language sql stable
set search_path = ''
return (
    select s.position_offset + pg_snapshot_xmin(pg_current_snapshot())::text::bigint
    from ledger.fold_state as s
);
comment on function ledger.settled_position() is $$Every movement below this position is final

It is the oldest transaction still running: whatever has a lower number has committed and is visible, or never will be. No clock is involved.$$;

create or replace function ledger.folded_position()
returns bigint
language sql stable
set search_path = ''
return (
    select case
        when greatest(s.position, (select l.to_position from ledger.seals as l order by l.number desc limit 1))
            <= ledger.next_position() then s.position
        else -1
    end
    from ledger.fold_state as s
);
comment on function ledger.folded_position() is $$Open accounts hold every movement below this position

Or -1 when they cannot be trusted. A fold or a seal from the future means a restore into another cluster: balances are then summed from the movements until ledger.fold() has set it right.$$;

create or replace function ledger.balance(owner_id uuid, kind text)
returns bigint
language plpgsql stable
set search_path = ''
-- Planning for this very position, over all partitions, would take ten times as long as looking.
set plan_cache_mode = 'force_generic_plan'
as $$
declare
    v_account ledger.accounts;
    v_from bigint;
begin
    select a.* into v_account
    from ledger.accounts as a
    where a.owner_id = balance.owner_id and a.kind = balance.kind;
    if v_account.is_guarded then
        return v_account.balance;
    end if;
    v_from := ledger.folded_position();
    if balance.kind in ('payouts', 'paid', 'reserved') then
        -- Always a person's own doing: their book has them all.
        return case when v_from < 0 then 0 else coalesce(v_account.balance, 0) end
            + (select coalesce(sum(case when t.credit_kind = balance.kind then t.amount else -t.amount end), 0)
                from ledger.transfers as t
                where t.book_id = balance.owner_id
                    and (t.credit_kind = balance.kind or t.debit_kind = balance.kind)
                    and t.position >= v_from);
    elsif balance.kind = 'earnings' then
        return case when v_from < 0 then 0 else coalesce(v_account.balance, 0) end
            + (select coalesce(sum(t.amount), 0)
                from ledger.transfers as t
                where t.credit_owner_id = balance.owner_id and t.credit_kind = 'earnings' and t.position >= v_from)
            - (select coalesce(sum(t.amount), 0)
                from ledger.transfers as t
                where t.debit_owner_id = balance.owner_id and t.debit_kind = 'earnings' and t.position >= v_from);
    end if;
    return case when v_from < 0 then 0 else coalesce(v_account.balance, 0) end
        + (select coalesce(sum(t.amount), 0)
            from ledger.transfers as t
            where t.credit_owner_id = balance.owner_id and t.credit_kind = balance.kind and t.position >= v_from)
        - (select coalesce(sum(t.amount), 0)
            from ledger.transfers as t
            where t.debit_owner_id = balance.owner_id and t.debit_kind = balance.kind and t.position >= v_from);
end;
$$;
comment on function ledger.balance(uuid, text) is $$The balance of an account now

Credits less debits: whole credits, or micro-dollars. An account that was never used has 0.$$;

create or replace function ledger.earning_balances(owner_ids uuid[])
returns table (owner_id uuid, balance bigint)
language sql stable
set search_path = ''
begin atomic
    with fold as materialized (select ledger.folded_position() as position)
    select
        o.owner_id,
        (case when f.position < 0 then 0 else coalesce(a.balance, 0) end + c.amount - d.amount)::bigint
    from unnest(owner_ids) as o (owner_id)
    cross join fold as f
    left join ledger.accounts as a on a.owner_id = o.owner_id and a.kind = 'earnings' and a.asset = 'usd'
    cross join lateral (
        select coalesce(sum(t.amount), 0) as amount
        from ledger.transfers as t
        where t.credit_owner_id = o.owner_id and t.credit_kind = 'earnings' and t.position >= f.position
    ) as c
    cross join lateral (
        select coalesce(sum(t.amount), 0) as amount
        from ledger.transfers as t
        where t.debit_owner_id = o.owner_id and t.debit_kind = 'earnings' and t.position >= f.position
    ) as d;
end;
comment on function ledger.earning_balances(uuid[]) is $$What these creators have earned and not been paid: ledger.balance() of many$$;

create or replace function ledger.balance_at(owner_id uuid, kind text, at timestamptz)
returns bigint
language sql stable
set search_path = ''
return (
    select coalesce(sum(
        case when t.credit_owner_id = balance_at.owner_id and t.credit_kind = balance_at.kind then t.amount else 0 end
        - case when t.debit_owner_id = balance_at.owner_id and t.debit_kind = balance_at.kind then t.amount else 0 end
    ), 0)::bigint
    from ledger.transfers as t
    where t.created_at <= balance_at.at
        and (
            (t.credit_owner_id = balance_at.owner_id and t.credit_kind = balance_at.kind)
            or (t.debit_owner_id = balance_at.owner_id and t.debit_kind = balance_at.kind)
        )
        and (balance_at.kind <> 'wallet' or t.book_id = balance_at.owner_id)
);
comment on function ledger.balance_at(uuid, text, timestamptz) is $$The balance of an account at a time in the past

Summed from the movements: as exact as today's, and as slow as the history is long.$$;

create or replace function ledger.lifetime_earned(owner_id uuid)
returns bigint
language sql stable
set search_path = ''
return
    ledger.balance(lifetime_earned.owner_id, 'earnings')
    + ledger.balance(lifetime_earned.owner_id, 'payouts')
    + ledger.balance(lifetime_earned.owner_id, 'paid');
comment on function ledger.lifetime_earned(uuid) is $$Everything a creator ever earned, less what was taken back

In micro-dollars: what is there, on its way and paid. What is frozen counts as taken back.$$;
