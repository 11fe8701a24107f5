-- Folding: sales insert, and a later pass adds up what is final.

create or replace function ledger.open_totals(from_position bigint, to_position bigint)
returns table (owner_id uuid, kind text, asset text, balance bigint, credited bigint)
language sql stable
set search_path = ''
begin atomic
    select m.owner_id, m.kind, m.asset, sum(m.amount)::bigint, sum(greatest(m.amount, 0))::bigint
    from ledger.transfers as t
    cross join lateral (
        values
            (t.debit_owner_id, t.debit_kind, t.asset, -t.amount),
            (t.credit_owner_id, t.credit_kind, t.asset, t.amount)
    ) as m (owner_id, kind, asset, amount)
    where t.position >= from_position and t.position < to_position
        and m.kind <> all (ledger.guarded_kinds())
    group by m.owner_id, m.kind, m.asset;
end;
comment on function ledger.open_totals(bigint, bigint) is $$What moved on the open accounts between two positions$$;

create or replace function ledger.fold()
returns bigint
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_from bigint;
    v_to bigint;
    v_folded bigint;
begin
    perform from ledger.fold_state as s for update;
    if ledger.folded_position() < 0 then
        perform ledger.refold();
    end if;
    v_from := ledger.folded_position();
    v_to := ledger.settled_position();
    insert into ledger.accounts as a (owner_id, kind, asset, is_guarded, balance, credited)
    select o.owner_id, o.kind, o.asset, false, o.balance, o.credited
    from ledger.open_totals(v_from, v_to) as o
    order by o.owner_id, o.kind
    on conflict on constraint accounts_pkey do update
    set balance = a.balance + excluded.balance,
        credited = a.credited + excluded.credited;
    get diagnostics v_folded = row_count;
    perform ledger.fold_earning_totals(v_to);
    update ledger.fold_state as s
    set position = greatest(v_to, s.position), folded_at = now();
    return v_folded;
end;
$$;
comment on function ledger.fold() is $$Add everything final to the totals of the open accounts

Exact under late commits: a transaction that is still running keeps the fold below its own position, whenever it commits. Returns the number of accounts touched. The worker calls it; two at once come one after the other.$$;

create or replace function ledger.open_new_earnings()
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    -- A fold would open the same accounts, and want to lock others that the caller may want.
    perform from ledger.fold_state as s for update;
    perform ledger.open_account(n.owner_id, 'earnings')
    from (
        select distinct t.credit_owner_id as owner_id
        from ledger.transfers as t
        where t.position >= ledger.folded_position() and t.credit_kind = 'earnings'
        order by t.credit_owner_id
    ) as n;
end;
$$;
comment on function ledger.open_new_earnings() is $$Give everybody an account who earned something that is not folded yet

No fold comes between before the caller ends.$$;

create or replace function ledger.refold()
returns void
language plpgsql volatile
set search_path = ''
as $$
declare
    v_offset bigint;
begin
    lock table ledger.transfers in share row exclusive mode;
    select coalesce(max(t.position), 0) + 1 into v_offset from ledger.transfers as t;
    execute format(
        'alter table ledger.transfers alter column position set default %s + pg_current_xact_id()::text::bigint',
        v_offset);
    update ledger.accounts as a set balance = 0, credited = 0 where not a.is_guarded;
    update ledger.fold_state as s set position = 0, position_offset = v_offset;
    perform ledger.forget_earning_totals();
end;
$$;
comment on function ledger.refold() is $$Start the totals of the open accounts anew after a restore into another cluster

Transaction numbers start low there; the offset makes positions go on above all that exist. ledger.fold() calls this by itself when a fold or a seal lies in the future; `infinite-pages migrate` folds, so run it after a restore and before the first sale.$$;
